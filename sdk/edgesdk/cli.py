"""The command line: parse, run one command, say what went wrong. Results go to stdout, everything else to stderr."""

import argparse
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

from edgesdk import __version__
from edgesdk.commands import (
    bench,
    choose,
    codec,
    convert,
    doctor,
    generative,
    inspect,
    phone,
    run,
    scale,
    train,
    verify,
)
from edgesdk.commands.options import Command
from edgesdk.errors import EdgeSDKError

#: In the order of --help.
COMMANDS = (train, convert, verify, inspect, bench, choose, run, codec, generative, phone, scale, doctor)
DESCRIPTION = "From a folder of photos to a proved .tflite on a camera device."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    0, 1 for an `EdgeSDKError`, 2 for wrong usage, 3 for `bench` that found something slower, 130 for Ctrl-C.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    options = build_parser().parse_args(arguments)
    options.typed = ["edgesdk", *arguments]
    warnings.showwarning = _show_warning
    try:
        command: Command = options.command
        return command(options)
    except EdgeSDKError as error:
        print(f"edgesdk: {error}", file=sys.stderr)
        return 1
    except ValueError as error:
        if options.verbose:
            raise
        print(f"edgesdk {options.verb}: {error} (see edgesdk {options.verb} --help)", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"edgesdk: stopped{_after_stop(options)}", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:  # `edgesdk run ... | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        if options.verbose:
            raise
        if isinstance(error, OSError) and error.filename is not None:  # where no verb looked for it
            print(
                f"edgesdk: cannot use {error.filename}: {error.strerror}; name something that exists and that you may "
                "read and write",
                file=sys.stderr,
            )
            return 1
        found = f"{type(error).__name__} ({' '.join(str(error).split())[:200]})"
        print(f"edgesdk: unexpected {found}: this is a bug in edgesdk; --verbose shows where", file=sys.stderr)
        return 1


class _Parser(argparse.ArgumentParser):
    """argparse with errors of one line, and help that keeps its examples."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


class _CommandParser(_Parser):
    """One command, which says itself what it does not know: it has the help, and names that are close."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        options, unknown = super().parse_known_args(args, namespace)
        if unknown:
            from difflib import get_close_matches  # a start that goes well does not wait for it

            close = get_close_matches(unknown[0].partition("=")[0], self._option_string_actions, n=1, cutoff=0.7)
            meant = f"; did you mean {close[0]}?" if close else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{meant}")
        return options, unknown


def build_parser() -> argparse.ArgumentParser:
    """The parser of every command; `verb` is its name in what it parses, `command` the function that runs it."""
    start = "Start with: edgesdk convert --width 0.5 --res 160"
    parser = _Parser(prog="edgesdk", description=DESCRIPTION, epilog=start)
    parser.add_argument("--version", action="version", version=f"edgesdk {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND", parser_class=_CommandParser)

    def add(run_it: Command, summary: str, example: str) -> argparse.ArgumentParser:
        name = run_it.__name__
        sub = verbs.add_parser(name, help=summary, description=summary, epilog=f"example:\n  {example}")
        sub.add_argument("--json", action="store_true", help="print the result as JSON")
        sub.add_argument("--quiet", action="store_true", help="no progress and no remarks on stderr")
        sub.add_argument("--verbose", action="store_true", help="show tracebacks")
        sub.set_defaults(command=run_it)
        return sub

    for module in COMMANDS:
        module.add_commands(add)
    return parser


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"edgesdk: {message}", file=sys.stderr)


def _after_stop(options: argparse.Namespace) -> str:
    return {
        "train": ": continue with the same command and --resume",
        "convert": ": the same command continues where it stopped",
        "choose": ": the same command continues where it stopped",
        "pack": ": the same command continues where it stopped",
    }.get(options.verb, "")


if __name__ == "__main__":
    sys.exit(main())
