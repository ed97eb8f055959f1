"""The command line's options, their help and their examples."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from edgesdk import __version__
from edgesdk.commands import codec as codeccommands
from edgesdk.commands import generative as generativecommands
from edgesdk.commands import measureoptions as measureparser
from edgesdk.commands import phone as phonecommands
from edgesdk.commands import scale as scalecommands
from edgesdk.commands.measureoptions import add_delegate, count, words
from edgesdk.commands.methodoptions import add_methods
from edgesdk.recipe import RECIPES
from edgesdk.spec import ARCHITECTURES, DEFAULT_ARCH

DESCRIPTION = "From a folder of photos to a proved .tflite on a camera device."


class _Parser(argparse.ArgumentParser):
    """argparse with errors of one line, and help that keeps its examples."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


class _OneOrTwo(argparse.Action):
    """Takes one or two values."""

    def __call__(self, parser: argparse.ArgumentParser, options: argparse.Namespace, values: Any, *_: Any) -> None:
        if len(values) > 2:
            parser.error(f"{len(values)} files were named, expected one, or two to compare")
        setattr(options, self.dest, values)


def build_parser() -> argparse.ArgumentParser:
    """The parser of every command; `verb` is the command's name in what it parses."""
    start = "Start with: edgesdk convert --width 0.5 --res 160"
    parser = _Parser(prog="edgesdk", description=DESCRIPTION, epilog=start)
    parser.add_argument("--version", action="version", version=f"edgesdk {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")

    def add(name: str, summary: str, example: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=summary, description=summary, epilog=f"example:\n  {example}")
        sub.add_argument("--json", action="store_true", help="print the result as JSON")
        sub.add_argument("--quiet", action="store_true", help="no progress and no remarks on stderr")
        sub.add_argument("--verbose", action="store_true", help="show tracebacks")
        return sub

    command = add("train", "learn the classes of a folder of photos", "edgesdk train photos/ --width 0.75 --res 160")
    command.add_argument(
        "data",
        metavar="DATA",
        nargs="?",
        help="one subfolder of photos a class, a .tar of them, an .npz, or digits; for a codec any photos",
    )
    _add_network(command)
    command.add_argument("--weights", default="none", metavar="W", help="imagenet, a Keras .h5 file or none (default)")
    command.add_argument(
        "--init-from",
        metavar="RUN",
        help="begin with another's encoder or discriminator: the run folder of a network that generates (none: random "
        "weights), or for --arch compressor a codec",
    )
    _add_learning(command)
    codeccommands.add_training(command)
    add_methods(command)
    generativecommands.add_training(command)
    scalecommands.add_team(command)
    command.add_argument("--resume", action="store_true", help="continue what was interrupted in the run folder")
    command.add_argument("-o", "--out", type=Path, metavar="RUN", help="run folder (default: named by model and data)")

    command = add(
        "convert",
        "make a proved .tflite",
        "edgesdk convert --width 0.5 --res 160 --data photos/ --max-drop 1\n"
        "  edgesdk convert mine.keras --values unit --data photos/",
    )
    command.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        type=Path,
        help="run folder of train, Keras file (.keras, .h5), SavedModel or float .tflite; without it one is built",
    )
    command.add_argument("--data", metavar="DATA", help="photos to learn (without MODEL), calibrate and judge on")
    _add_network(command)
    command.set_defaults(arch=None, width=None, res=None)  # said or not said, which matters beside MODEL
    command.add_argument("--weights", metavar="W", help="imagenet, a Keras .h5 file or none")
    command.add_argument(
        "--values",
        choices=("signed", "unit", "bytes"),
        help="what a foreign MODEL expects for black to white: -1 to 1, 0 to 1 or 0 to 255 (default: bytes where its "
        "first layer scales them, else signed)",
    )
    command.add_argument("--labels", type=Path, metavar="FILE", help="a foreign MODEL's labels, one a line")
    command.add_argument(
        "--trust",
        action="store_true",
        help="run code that a foreign MODEL holds, and a .tflite that is new here without trying it apart first",
    )
    command.add_argument(
        "--recipe",
        choices=tuple(RECIPES),
        help="tiny: fewest bytes once compressed (--prune 0.8); fast: fewest milliseconds (--shrink 0.5); accurate: at "
        "most half a point lost (--max-drop 0.5); what is said beside it comes first",
    )
    command.add_argument(
        "--quantize",
        choices=("float32", "float16", "dynamic", "int8", "int16x8"),
        help="float16 and dynamic shrink weights only, int8 everything, int16x8 with finer activations (default int8)",
    )
    command.add_argument(
        "--io",
        choices=("uint8", "int8", "float32"),
        help="input and output type (int8 files: uint8, which MediaPipe reads too)",
    )
    command.add_argument(
        "--quantizer",
        choices=("tensorflow", "ai-edge"),
        help="who makes int8: ai-edge takes ai-edge-quantizer, a second and no TensorFlow (default tensorflow)",
    )
    command.add_argument(
        "--shrink",
        type=float,
        metavar="SHARE",
        help="multiply-adds to keep, such as 0.5: whole channels go, milliseconds",
    )
    command.add_argument(
        "--prune", type=float, metavar="SPARSITY", help="share of zero weights, such as 0.8: bytes after compression"
    )
    command.add_argument("--cluster", type=int, metavar="N", help="distinct weights in each large layer, such as 16")
    command.add_argument("--qat", action="store_true", help="quantization-aware training: learn with int8's rounding")
    command.add_argument(
        "--max-drop", type=float, metavar="POINTS", help="repair what loses more points of top-1, or refuse it"
    )
    command.add_argument(
        "--min-snr", type=float, metavar="DB", help="the same by the outputs' signal to noise, for any network"
    )
    command.add_argument(
        "--no-repair", action="store_true", help="plain quantization: neither equalization nor bias correction"
    )
    _add_learning(command)
    command.add_argument("-o", "--out", type=Path, metavar="FILE", help="the .tflite (default: named by model, data)")

    command = add("verify", "replay the golden outputs of a file here", "edgesdk verify model.tflite")
    command.add_argument("file", metavar="FILE", type=Path)
    _add_backend(command)

    command = add(
        "inspect",
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

    measureparser.add_bench(
        add(
            "bench",
            "measure files on this machine, another one, or a fleet",
            "edgesdk bench a.tflite b.tflite --data photos/ --report b.html\n"
            "  edgesdk bench a.tflite --on pi@kitchen --baseline before.json --tolerance 5",
        )
    )

    command = add(
        "choose",
        "learn, convert and measure a grid of models, and take the best that keeps the limits",
        "edgesdk choose photos/ --weights imagenet --budget 30ms --max-size 2MB --report choose.html",
    )
    measureparser.add_choose(command)
    _add_learning(command)
    scalecommands.add_engine(command, "cell")

    command = add(
        "run",
        "name what a camera sees",
        "edgesdk run model.tflite --source 0 --serve 8000\n  edgesdk run model.tflite --app app.toml --print-service",
    )
    command.add_argument("file", metavar="FILE", type=Path)
    command.add_argument("--frames", type=int, metavar="N", help="stop after N frames")
    codeccommands.add_recording(command)
    command.add_argument(
        "--app", type=Path, metavar="TOML", help="app file with any of the following; flags come first"
    )
    command.add_argument("--print-service", action="store_true", help="print a systemd unit that does the same")
    _add_capture(command)
    _add_backend(command)
    command.set_defaults(backend=None, threads=None)  # said or not said, which matters beside --app
    _add_decisions(command)
    _add_sinks(command)

    codeccommands.add_commands(add)
    generativecommands.add_commands(add)
    phonecommands.add_commands(add)
    scalecommands.add_commands(add, measureparser.size)

    command = add("doctor", "say what works here and how to get the rest", "edgesdk doctor model.tflite")
    command.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        type=Path,
        help="try every runtime with it, and choose anew what `auto` takes",
    )
    add_delegate(command)
    return parser


