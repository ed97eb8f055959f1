"""What else can go wrong under a command: each fault once, with what it says and leaves."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from faultcases import Case, wrong_files

if TYPE_CHECKING:
    from faults import Zygote

#: kB of a disk that each command fills up somewhere in the middle.
SMALL_DISK = {"compress": 4, "bench": 8, "pack": 40, "train": 200, "convert": 40, "choose": 300}
Row = dict[str, str]


def try_others(cases: list[Case], zygote: "Zygote", folder: Path) -> list[Row]:
    """One row a fault and command; `found` is "as it should be" where a sentence and a clean state came of it."""
    folder.mkdir()
    rows: list[Row] = []
    for case in cases:
        if os.geteuid() == 0:
            rows.append(_disk(case, zygote, folder, "disk full", f"size={SMALL_DISK[case.name]}k"))
            rows.append(_disk(case, zygote, folder, "read-only folder", "ro"))
        rows.append(_clock(case, zygote, folder))
        if case.name == "convert":
            rows.append(_worker(case, zygote, folder, "the converter's process is killed", _kill))
            rows.append(_worker(case, zygote, folder, "the converter's process runs out of memory", _starve))
    return rows


@contextmanager
def _mounted(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _disk(case: Case, zygote: "Zygote", folder: Path, fault: str, options: str) -> Row:
    with _mounted(folder / f"{case.name}_{options.partition('=')[0]}", options) as work:
        zygote.start([*case.words], work, folder / "log")
        code = zygote.wait()
        return _row(fault, case, code, folder / "log", wrong_files(work), expected=1)


def _clock(case: Case, zygote: "Zygote", folder: Path) -> Row:
    work = folder / f"{case.name}_clock"
    work.mkdir()
    zygote.start([*case.words], work, folder / "log", clock=True)
    code = zygote.wait()
    return _row("the clock jumps back an hour, each time", case, code, folder / "log", wrong_files(work), expected=0)


def _worker(case: Case, zygote: "Zygote", folder: Path, fault: str, harm: Callable[[int], None]) -> Row:
    """Harm the converter's process; the same command goes well afterwards. Dead before its first job it is replaced."""
    work = folder / f"{case.name}_{harm.__name__}"
    work.mkdir()
    group = zygote.start([*case.words], work, folder / "log")
    while not (found := _workers(group)):
        time.sleep(0.02)
    harm(found[0])
    code = zygote.wait()
    made = [path.name for path in work.glob("*.tflite")]
    wrong = wrong_files(work) + (made if code else [])
    row = _row(fault, case, code, folder / "log", wrong, expected=0 if made and not code else 1)
    shutil.rmtree(work)
    work.mkdir()
    zygote.start([*case.words], work, folder / "log")
    if zygote.wait() != 0 or wrong_files(work) or not (work / "colors.tflite").is_file():
        row["found"] = "the same command fails afterwards"
    return row


def _workers(group: int) -> list[int]:
    """Converter processes of a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            ours = entry.name.isdecimal() and os.getpgid(int(entry.name)) == group
            if ours and b"edgesdk_convert.worker" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:  # it ended meanwhile
            continue
    return found


def _kill(process: int) -> None:
    time.sleep(1.0)
    os.kill(process, signal.SIGKILL)


def _starve(process: int) -> None:
    """No byte more than it has now, as if another program had taken the rest."""
    time.sleep(1.0)
    size = int(Path(f"/proc/{process}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(process, resource.RLIMIT_AS, (size, size))


def _row(fault: str, case: Case, code: int, log: Path, wrong: list[str], *, expected: int) -> Row:
    said = log.read_text(errors="replace").strip().splitlines()
    last = said[-1] if said else ""
    found = "as it should be"
    if wrong:
        found = "; ".join(wrong)
    elif code != expected or any("Traceback" in line for line in said) or "this is a bug" in last:
        found = f"expected code {expected} and a sentence"
    said_of = "" if expected == 0 else last.replace(sys.prefix, ".venv").replace("|", "/")[:160]
    return {"fault": fault, "command": case.name, "code": str(code), "says": said_of, "found": found}
