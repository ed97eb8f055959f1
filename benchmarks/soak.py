"""Whether the camera app stays as it is: an hour at 30 frames a second from a looping file, with page and events on.

    python benchmarks/soak.py model.tflite                       an hour, with a video made for it
    python benchmarks/soak.py model.tflite --source video.mp4 --minutes 5
    python benchmarks/soak.py model.tflite --mqtt --fps 10       with a broker that is away a part of the time

The app runs as users run it, in a process of its own. One viewer watches all the time, another comes and goes every few
seconds. Each minute's memory, threads, descriptors, rate and age go to benchmarks/results/<board>/soak.json and .md.
With --mqtt every decided event goes to a real mosquitto, too, which is away for a tenth of the time; what it told a
listener is compared with the file of events (soak_broker.json and .md).
Exit code 1 if memory grew by 2 % or more after the first minutes, if threads or descriptors were left over, if an event
was lost, or if there were hardly any.
"""

import argparse
import asyncio
import contextlib
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import cv2
from broker import Broker, written
from results import save

from edgesdk.contract import blocks_frame
from edgesdk.progress import remark
from edgesdk_device.board import board_name

SAMPLE_S = 1.0
GUEST_EVERY_S = 4.0
GUEST_STAYS_S = 0.5
AWAY = 0.1  # of the time between two restarts of the broker
LARGEST_GROWTH = 0.02
FEWEST_EVENTS = 10  # for each time that the broker is away
IN_FLIGHT = 2  # descriptors: the guest and the question for the pace come and go


def make_video(path: Path) -> Path:
    """Ten seconds of coloured blocks, 640x480, motion JPEG at 30 frames a second."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (640, 480))
    for second in range(10):
        for shift in range(30):
            turned = cv2.getRotationMatrix2D((320, 240), shift, 1)
            writer.write(cv2.warpAffine(blocks_frame(second, 480, 640), turned, (640, 480)))
    writer.release()
    return path


@contextlib.asynccontextmanager
async def running_app(
    model: str, source: str, folder: Path, *, fps: float = 30, more: Sequence[str] = ()
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The running app and the address of its page."""
    command = [
        sys.executable,
        "-m",
        "edgesdk.cli",
        "run",
        model,
        "--source",
        source,
        "--paced",
        "--loop",
        "--fps",
        str(fps),
        *more,
    ]
    command += ["--serve", "0", "--events", str(folder / "events.jsonl"), "--events-mb", "1"]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        text = ""
        while not (found := re.search(r"watch at (http://\S+)", text)):
            line = await process.stderr.readline()
            if not line:
                raise SystemExit(f"the app did not start: {text}")
            text += line.decode()
        yield process, found[1]
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def watch(session: aiohttp.ClientSession, address: str, seconds: float) -> int:
    """Look at the page's frames for so long, as the page does; returns how many came."""
    count, until = 0, time.monotonic() + seconds
    async with session.ws_connect(f"{address}live", max_msg_size=0) as line:
        async for message in line:
            if message.type is aiohttp.WSMsgType.BINARY:
                count += 1
                await line.send_str("next")
            if time.monotonic() > until:
                break
    return count


async def come_and_go(session: aiohttp.ClientSession, address: str) -> None:
    while True:
        await watch(session, address, GUEST_STAYS_S)
        await asyncio.sleep(GUEST_EVERY_S - GUEST_STAYS_S)


def held(pid: int) -> dict[str, int]:
    """What the process holds now."""
    status = Path(f"/proc/{pid}/status").read_text()
    rss = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert rss is not None
    return {
        "rss_bytes": int(rss[1]) * 1024,
        "threads": len(list(Path(f"/proc/{pid}/task").iterdir())),
        "descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir())),
    }


async def soak(
    model: str, source: str, minutes: float, folder: Path, *, fps: float = 30, broker: Broker | None = None
) -> list[dict[str, Any]]:
    """One row a minute: the median of what the process held, and its pace; with less than five, ten rows in all."""
    more = [] if broker is None else ["--mqtt", broker.url, "--decided", "--threshold", "0", "--votes", "1/1"]
    row_s = 60.0 if minutes >= 5 else minutes * 60 / 10
    rows: list[dict[str, Any]] = []
    async with (
        running_app(model, source, folder, fps=fps, more=more) as (process, address),
        aiohttp.ClientSession() as session,
    ):
        trouble = None
        if broker is not None:
            trouble = asyncio.create_task(broker.come_and_go(5 * row_s, 5 * row_s * AWAY))
        watching = asyncio.create_task(watch(session, address, 1e9))
        guest = asyncio.create_task(come_and_go(session, address))
        start = time.monotonic()
        while len(rows) * row_s < minutes * 60 - 0.5 * row_s:
            samples = []
            while time.monotonic() < start + (len(rows) + 1) * row_s:
                await asyncio.sleep(min(SAMPLE_S, row_s / 3))
                samples.append(held(process.pid))
            async with session.get(f"{address}state.json") as response:
                state = await response.json()
            row = {name: statistics.median(sample[name] for sample in samples) for name in samples[0]}
            row |= {name: state[name] for name in ("fps", "age_p50_ms", "age_p95_ms", "dropped", "corrupt", "frame")}
            rows.append({"minute": round((time.monotonic() - start) / 60, 2), **row})
            remark(json.dumps(rows[-1]), quiet=False)
            if watching.done() or guest.done():
                raise SystemExit("a viewer was thrown out")
        watching.cancel()
        guest.cancel()
        if trouble is not None:
            trouble.cancel()
            await asyncio.sleep(5)  # it is back, and what waited is on its way
    if process.returncode != 0:
        raise SystemExit(f"the app ended with code {process.returncode}")
    return rows


