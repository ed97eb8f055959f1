"""What `bench` itself costs, and whether it cries wolf.

    python benchmarks/bench.py FILE.tflite            about three minutes

Against a bare loop around the same invoke, in the same process and in turns; and FILE measured 21 times in quick mode,
each compared with the first. Writes benchmarks/results/<board>/bench.md and .json.
"""

import statistics
import sys
import time

from results import save_table

from edgesdk import verbs
from edgesdk.baseline import compare
from edgesdk.measurement import Measurement
from edgesdk_device.board import board_name, load_average
from edgesdk_device.measuring import Process

ROUNDS, BLOCK_S, TRIES = 60, 0.1, 20


def overhead(path: str) -> tuple[float, float, float, float]:
    """Ours over a bare loop's: p50, wall time of a run, processor time of a run; and the bare loop's p50 in ms."""
    process = Process()
    process.open(path, "litert", 1, None)
    run, clock = process.model.backend._interpreter.invoke, time.perf_counter  # type: ignore[attr-defined]
    p50s: list[float] = []
    walls: list[float] = []
    cpus: list[float] = []
    bare_p50s: list[float] = []
    for _ in range(ROUNDS):
        run()
        times, cpu, start = [], time.process_time(), clock()
        end, now = start + BLOCK_S, start
        while now < end:
            run()
            before, now = now, clock()
            times.append(now - before)
        bare_p50, bare_wall = statistics.median(times) * 1e3, (now - start) / len(times)
        bare_cpu = (time.process_time() - cpu) / len(times)
        block = process.block(BLOCK_S)
        p50s.append(statistics.median(block.invoke_ms) / bare_p50)
        walls.append(block.wall_s / len(block.invoke_ms) / bare_wall)
        cpus.append(block.cpu_s / len(block.invoke_ms) / bare_cpu)
        bare_p50s.append(bare_p50)
    return statistics.median(p50s), statistics.median(walls), statistics.median(cpus), statistics.median(bare_p50s)


def same_again(path: str) -> list[str]:
    """The verdict of each try against the first measurement of the same file."""
    rows = []
    for _ in range(TRIES + 1):
        (row,) = verbs.bench([path], backends=["litert"], threads=[1], quick=True)
        assert isinstance(row, Measurement)
        rows.append(row)
    return [compare([row], rows[:1])[0].verdict for row in rows[1:]]


def main() -> None:
    path = sys.argv[1]
    p50, wall, cpu, bare_ms = overhead(path)
    verdicts = same_again(path)
    calm = sum(verdict == "not distinguishable" for verdict in verdicts)
    rows = [
        ["p50 of bench over a bare loop's", f"{p50:.4f}", "within 3 %", "ok" if abs(p50 - 1) <= 0.03 else "MISSED"],
        ["time of a run in bench over a bare one", f"{wall:.4f}", "<= 1.01", "ok" if wall <= 1.01 else "MISSED"],
        [
            "processor time of a run in bench over a bare one",
            f"{cpu:.4f}",
            "<= 1.01",
            "ok" if cpu <= 1.01 else "MISSED",
        ],
        ["same file, not distinguishable", f"{calm} of {TRIES}", "20 of 20", "ok" if calm == TRIES else "MISSED"],
    ]
    facts = {"bench": {"p50": p50, "wall": wall, "cpu": cpu, "bare_p50_ms": bare_ms, "verdicts": verdicts}}
    note = (
        f"invoke of {bare_ms:.2f} ms, LiteRT, 1 thread, {board_name()}, other work beside (load {load_average():.1f})"
    )
    save_table("bench", ["what", "measured", "target", "verdict"], rows, note, facts)


if __name__ == "__main__":
    main()
