"""`edgesdk verify`: whether a file gives its golden outputs here."""

import argparse
from dataclasses import asdict
from pathlib import Path

from edgesdk.choice import name_place, name_runtime
from edgesdk.commands.options import Add, add_backend, backend_of
from edgesdk.commands.printing import print_json


def add_commands(add: Add) -> None:
    """The command's options."""
    command = add(verify, "replay the golden outputs of a file here", "edgesdk verify model.tflite")
    command.add_argument("file", metavar="FILE", type=Path)
    add_backend(command)


def verify(options: argparse.Namespace) -> int:
    """`edgesdk verify`: exit code 1 where an output differs."""
    from edgesdk import verbs

    result = verbs.verify(options.file, **backend_of(options), trust=bool(options.trust))
    if options.json:
        print_json(asdict(result))
    else:
        name = name_runtime(result.backend, result.choice.threads, result.delegate)
        found = "NaN" if result.max_difference is None else f"{result.max_difference:.2g}"
        verdict = "agrees" if result.ok else "DISAGREES"
        print(f"{options.file}: {verdict} with its {result.inputs} golden outputs on {name}")
        print(f"  largest difference {found}, allowed {result.tolerance:.2g}")
        place = name_place(result.backend, result.delegate)
        print(f"  {result.delegated_nodes} of {result.nodes} operations on {place}")
    return 0 if result.ok else 1