def _add_network(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--arch", default=DEFAULT_ARCH, metavar="A", help=f"{', '.join(ARCHITECTURES)} (default {DEFAULT_ARCH})"
    )
    command.add_argument("--width", type=float, default=1.0, metavar="W", help="width multiplier (default 1.0)")
    command.add_argument(
        "--res",
        type=int,
        metavar="R",
        help="input pixels a side (default: the paper's, 224 for most, 227 for AlexNet, 32 for LeNet and the ConvNet)",
    )
    command.add_argument(
        "--resize",
        default="crop",
        choices=("crop", "squash", "letterbox"),
        help="how a frame is made square (default crop)",
    )


def _add_learning(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--transfer",
        default="auto",
        choices=("auto", "head", "slice", "finetune", "scratch"),
        help="head: a new last layer; slice: one on an earlier layer's features; finetune: then everything; scratch: "
        "everything from nothing; auto measures which suits the photos (default)",
    )
    command.add_argument("--cut", default="", metavar="LAYER", help="where slice cuts (default: measured)")
    command.add_argument(
        "--epochs", type=int, metavar="N", help="default: by the amount of data; 0 takes the weights as they are"
    )
    command.add_argument("--batch", type=int, metavar="N", help="images a step (default 32; 128 to generate)")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="of everything random (default 0)")
    command.add_argument("--no-flip", action="store_true", help="a mirrored photo would be another class")


