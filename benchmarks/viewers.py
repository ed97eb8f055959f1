"""What twenty viewers of the page cost the camera app's inference, at a camera's 30 frames a second.

    python benchmarks/viewers.py model.tflite            about two minutes, with a video made for it

Turns without and with twenty viewers, A B A B, on one running app; the viewers run in a process of their own and take
every frame, as twenty open pages do. Writes benchmarks/results/<board>/viewers.json and prints the answered frames a
second of both, whose ratio must be at least 0.95.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
from results import save
from soak import make_video, running_app, watch

from edgesdk.progress import remark
from edgesdk_device.board import board_name

LEAST = 0.95


async def answered(session: aiohttp.ClientSession, address: str, seconds: float) -> dict[str, float]:
    """Answered frames a second, counted by the app itself, over so many seconds; the age at their end."""
    async with session.get(f"{address}state.json") as response:
        first, began = await response.json(), time.monotonic()
    await asyncio.sleep(seconds)
    async with session.get(f"{address}state.json") as response:
        last, ended = await response.json(), time.monotonic()
    frames = (last["frame"] - first["frame"]) - (last["dropped"] - first["dropped"])
    return {"fps": frames / (ended - began), "age_p50_ms": last["age_p50_ms"], "age_p95_ms": last["age_p95_ms"]}


async def measure(options: argparse.Namespace, source: str, folder: Path) -> dict[str, list[dict[str, float]]]:
    rounds: dict[str, list[dict[str, float]]] = {"alone": [], "watched": []}
    async with running_app(options.model, source, folder) as (_, address), aiohttp.ClientSession() as session:
        await asyncio.sleep(3)
        for round_ in range(options.rounds):
            rounds["alone"].append(await answered(session, address, options.seconds))
            command = [sys.executable, __file__, options.model, "--crowd", address]
            crowd = await asyncio.create_subprocess_exec(
                *command,
                "--viewers",
                str(options.viewers),
                "--seconds",
                str(options.seconds + 3),
                stdout=asyncio.subprocess.PIPE,
            )
            await asyncio.sleep(2)  # until all are in
            row = await answered(session, address, options.seconds)
            shown = json.loads((await crowd.communicate())[0])
            rounds["watched"].append(row | {"least_shown_fps": min(shown), "most_shown_fps": max(shown)})
            remark(
                f"round {round_ + 1} of {options.rounds}: {rounds['alone'][-1]} {rounds['watched'][-1]}", quiet=False
            )
    return rounds


async def crowd(address: str, viewers: int, seconds: float) -> list[float]:
    """Frames a second that each viewer got."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        counts = await asyncio.gather(*(watch(session, address, seconds) for _ in range(viewers)))
    return [count / seconds for count in counts]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--source", help="a video file (default: one is made)")
    parser.add_argument("--viewers", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8, help="of each turn")
    parser.add_argument("--dry", action="store_true", help="print the result as JSON, write nothing")
    parser.add_argument("--crowd", metavar="ADDRESS", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.crowd:
        os.nice(5)  # viewers have computers of their own: on the camera's they must not take what is the app's
        print(json.dumps(asyncio.run(crowd(options.crowd, options.viewers, options.seconds))))
        return 0
    with tempfile.TemporaryDirectory() as name:
        source = options.source or str(make_video(Path(name) / "blocks.avi"))
        rounds = asyncio.run(measure(options, source, Path(name)))
    result = summary(rounds, options.viewers)
    text = json.dumps({"board": board_name(), **result, "rounds": rounds}, indent=1)
    if options.dry:
        print(text)
    else:
        save("viewers.json", text)
        save("viewers.md", as_markdown(result))
    print(
        f"{options.viewers} viewers leave {result['ratio']:.3f} of the frame rate (at least {LEAST})", file=sys.stderr
    )
    return 0 if result["ratio"] >= LEAST else 1


def summary(rounds: dict[str, list[dict[str, float]]], viewers: int) -> dict[str, Any]:
    """Medians over the rounds, and the ratio that counts."""
    alone, watched = (statistics.median(row["fps"] for row in rounds[name]) for name in ("alone", "watched"))
    shown = statistics.median(row["least_shown_fps"] for row in rounds["watched"])
    return {
        "viewers": viewers,
        "fps_alone": alone,
        "fps_watched": watched,
        "ratio": watched / alone,
        "least_shown_fps": shown,
    }


def as_markdown(result: dict[str, Any]) -> str:
    """The result as a table."""
    head = ("viewers", "frames a second", "of the rate without", "the slowest viewer saw")
    rows = [
        ("0", f"{result['fps_alone']:.1f}", "1", ""),
        (
            str(result["viewers"]),
            f"{result['fps_watched']:.1f}",
            f"{result['ratio']:.3f} (at least {LEAST})",
            f"{result['least_shown_fps']:.1f}",
        ),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ("---",) * len(head), *rows))


if __name__ == "__main__":
    sys.exit(main())