def judge(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What grew between the settled part and the end."""
    settled = rows[max(1, len(rows) // 10) : max(2, len(rows) // 5)]  # of an hour: minutes 7 to 12
    last = rows[-len(settled) :]

    def level(part: list[dict[str, Any]], name: str) -> float:
        return statistics.median(row[name] for row in part)

    growth = level(last, "rss_bytes") / level(settled, "rss_bytes") - 1
    left = {name: level(last, name) - level(settled, name) for name in ("threads", "descriptors")}
    return {
        "rss_growth": growth,
        "threads_left": left["threads"],
        "descriptors_left": left["descriptors"],
        "fps": statistics.median(row["fps"] for row in rows),
        "slowest_fps": min(row["fps"] for row in rows[1:]),
        "age_p95_ms": statistics.median(row["age_p95_ms"] for row in rows),
        "ok": growth < LARGEST_GROWTH and left["threads"] <= 0 and left["descriptors"] <= IN_FLIGHT,
    }


def as_markdown(rows: list[dict[str, Any]], result: dict[str, Any]) -> str:
    lines = [
        f"{rows[-1]['minute']:g} minutes at {result['fps']:.1f} frames a second ({rows[-1]['frame']} frames), a viewer "
        f"all the time and a guest every {GUEST_EVERY_S:g} s, events on; {board_name()}.",
        "",
        f"Memory grew by {100 * result['rss_growth']:.2f} % after the first minutes (allowed: "
        f"{100 * LARGEST_GROWTH:g} %), {result['threads_left']:g} threads and {result['descriptors_left']:g} "
        "descriptors were left over.",
        "",
        *(
            [
                f"The broker was away {result['restarts']} times, for {100 * AWAY:g} % of the time: of "
                f"{result['events']} events {result['lost']} were lost, {result['twice']} came twice.",
                "",
            ]
            if "events" in result
            else []
        ),
        "| minute | RSS MB | threads | descriptors | frames/s | age p50 ms | p95 ms | dropped |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row['minute']:g} | {row['rss_bytes'] / 1e6:.1f} | {row['threads']:g} | {row['descriptors']:g} | "
        f"{row['fps']:.1f} | {row['age_p50_ms']:.1f} | {row['age_p95_ms']:.1f} | {row['dropped']} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--source", help="a video file (default: one is made)")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--dry", action="store_true", help="print the result as JSON, write nothing")
    parser.add_argument("--fps", type=float, default=30, help="frames a second (default 30)")
    parser.add_argument("--mqtt", action="store_true", help="publish to a broker that is away a part of the time")
    options = parser.parse_args()
    events: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        source = options.source or str(make_video(folder / "blocks.avi"))
        broker = stack.enter_context(Broker(folder)) if options.mqtt else None
        rows = asyncio.run(soak(options.model, source, options.minutes, folder, fps=options.fps, broker=broker))
        if broker is not None:
            time.sleep(2)
            happened = written(folder / "events.jsonl")
            lost = happened - set(broker.heard)
            events = {"events": len(happened), "lost": len(lost), "restarts": broker.restarts}
            events["twice"] = sum(count - 1 for count in broker.heard.values())
            remark(f"lost: {sorted(lost)[:5]}", quiet=not lost)
    result = judge(rows) | events
    if events:  # a network that always says the same puts nothing to the test
        result["ok"] &= not events["lost"] and events["events"] > FEWEST_EVENTS * events["restarts"]
    name = "soak_broker" if options.mqtt else "soak"
    if options.dry:
        print(json.dumps({**result, "rows": rows}))
    else:
        save(f"{name}.json", json.dumps({"board": board_name(), **result, "rows": rows}, indent=1))
        save(f"{name}.md", as_markdown(rows, result))
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