def _add_backend(command: argparse.ArgumentParser) -> None:
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


def _add_capture(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("source")
    group.add_argument(
        "--source", metavar="SRC", help="camera number, video, URL, photo folder or synthetic (default 0)"
    )
    group.add_argument("--size", type=_pair("x"), metavar="WxH", help="picture of a camera, such as 640x480")
    group.add_argument("--fps", type=float, metavar="N", help="frames a second of a camera, or of --paced")
    group.add_argument("--fourcc", metavar="CODE", help="pixel format of a USB camera, such as MJPG")
    group.add_argument(
        "--stall", type=float, metavar="S", help="open a camera or URL anew that is silent for S seconds"
    )
    group.add_argument("--paced", action="store_true", default=None, help="play a file or folder in real time")
    group.add_argument("--loop", action="store_true", default=None, help="with --paced: again and again")


def _add_decisions(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("decisions")
    group.add_argument("--threshold", type=float, metavar="P", help="a lower score is none of these (default 0.5)")
    group.add_argument(
        "--votes", type=_pair("/"), metavar="K/N", help="a label is there once K of N frames say so (default 3/5)"
    )
    group.add_argument("--none", type=words, metavar="LABEL,..", help="classes that mean none of these")
    group.add_argument("--cooldown", type=float, metavar="S", help="seconds before a label that left is seen again")
    group.add_argument("--region", type=_numbers, metavar="L,T,R,B", help="part of the frame to look at, each 0 to 1")
    group.add_argument("--motion", type=float, metavar="SHARE", help="classify only after so much of the picture moved")


def _add_sinks(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("who gets to know")
    group.add_argument("--events", metavar="FILE", help="append one JSON object a line")
    group.add_argument("--events-mb", type=float, metavar="MB", help="size before a new file begins (default 10)")
    group.add_argument("--decided", action="store_true", default=None, help="events without a line for each frame")
    group.add_argument("--serve", metavar="[HOST:]PORT", help="a web page; on this machine only unless HOST is named")
    group.add_argument("--viewers", type=int, metavar="N", help="who may watch at once (default 20)")
    group.add_argument("--collect", metavar="DIR", help="where the page saves frames under a label, to train on")
    group.add_argument("--save-uncertain", metavar="DIR", help="keep frames that the model is unsure of")
    group.add_argument(
        "--uncertain-mb", type=float, metavar="MB", help="at most so many, the oldest leave (default 200)"
    )
    group.add_argument(
        "--mqtt", metavar="URL", help="publish to a broker, mqtt://user@broker.local; Home Assistant too"
    )
    group.add_argument("--show", action="store_true", default=None, help="a window on the screen")


def _pair(mark: str) -> Callable[[str], tuple[int, int]]:
    def pair(text: str) -> tuple[int, int]:
        first, _, second = text.partition(mark)
        return int(first), int(second)

    pair.__name__ = f"pair N{mark}N"  # argparse names it in its error
    return pair


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(word) for word in text.split(","))
