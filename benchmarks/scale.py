"""What a grid, a team and shards cost on a cluster: two workers against one, and against this process.

python benchmarks/scale.py [--shared DIR] [--work DIR] [--only pack,overhead,team,local,one,two,killed]

The grid is 16 small ConvNets on the digits, learned shortly and converted; a cell has one CPU and one thread. `one` and
`two` are only worth something on two CPUs that nobody else uses: how much of them others took is told.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from results import save_table

from edgesdk import verbs
from edgesdk.atomic import make_folder, write_text
from edgesdk.grid.engine import Engine, LocalEngine, make_engine
from edgesdk.grid.rayengine import Cargo
from edgesdk.grid.workshop import Workshop
from edgesdk.photos import latepixels
from edgesdk.photos.data import load_images, read_dataset, split_dataset
from edgesdk.photos.packing import pack
from edgesdk.photos.photo import Photo
from edgesdk.preprocess import input_of
from edgesdk.quiet import import_tensorflow
from edgesdk.runfolder import Learning, Methods
from edgesdk.spec import ModelSpec, make_spec

GRID = [make_spec("convnet", width, res, 10) for width in (0.1, 0.2, 0.3, 0.4) for res in (32, 40, 48, 56)]
LEARNING = Learning(epochs=1, batch=64, flip=False)
CONVERTED = GRID[::4]
PARTS = ("pack", "overhead", "team", "local", "one", "two", "killed")


def run_grid(engine: Engine, folder: Path, after_cell: Callable[[int], None] = lambda done: None) -> None:
    """Short lessons of all cells, then full lessons and int8 files of some."""
    work = grid_workshop(folder)
    for step, cells in ((Workshop.prepare, GRID), (Workshop.convert, CONVERTED)):
        for done, _ in enumerate(engine.run(step, work, cells)):
            after_cell(done)


def grid_workshop(folder: Path) -> Workshop:
    """What a cell is learned with, on the digits."""
    return Workshop(
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
        if name == "killed" and done == 0:  # of each step
            killed.append(kill_a_worker())

    start, busy, own = time.monotonic(), busy_s(), own_s()
    run_grid(make_engine("ray", cpus=1), folder, kill_one)
    seconds, busy = time.monotonic() - start, busy_s() - busy
    own = own_s() - own
    ray.shutdown()
    return {"seconds": seconds, "own_cpu_s": own, "others_cpu_s": busy - own, "killed": killed}


def kill_a_worker() -> int:
    """kill -9 of one process that works on a cell, or in a team; of how many."""
    import psutil

    titles = ("ray::_work_on_cell", "ray::Member")
    working = [p for p in psutil.Process().children(recursive=True) if " ".join(p.cmdline()).startswith(titles)]
    working[-1].send_signal(signal.SIGKILL)
    return len(working)


def busy_s() -> float:
    """CPU seconds that this machine was busy."""
    user, nice, system, *_ = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def own_s() -> float:
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
    import_tensorflow()
    start = time.process_time()  # of the CPU: others may use it, too
    done = pack(source, folder / "shards", shard_bytes=8 * 2**20)
    packing, start = time.process_time() - start, time.process_time()
    dataset = split_dataset(read_dataset(done.path))
    reading = time.process_time() - start
    photos = [photo for photo in dataset.photos if photo.split == "train"]
    late = load_images(photos, image_input, late=True)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    for first in range(0, len(late.labels), 32):
        _ = late.pixels[first : first + 32]
    decoding = time.process_time() - start
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
        "memory_bytes_per_photo": memory_per_photo(dataset.photos),
        "late_grew_bytes": 1024 * grown,
        "decoded_bytes": once.pixels.nbytes,
        "limit_bytes": latepixels.memory_bytes(),
    }


def memory_per_photo(photos: Sequence[Photo]) -> float:
    """Bytes of memory that a listed photo takes, from many copies of these."""

    def held_bytes() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    before = held_bytes()
    copies = [replace(photo, path=Path(f"{photo.path}.{copy}")) for copy in range(50) for photo in photos]
    return (held_bytes() - before) / len(copies)


def do_nothing(work: Workshop, spec: ModelSpec) -> None:
    """A step that costs what the engine costs."""
    (work.folder / f"{spec.name}.run").mkdir(exist_ok=True)
    (work.folder / f"{spec.name}.run" / "made").write_bytes(bytes(range(256)) * 4000)


def measure_overhead(folder: Path) -> dict[str, Any]:
    """What a cell costs that does nothing but write a megabyte."""
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    specs = [make_spec("convnet", width / 1000, 32, 10) for width in range(100, 200)]
    dataset = split_dataset(read_dataset("digits"))
    cargo = Cargo.of(dataset)
    engine, work = make_engine("ray", cpus=1), grid_workshop(folder)
    list(engine.run(do_nothing, work, specs[:2]))  # starts the workers
    start, own, driver = time.monotonic(), own_s(), time.process_time()
    count = sum(1 for _ in engine.run(do_nothing, work, specs))
    found = {
        "cells": count,
        "ms_per_cell": 1000 * (time.monotonic() - start) / count,
        "cpu_ms_per_cell": 1000 * (own_s() - own) / count,
        "driver_cpu_ms_per_cell": 1000 * (time.process_time() - driver) / count,
        "cargo_bytes": cargo.content.nbytes,
        "photos": len(dataset.photos),
    }
    ray.shutdown()
    return found


def measure_team(folder: Path) -> dict[str, Any]:
    """The losses of two workers against those of one process with the same batches."""
    import ray

    from edgesdk.grid.rayteam import RayTeam

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    found: dict[str, Any] = {}
    for name, workers in (("one", 1), ("two", 2), ("lost", 2)):
        start = time.monotonic()
        if name == "lost":
            threading.Thread(target=kill_after_an_epoch, args=(folder / "lost.run/history.csv",), daemon=True).start()
        verbs.train(
            "digits",
            arch="lenet",
            epochs=4,
            batch=64,
            methods=Methods(augment="none"),
            team=RayTeam(workers=workers),
            out=folder / f"{name}.run",
        )
        rows = (folder / f"{name}.run/history.csv").read_text().splitlines()[1:]
        found[name] = [[float(value) for value in row.split(",")[2:]] for row in rows]
        found[f"{name}_seconds"] = time.monotonic() - start
    ray.shutdown()
    for name in ("two", "lost"):
        pairs = (pair for rows in zip(found["one"], found[name], strict=True) for pair in zip(*rows, strict=True))
        found[f"{name}_differs"] = max(abs(one - other) / one for one, other in pairs)
    return found


def kill_after_an_epoch(history: Path) -> None:
    """kill -9 of a worker once the first epoch has come back."""
    while not history.is_file():
        time.sleep(0.2)
    kill_a_worker()


def same_files(one: Path, other: Path) -> int:
    """How many histories of short lessons and int8 files are the same to the last byte."""
    names = [f"{spec.name}.run/history.csv" for spec in GRID] + [f"{spec.name}_int8.tflite" for spec in CONVERTED]
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
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | threads)
    for name in options.only.split(","):
        folder = work / name
        shutil.rmtree(folder, ignore_errors=True)
        if name == "pack":
            if options.shared is None:
                continue
            facts[name] = measure_pack(options.shared, folder)
        elif name == "overhead":
            facts[name] = measure_overhead(folder)
        elif name == "team":
            facts[name] = measure_team(make_folder(folder))
        else:
            facts[name] = measure_grid(name, folder)
        print(name, json.dumps(facts[name]))
        write_text(facts_file, json.dumps(facts, indent=1))
    if all(name in facts for name in ("local", "one", "two", "killed")):
        write_grid_table(facts, work)
    if all(name in facts for name in ("pack", "overhead", "team")):
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
        same = f"{same_files(work / 'local', work / name)} of {len(GRID) + len(CONVERTED)}"
        rows.append((said, f"{fact['seconds']:.0f}", f"{facts['one']['seconds'] / fact['seconds']:.2f}", taken, same))
    head = (
        "where",
        "seconds",
        "times as fast as one worker",
        "of both CPUs taken by others",
        "files equal to local's",
    )
    took, two = facts["one"]["own_cpu_s"], facts["two"]
    note = (
        "A grid of 16 ConvNets on the digits, an epoch each, of which four are made int8 and proved in both runtimes; "
        "one CPU and one thread a worker, its start included; what a killed worker took counts as others'. Why not "
        f"twice as fast: two workers took {two['own_cpu_s']:.0f} CPU seconds for {took:.0f} of one, since each "
        "loads TensorFlow for itself and these two CPUs share caches and memory; "
        f"they were busy {100 * two['own_cpu_s'] / (2 * two['seconds']):.0f} % of the time."
    )
    save_table("scale_grid", head, rows, note, {name: facts[name] for name in ("local", "one", "two", "killed")})


def write_parts_table(facts: dict[str, Any]) -> None:
    """`scale_parts.md`."""
    packed, team, cell = facts["pack"], facts["team"], facts["overhead"]
    rows = [
        ("a photo's file, flowers5", f"{packed['source_bytes_per_photo'] / 1000:.1f} kB"),
        ("the same in a shard", f"{packed['bytes_per_photo'] / 1000:.1f} kB"),
        ("its line in shards.csv", f"{packed['index_bytes_per_photo']:.0f} bytes"),
        ("packing it, hash, decoding and reading back included", f"{packed['pack_ms_per_photo']:.2f} ms of a CPU"),
        ("finding it in the index", f"{packed['read_ms_per_photo']:.3f} ms of a CPU"),
        ("decoding it to 160x160 when it is looked at", f"{packed['decode_ms_per_photo']:.2f} ms of a CPU"),
        ("memory that it takes in the list of photos", f"{packed['memory_bytes_per_photo']:.0f} bytes"),
        (
            "memory that an epoch of late photos added, against all decoded once",
            f"{packed['late_grew_bytes'] / 1e6:.0f} MB against {packed['decoded_bytes'] / 1e6:.0f} MB",
        ),
        (
            "a cell on Ray that only writes a megabyte",
            f"{cell['ms_per_cell']:.0f} ms; {cell['driver_cpu_ms_per_cell']:.1f} ms of the driver's CPU",
        ),
        (
            "largest relative difference of the losses of two workers from those of one, 4 epochs of LeNet-5",
            f"{team['two_differs']:.1e}",
        ),
        (
            "the same where one of the two was killed (SIGKILL) after the first epoch",
            f"{team['lost_differs']:.1e}",
        ),
    ]
    save_table(
        "scale_parts", ("what", "measured"), rows, "Two shared CPUs.", {"pack": packed, "overhead": cell, "team": team}
    )


if __name__ == "__main__":
    main()
