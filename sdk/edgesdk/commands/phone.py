"""`edgesdk phone` and `edgesdk web`, and how an address is shown to a phone."""

import argparse
import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from edgesdk.commands.options import Add
from edgesdk.commands.printing import print_json
from edgesdk.errors import MissingPackageError
from edgesdk.progress import remark
from edgesdk.reports import report

if TYPE_CHECKING:
    from edgesdk_device.web.phone import Happening


def add_commands(add: Add) -> None:
    """The two commands' options."""
    command = add(
        phone,
        "prove, run and measure files in a phone's browser",
        "edgesdk phone model.tflite --collect photos/ --report phone.html",
    )
    command.add_argument("files", metavar="FILE", nargs="+", type=Path, help="a .tflite, or a codec's folder or name")
    command.add_argument(
        "--serve", default="8443", metavar="[HOST:]PORT", help="where to serve (default 8443 on every network)"
    )
    command.add_argument("--collect", type=Path, metavar="DIR", help="where the page saves frames under a label")
    command.add_argument(
        "--report", type=Path, metavar="FILE", help="write what was measured so far to .html, .md, .csv or .json"
    )
    _add_litertjs(command)

    command = add(web, "the same page as a static site", "edgesdk web model.tflite -o site/")
    command.add_argument("files", metavar="FILE", nargs="+", type=Path, help="a .tflite, or a codec's folder or name")
    command.add_argument("-o", "--out", required=True, type=Path, metavar="DIR", help="a new folder, or an older site")
    _add_litertjs(command)


def phone(options: argparse.Namespace) -> int:
    """`edgesdk phone`: serves until it is stopped."""
    from edgesdk.verbs import phone as phoneverbs

    if options.report is not None:
        report.check_report(options.report)
    rows: list[report.Row] = []
    with phoneverbs.phone(
        options.files, serve=options.serve, collect=options.collect, litertjs=options.litertjs
    ) as server:
        show_address(server.address)
        for happening in server.happenings():
            if happening.kind == "joined":
                remark(f"{happening.phone} opened the page; another one opens {server.address}", quiet=options.quiet)
            if happening.row is not None:
                rows.append(happening.row)
                if options.report is not None:
                    report.write_report(options.report, report.Report(rows=rows, command=options.typed))
            _say(happening, as_json=options.json)
    return 0


def web(options: argparse.Namespace) -> int:
    """`edgesdk web`."""
    from edgesdk.verbs import phone as phoneverbs

    path = phoneverbs.build_site(options.files, options.out, litertjs=options.litertjs)
    size = sum(item.stat().st_size for item in path.rglob("*") if item.is_file())
    if options.json:
        return print_json({"path": str(path), "size_bytes": size})
    print(f"{path}: {size / 1e6:.1f} MB, for any web server with https")
    print(f"next: python -m http.server -d {shlex.quote(str(path))}, then open http://localhost:8000")
    return 0


def show_address(address: str) -> None:
    """Print an address for a phone to stderr, and where that is a terminal its QR code."""
    if sys.stderr.isatty():
        try:
            import segno
        except ImportError as missing:
            raise MissingPackageError("segno", "phone", "a QR code") from missing
        segno.make(address, error="l", micro=False).terminal(sys.stderr, compact=True)
    remark(f"open {address} on the phone, and accept the certificate: it was made just now", quiet=False)


def show_page(address: str) -> None:
    """As `show_address`, where the page may be for this machine only."""
    if address.startswith("https:"):
        show_address(address)
    else:
        remark(f"watch at {address}", quiet=False)


def _say(happening: "Happening", *, as_json: bool) -> None:
    if as_json:
        row = None if happening.row is None else asdict(happening.row)
        print(json.dumps(asdict(happening) | {"row": row}, ensure_ascii=False), flush=True)
    elif happening.row is not None:
        print(report.as_text([happening.row]), flush=True)
    elif happening.kind == "saved":
        print(f"{happening.phone} saved {happening.text}", flush=True)


def _add_litertjs(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--litertjs", type=Path, metavar="DIR", help="folder with its packages from `npm pack`, where npm is not here"
    )
