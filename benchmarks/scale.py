"""What a grid, a team and shards cost on a cluster: one worker against two, one of them killed, all against this process.

python benchmarks/scale.py [--shared DIR] [--work DIR] [--only pack,team,local,one,two,killed]

The grid is 16 small ConvNets on the digits, learned shortly and converted; a cell has one CPU and one thread. `one` and
`two` are only worth something on two CPUs that nobody else uses: how much of them others took is told.
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from results import save_table

from edgesdk import latepixels, verbs
from edgesdk.atomic import make_folder, write_text
from edgesdk.data import load_images, read_dataset, split_dataset
from edgesdk.engine import Engine, LocalEngine, make_engine
from edgesdk.packing import pack
from edgesdk.preprocess import input_of
from edgesdk.runfolder import Learning, Methods
from edgesdk.spec import ModelSpec, make_spec
from edgesdk.workshop import Workshop

GRID = [make_spec("convnet", width, res, 10) for width in (0.25, 0.5, 0.75, 1.0) for res in (32, 40, 48, 56)]
LEARNING = Learning(epochs=2, batch=64, flip=False)
KILLED_AFTER = 5  # cells
PARTS = ("pack", "team", "local", "one", "two", "killed")


def run_grid(engine: Engine, folder: Path, after_cell: Callable[[int], None] = lambda done: None) -> None:
    """Short lessons of all cells, then full lessons and int8 files of all."""
    work = Workshop(
        dataset=split_dataset(read_dataset("digits")),
        data="digits",
        weights="none",
        learning=LEARNING,
        precisions=["int8"],
        folder=make_folder(folder),
        host=None,
        quick=True,
        quiet=True,
        start=time.monotonic(),
    )
    for step in (Workshop.prepare, Workshop.convert):
        for done, _ in enumerate(engine.run(step, work, GRID)):
            after_cell(done)


def measure_grid(name: str, folder: Path) -> dict[str, Any]:
    """Seconds of the grid on so many workers, and how much of the CPUs others took meanwhile."""
    if name == "local":
        start = time.monotonic()
        run_grid(LocalEngine(), folder)
        return {"seconds": time.monotonic() - start}
    import ray

    ray.init(num_cpus=1 if name == "one" else 2, include_dashboard=False, log_to_driver=False, logging_level="error")
    killed = []

    def kill_one(done: int) -> None:
        if name == "killed" and done == KILLED_AFTER and len(killed) < 2:
            killed.append(_kill_a_worker())

    start, busy, own = time.monotonic(), _busy_s(), _own_s()
    run_grid(make_engine("ray", cpus=1), folder, kill_one)
    seconds, busy = time.monotonic() - start, _busy_s() - busy
    own = _own_s() - own
    ray.shutdown()
    return {"seconds": seconds, "own_cpu_s": own, "others_cpu_s": busy - own, "killed": killed}


def _kill_a_worker() -> int:
    """kill -9 of one process that works on a cell."""
    import psutil

    working = [p for p in psutil.Process().children(recursive=True) if "_work_on_cell" in " ".join(p.cmdline())]
    working[0].send_signal(signal.SIGKILL)
    return len(working)


def _busy_s() -> float:
    user, nice, system, *_ = map(int, Path("/proc/stat").read_text().split()[1:])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def _own_s() -> float:
    """CPU seconds of this process and of all below it, also those that ended."""
    import psutil

    total = 0.0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.Error:
            continue
    return total


def measure_pack(shared: Path, folder: Path) -> dict[str, Any]:
    """What packing, keeping and decoding costs for each photo."""
    source = shared / "datasets/flowers5"
    image_input = input_of(ModelSpec(res=160))
    start = time.monotonic()
    done = pack(source, folder / "shards", shard_bytes=8 * 2**20)
    packing, start = time.monotonic() - start, time.monotonic()
    dataset = split_dataset(read_dataset(done.path))
    reading = time.monotonic() - start
    photos = [photo for photo in dataset.photos if photo.split == "train"]
    late = load_images(photos, image_input, late=True)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    for first in range(0, len(late.labels), 32):
        _ = late.pixels[first : first + 32]
    decoding = time.monotonic() - start
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    once = load_images(photos, image_input)
    return {
        "photos": done.photos,
        "shards": done.shards,
        "bytes_per_photo": done.size_bytes / done.photos,
        "source_bytes_per_photo": sum(len(photo.file_bytes()) for photo in dataset.photos) / done.photos,
        "index_bytes_per_photo": (done.path / "shards.csv").stat().st_size / done.photos,
        "pack_ms_per_photo": 1000 * packing / done.photos,
        "read_ms_per_photo": 1000 * reading / done.photos,
        "decode_ms_per_photo": 1000 * decoding / len(photos),
        "late_grew_bytes": 1024 * grown,
        "decoded_bytes": once.pixels.nbytes,
        "limit_bytes": latepixels.memory_bytes(),
    }


def measure_team(folder: Path) -> dict[str, Any]:
    """The losses of two workers against those of one process with the same batches."""
    import ray

    from edgesdk.rayteam import RayTeam

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    found: dict[str, Any] = {}
    for name, workers in (("one", 1), ("two", 2)):
        start = time.monotonic()
        verbs.train(
            "digits",
            arch="lenet",
            epochs=3,
            batch=64,
            methods=Methods(augment="none"),
            team=RayTeam(workers=workers),
            out=folder / f"{name}.run",
        )
        rows = (folder / f"{name}.run/history.csv").read_text().splitlines()[1:]
        found[name] = [[float(value) for value in row.split(",")[2:]] for row in rows]
        found[f"{name}_seconds"] = time.monotonic() - start
    ray.shutdown()
    found["largest_relative"] = max(
        abs(one - two) / one
        for rows in zip(found["one"], found["two"], strict=True)
        for one, two in zip(*rows, strict=True)
    )
    return found


def same_files(one: Path, other: Path) -> int:
    """How many int8 files of the grid are the same to the last byte."""
    names = sorted(path.name for path in one.glob("*_int8.tflite"))
    assert names == sorted(path.name for path in other.glob("*_int8.tflite"))
    return sum((one / name).read_bytes() == (other / name).read_bytes() for name in names)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shared", type=Path)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "edgesdk-scale")
    parser.add_argument("--only", default=",".join(PARTS))
    options = parser.parse_args()
    work, facts_file = make_folder(options.work), options.work / "facts.json"
    facts = json.loads(facts_file.read_text()) if facts_file.is_file() else {}
    threads = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    if os.environ | threads != os.environ:  # the local engine's cells have as many threads as those on Ray
        raise SystemExit(subprocess.run([sys.executable, *sys.argv], env=os.environ | threads, check=False).returncode)
    for name in options.only.split(","):
        folder = work / name
        if name == "pack":
            if options.shared is None:
                continue
            facts[name] = measure_pack(options.shared, folder)
        elif name == "team":
            facts[name] = measure_team(make_folder(folder))
        else:
            facts[name] = measure_grid(name, folder)
        print(name, json.dumps(facts[name]))
        write_text(facts_file, json.dumps(facts, indent=1))
    if all(name in facts for name in ("local", "one", "two", "killed")):
        write_grid_table(facts, work)
    if "pack" in facts and "team" in facts:
        write_parts_table(facts)


def write_grid_table(facts: dict[str, Any], work: Path) -> None:
    """`scale_grid.md`."""
    rows = []
    for name, said in (
        ("local", "this process, one thread"),
        ("one", "one Ray worker"),
        ("two", "two Ray workers"),
        ("killed", "two, one killed (SIGKILL) in each of the grid's two steps"),
    ):
        fact = facts[name]
        others = fact.get("others_cpu_s")
        taken = "" if others is None else f"{100 * others / (2 * fact['seconds']):.0f} %"
        same = f"{same_files(work / 'local', work / name)} of {len(GRID)}"
        rows.append((said, f"{fact['seconds']:.0f}", f"{facts['one']['seconds'] / fact['seconds']:.2f}", taken, same))
    head = (
        "where",
        "seconds",
        "times faster than one worker",
        "of both CPUs taken by others",
        "files equal to local's",
    )
    note = "16 ConvNets on the digits: short lesson, full lesson of two epochs, int8 file proved in both runtimes."
    save_table("scale_grid", head, rows, note, {name: facts[name] for name in ("local", "one", "two", "killed")})


def write_parts_table(facts: dict[str, Any]) -> None:
    """`scale_parts.md`."""
    packed, team = facts["pack"], facts["team"]
    rows = [
        ("a photo's file, flowers5", f"{packed['source_bytes_per_photo'] / 1000:.1f} kB"),
        ("the same in a shard", f"{packed['bytes_per_photo'] / 1000:.1f} kB"),
        ("its line in shards.csv", f"{packed['index_bytes_per_photo']:.0f} bytes"),
        ("packing it", f"{packed['pack_ms_per_photo']:.2f} ms"),
        ("finding it in the index", f"{packed['read_ms_per_photo']:.3f} ms"),
        ("decoding it to 160x160 when it is looked at", f"{packed['decode_ms_per_photo']:.2f} ms"),
        (
            "memory that an epoch of late photos added, against all decoded once",
            f"{packed['late_grew_bytes'] / 1e6:.0f} MB against {packed['decoded_bytes'] / 1e6:.0f} MB",
        ),
        (
            "largest relative difference of the losses of two workers from those of one, 3 epochs of LeNet-5",
            f"{team['largest_relative']:.1e}",
        ),
    ]
    save_table("scale_parts", ("what", "measured"), rows, "Two shared CPUs.", {"pack": packed, "team": team})


if __name__ == "__main__":
    main()
