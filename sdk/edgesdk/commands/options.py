"""Options that several commands share, and what was said by them."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edgesdk.commands.values import count, named_value
from edgesdk.runfolder import Learning
from edgesdk.spec import ARCHITECTURES, DEFAULT_ARCH

if TYPE_CHECKING:
    from edgesdk import Delegate

Command = Callable[[argparse.Namespace], int]
#: Makes a command, named as the function that runs it, with a summary and an example.
Add = Callable[[Command, str, str], argparse.ArgumentParser]
#: Options of every command.
EVERYWHERE = frozenset(("--json", "--quiet", "--verbose"))


def refuse(options: argparse.Namespace, unfit: Callable[[str], bool], of: str) -> None:
    """Refuse what was typed and says nothing here, instead of ignoring it.

    Args:
        unfit: whether a long option, such as "--epochs", says nothing; not asked about those of every command.
        of: what is done.

    Raises:
        ValueError: names what is to be left out.
    """
    said = dict.fromkeys(word.partition("=")[0] for word in options.typed if word.startswith("--"))
    others = [word for word in said if word not in EVERYWHERE and unfit(word)]
    if others:
        raise ValueError(f"{' and '.join(others)}: not for {of}, leave it out")


def add_network(command: argparse.ArgumentParser) -> None:
    """Which network, at which size."""
    command.add_argument(
        "--arch", default=DEFAULT_ARCH, metavar="A", help=f"{', '.join(ARCHITECTURES)} (default {DEFAULT_ARCH})"
    )
    command.add_argument("--width", type=float, default=1.0, metavar="W", help="width multiplier (default 1.0)")
    command.add_argument(
        "--res",
        type=int,
        metavar="R",
        help="input pixels a side (default: the paper's, 224 for most, 227 for AlexNet, 32 for LeNet and the ConvNet, "
        "28 for those that generate)",
    )
    command.add_argument(
        "--resize",
        default="crop",
        choices=("crop", "squash", "letterbox"),
        help="how a frame is made square (default crop)",
    )


def network_of(options: argparse.Namespace) -> dict[str, Any]:
    """`add_network`'s, for a verb."""
    return {"arch": options.arch, "width": options.width, "res": options.res, "resize": options.resize}


def add_learning(command: argparse.ArgumentParser, *, slicing: bool = True) -> None:
    """How it learns; `slicing`: also on an earlier layer's features."""
    earlier = "slice: one on an earlier layer's features; " if slicing else ""
    command.add_argument(
        "--transfer",
        default="auto",
        choices=("auto", "head", *(["slice"] if slicing else []), "finetune", "scratch"),
        help=f"head: a new last layer; {earlier}finetune: then everything; scratch: everything from nothing; "
        "auto measures which suits the photos (default)",
    )
    if slicing:
        command.add_argument("--cut", metavar="LAYER", help="where slice cuts (default: measured)")
    command.set_defaults(cut="")
    command.add_argument(
        "--epochs", type=int, metavar="N", help="default: by the amount of data; 0 takes the weights as they are"
    )
    command.add_argument("--batch", type=int, metavar="N", help="images a step (default 32; 128 to generate)")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="of everything random (default 0)")
    command.add_argument("--no-flip", action="store_true", help="a mirrored photo would be another class")


def learning_of(options: argparse.Namespace) -> dict[str, Any]:
    """`add_learning`'s, for a verb."""
    return {
        "transfer": options.transfer,
        "cut": options.cut,
        "epochs": options.epochs,
        "batch": Learning.batch if options.batch is None else options.batch,
        "seed": options.seed,
        "flip": not options.no_flip,
    }


def add_backend(command: argparse.ArgumentParser) -> None:
    """What runs a file."""
    command.add_argument(
        "--backend",
        default="auto",
        metavar="B",
        help="litert, litert-gpu, tflite-runtime, or auto: the fastest here that gives the golden outputs (default)",
    )
    command.add_argument(
        "--threads", type=count, default=None, metavar="N", help="CPU threads, or auto: as many as help (default)"
    )
    command.add_argument(
        "--trust", action="store_true", default=None, help="run a FILE that is new here without trying it apart first"
    )
    add_delegate(command)


def backend_of(options: argparse.Namespace) -> dict[str, Any]:
    """`add_backend`'s, for a verb."""
    return {
        "backend": options.backend,
        "threads": options.threads,
        "delegate": delegate_of(options),
        "quiet": options.quiet,
    }


def add_delegate(command: argparse.ArgumentParser) -> None:
    """`--delegate` and what it is told."""
    command.add_argument("--delegate", metavar="LIB", help="external delegate: a shared library that takes operations")
    command.add_argument(
        "--delegate-option",
        dest="delegate_options",
        type=named_value,
        action="append",
        default=[],
        metavar="K=V",
        help="what the delegate is told; may be repeated",
    )


def delegate_of(options: argparse.Namespace) -> "Delegate | None":
    """`add_delegate`'s."""
    if options.delegate is None:
        if options.delegate_options:
            raise ValueError("--delegate-option without --delegate: name the library that it is for, too")
        return None
    from edgesdk import Delegate

    return Delegate(path=options.delegate, options=dict(options.delegate_options))
