"""`edgesdk pack`, and the options of `choose` and `train` that say where they work."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgesdk.commands.generative import generates
from edgesdk.commands.options import Add
from edgesdk.commands.printing import print_json, print_next
from edgesdk.commands.values import size
from edgesdk.verbs.codec import CODECS

if TYPE_CHECKING:
    from edgesdk.grid.rayteam import RayTeam


def add_commands(add: Add) -> None:
    """The command's options."""
    command = add(pack, "photos -> TFRecord shards, for more than memory holds", "edgesdk pack photos/ shards/")
    command.add_argument("data", metavar="DATA", help="labelled photos, as of train")
    command.add_argument("out", metavar="SHARDS", type=Path, help="the folder to write; learn from it as from DATA")
    command.add_argument(
        "--shard-size",
        type=size,
        default=128 * 2**20,
        metavar="BYTES",
        help="such as 128MB (default 134 MB); each of several workers needs shards of its own",
    )


def add_team(command: argparse.ArgumentParser) -> None:
    """Where `train` works."""
    group = add_engine(command, "worker")
    group.add_argument("--workers", type=int, default=1, metavar="N", help="on Ray, that learn together (default 1)")


def make_team(options: argparse.Namespace) -> "RayTeam | None":
    """The workers that `add_team`'s options name; None for this process.

    Raises:
        ValueError: if there are several without Ray, or what is learned is no classifier.
    """
    if options.engine == "local":
        if options.workers != 1:
            raise ValueError(f"--workers {options.workers} goes with --engine ray")
        return None
    if options.camera is not None or options.arch in CODECS or generates(options):
        raise ValueError(f"--engine ray learns classifiers, not {options.arch}: leave it out")
    from edgesdk.grid.rayteam import RayTeam

    return RayTeam(workers=options.workers, cpus=options.cpus, gpus=options.gpus)


def add_engine(command: argparse.ArgumentParser, of: str) -> "argparse._ArgumentGroup":
    """Where a command works, and what each `of` its parts is given; the options' group."""
    group = command.add_argument_group("engine")
    group.add_argument(
        "--engine",
        default="local",
        choices=("local", "ray"),
        help="ray: on the cluster that RAY_ADDRESS names, or here",
    )
    group.add_argument("--cpus", type=float, default=1.0, metavar="N", help=f"of each {of} on Ray (default 1)")
    group.add_argument("--gpus", type=float, default=0.0, metavar="N", help=f"of each {of} on Ray (default 0)")
    return group


def pack(options: argparse.Namespace) -> int:
    """`edgesdk pack`."""
    from edgesdk.photos import packing

    done = packing.pack(options.data, options.out, shard_bytes=int(options.shard_size), quiet=options.quiet)
    if options.json:
        return print_json(done.to_json())
    kept = f", {done.kept} of them lay there whole" if done.kept else ""
    print(
        f"{done.path}: {done.photos} photos of {len(done.classes)} classes in {done.shards} shards, "
        f"{done.size_bytes / 1e6:.1f} MB{kept}"
    )
    print_next(("train", done.path))
    return 0
