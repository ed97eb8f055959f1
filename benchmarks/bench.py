"""What `bench` itself costs, and whether it cries wolf.

    python benchmarks/bench.py FILE.tflite [--only overhead,again] [--full]    about three minutes, with --full twelve

Against a bare loop around the same invoke, in the same process and in turns of random order; and FILE measured 21 times
in quick mode or in full, each compared with the first. Writes benchmarks/results/<board>/bench.md and .json, in which
what was left out this time stays as it was.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from results import board_folder, save_table

from edgesdk_device.board import board_name, load_average
from edgesdk_device.measuring import YARDSTICK_RUNS, Process

ROUNDS, BLOCK_S, TRIES = 800, 0.02, 20


def overhead(path: str) -> dict[str, float]:
    """Ours over a bare loop's: p50, wall and processor time of a run; the bare loop's p50 in ms; the machine's load."""
    process = Process()
    process.open(path, "litert", 1, None)
    run, clock = process.model.backend._interpreter.invoke, time.perf_counter  # type: ignore[attr-defined]

    def bare() -> tuple[float, float, float]:
        for _ in range(YARDSTICK_RUNS):  # as `block` does: what ran just before decides whose turn comes
            process._work()
        run()
        times, cpu, start = [], time.process_time(), clock()
        end, now = start + BLOCK_S, start
        while now < end:
            run()
            before, now = now, clock()
            times.append(now - before)
        return statistics.median(times), (now - start) / len(times), (time.process_time() - cpu) / len(times)

    def ours() -> tuple[float, float, float]:
        block = process.block(BLOCK_S)
        n = len(block.invoke_ms)
        return statistics.median(block.invoke_ms) / 1e3, block.wall_s / n, block.cpu_s / n

    rng, ratios, bare_s = random.Random(0), [], []
    for _ in range(ROUNDS):
        found = {work: work() for work in rng.sample((bare, ours), 2)}
        ratios.append([mine / its for mine, its in zip(found[ours], found[bare], strict=True)])
        bare_s.append(found[bare][0])
    p50, wall, cpu = (statistics.median(column) for column in zip(*ratios, strict=True))
    return {
        "p50": p50,
        "wall": wall,
        "cpu": cpu,
        "bare_p50_ms": 1e3 * statistics.median(bare_s),
        "load": load_average(),
    }


def same_again(path: str, *, quick: bool) -> dict[str, Any]:
    """What `bench --baseline` says in each try of the same file, and how often it measured again to be sure."""
    found, repeated = [], 0
    command = ["bench", path, "--backend", "litert", "--threads", "1", *(["--quick"] if quick else [])]
    with tempfile.TemporaryDirectory() as folder:
        first = str(Path(folder) / "first.json")
        subprocess.run([sys.executable, "-m", "edgesdk.cli", *command, "--report", first], check=True)
        for _ in range(TRIES):
            run = subprocess.run(
                [sys.executable, "-m", "edgesdk.cli", *command, "--baseline", first],
                capture_output=True,
                text=True,
                check=False,
            )
            (line,) = [line for line in run.stdout.splitlines() if line.startswith("baseline: ")]
            found.append(line.split(": ")[2])
            repeated += run.stderr.count("to be sure")
            print(line, flush=True)
    return {"verdicts": found, "measured_again": repeated, "load": load_average()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--only", default="overhead,again")
    parser.add_argument("--full", action="store_true", help="the same file again in full, not in quick mode")
    options = parser.parse_args()
    kept = board_folder() / "bench.json"
    facts: dict[str, dict[str, Any]] = json.loads(kept.read_bytes()) if kept.is_file() else {}
    again = "same file in full" if options.full else "same file, quick"
    if "overhead" in options.only:
        facts["overhead"] = overhead(options.file)
    if "again" in options.only:
        facts[again] = same_again(options.file, quick=not options.full)
    rows = []
    if "overhead" in facts:
        cost = facts["overhead"]
        rows += [
            _row("p50 of bench over a bare loop's", f"{cost['p50']:.4f}", "within 3 %", abs(cost["p50"] - 1) <= 0.03),
            _row("time of a run in bench over a bare one", f"{cost['wall']:.4f}", "<= 1.01", cost["wall"] <= 1.01),
            _row("processor time of a run likewise", f"{cost['cpu']:.4f}", "<= 1.01", cost["cpu"] <= 1.01),
        ]
    for name, tries in facts.items():
        if "verdicts" in tries:
            calm = tries["verdicts"].count("not distinguishable")
            rows.append(_row(f"{name}: not distinguishable", f"{calm} of {TRIES}", "20 of 20", calm == TRIES))
    loads = ", ".join(f"{name} at load {value['load']:.1f}" for name, value in facts.items())
    note = f"invoke of {facts['overhead']['bare_p50_ms']:.2f} ms, LiteRT, 1 thread, {board_name()}; {loads}"
    save_table("bench", ["what", "measured", "target", "verdict"], rows, note, facts)


def _row(what: str, measured: str, target: str, kept: bool) -> list[str]:
    return [what, measured, target, "ok" if kept else "MISSED"]


if __name__ == "__main__":
    main()
