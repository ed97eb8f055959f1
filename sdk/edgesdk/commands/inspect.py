"""`edgesdk inspect`: what is inside a file or a run folder, or what differs between two files."""

import argparse
from pathlib import Path
from typing import Any

from edgesdk.commands.options import Add
from edgesdk.commands.printing import print_json


class _OneOrTwo(argparse.Action):
    """Takes one or two values."""

    def __call__(self, parser: argparse.ArgumentParser, options: argparse.Namespace, values: Any, *_: Any) -> None:
        if len(values) > 2:
            parser.error(f"{len(values)} files were named, expected one, or two to compare")
        setattr(options, self.dest, values)


def add_commands(add: Add) -> None:
    """The command's options."""
    command = add(
        inspect,
        "show what is inside a file or a run folder, or what differs between two files",
        "edgesdk inspect a.tflite b.tflite\n  edgesdk inspect photos.run --activations photo.jpg --report inside.html",
    )
    command.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        action=_OneOrTwo,
        type=Path,
        help="one or two .tflite files, or a run",
    )
    command.add_argument("--activations", metavar="PHOTO", help="of a run: draw what each layer answers to a photo")
    command.add_argument("--report", type=Path, metavar="FILE", help="of a run: write it all to an .html")


def inspect(options: argparse.Namespace) -> int:
    """`edgesdk inspect`: one file or run whole, or what differs between two files."""
    from edgesdk import inspection, verbs
    from edgesdk.reports import runreport

    if options.activations or options.report or options.files[0].is_dir():
        if len(options.files) > 1:
            raise ValueError(f"{len(options.files)} names beside a run folder, expected it alone")
        looked = verbs.inspect_run(options.files[0], activations=options.activations, report=options.report)
        if options.json:
            return print_json(runreport.as_json(looked))
        print("\n".join(runreport.as_text(looked)))
        return 0
    found = [verbs.inspect(path) for path in options.files]
    if options.json:
        facts = [inspection.as_json(item) for item in found]
        return print_json(facts[0] if len(facts) == 1 else facts)
    lines = inspection.as_text(found[0]) if len(found) == 1 else inspection.difference(*found)
    print("\n".join(lines))
    return 0
