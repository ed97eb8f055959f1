"""`edgesdk doctor`: what works here, and how to get the rest."""

import argparse
from dataclasses import asdict
from pathlib import Path

from edgesdk.commands.options import Add, add_delegate, delegate_of
from edgesdk.commands.printing import print_json


def add_commands(add: Add) -> None:
    """The command's options."""
    command = add(doctor, "say what works here and how to get the rest", "edgesdk doctor model.tflite")
    command.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        type=Path,
        help="try every runtime with it, and choose anew what `auto` takes",
    )
    add_delegate(command)


def doctor(options: argparse.Namespace) -> int:
    """`edgesdk doctor`."""
    from edgesdk import verbs

    checks = verbs.doctor(options.file, delegate=delegate_of(options))
    if options.json:
        return print_json([asdict(check) for check in checks])
    width = max(len(check.name) for check in checks)
    for check in checks:
        print(f"{'ok' if check.ok else '--'}  {check.name:<{width}}  {check.found}")
        if check.fix and not check.ok:
            print(f"    {'':<{width}}  {check.fix}")
    return 0
