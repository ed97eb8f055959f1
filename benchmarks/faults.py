"""kill -9 at random moments, a full disk, a folder that takes nothing, a clock that jumps back, memory that runs out.

    python benchmarks/faults.py                          60 kills of each command, then the other faults
    python benchmarks/faults.py --kills 5 --only bench   a few of one

A command is killed at a moment drawn evenly from the time it takes, started again in the same folder, killed again, and
so on; whenever one comes to its end the result is compared with an uninterrupted run's, and it begins anew in an empty
folder. After every kill each file under a final name is read whole. Commands run as forks of a process that has
imported everything already: what is killed is the command, not Python's start. The full disk and the read-only folder
are tmpfs mounts (root only). Writes benchmarks/results/<board>/faults.md and .json; exit code 1 if anything was lost.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from faultcases import Case, equal, left_parts, make_cases, make_inputs, wrong_files
from results import board_folder, save

from edgesdk.progress import remark
from edgesdk_device.board import board_name

ORPHANS_S = 20.0
LONGEST_S = 900.0


class Zygote:
    """A process that has imported everything and forks commands."""

    def __init__(self, *, heavy: bool) -> None:
        pipe = subprocess.PIPE
        command = [sys.executable, "-W", "ignore", __file__, "--zygote", *(["--heavy"] if heavy else [])]
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self._answer()

    def start(self, words: list[str], folder: Path, log: Path, clock: bool = False) -> int:
        """The process id of a command that runs in the folder."""
        assert self._process.stdin is not None
        question = {"words": words, "folder": str(folder), "log": str(log), "clock": clock}
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return int(self._answer())

    def wait(self) -> int:
        """The exit code of the command that was started; the negative signal where it was killed."""
        return int(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the zygote died")
        return line

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def _zygote(heavy: bool) -> None:
    """For each line on stdin: fork, run, tell the process id and then how it ended."""
    from edgesdk import cli

    if heavy:
        from edgesdk.quiet import import_tensorflow

        import_tensorflow()
        import edgesdk_train.learn  # noqa: F401 - all for the forks
    import edgesdk_device.codec  # noqa: F401

    answers = os.fdopen(os.dup(1), "w")
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        child = os.fork()
        if not child:
            os.setsid()
            log = os.open(question["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for descriptor in (1, 2):
                os.dup2(log, descriptor)
            answers.close()
            os.chdir(question["folder"])
            if question["clock"]:
                _turn_back()
            code = 70
            try:
                code = cli.main(question["words"])
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        print(child, file=answers, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)


def _turn_back() -> None:
    """Each look at the clock finds it an hour earlier."""
    real, looks = time.time, [0]

    def earlier() -> float:
        looks[0] += 1
        return real() - 3600.0 * looks[0]

    time.time = earlier


def group_ends(group: int, seconds: float = ORPHANS_S) -> bool:
    """Whether nothing of a process group is left within so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def kill_again_and_again(case: Case, zygote: Zygote, kills: int, seconds: float, folder: Path) -> dict[str, Any]:
    """One row of the table."""
    log, work = folder / "log", folder / "work"
    work.mkdir()
    begun = time.monotonic()
    zygote.start([*case.words], work, log)
    if zygote.wait() != 0:
        raise SystemExit(f"{case.name} fails without any kill: {log.read_text()[-500:]}")
    took, wanted = time.monotonic() - begun, case.result(work)
    chance = random.Random(case.name)
    row: dict[str, Any] = {"name": case.name, "seconds": round(took, 1), "kills": 0, "ends": 0, "wrong": []}
    row |= {"different": 0, "orphans": 0, "parts": 0}
    fresh = True
    until = time.monotonic() + seconds
    while True:
        if fresh:
            shutil.rmtree(work)
            work.mkdir()
        last, begun = row["kills"] >= kills or time.monotonic() > until, time.monotonic()
        words = [*case.words, *(() if fresh else case.resume)]
        group = zygote.start(words, work, log)
        if not last:
            time.sleep(chance.uniform(0, took))
            with contextlib.suppress(ProcessLookupError):  # it came to its end
                os.kill(group, signal.SIGKILL)
        code = zygote.wait()
        if code == -signal.SIGKILL:
            row["kills"] += 1
            row["orphans"] += not group_ends(group)
            row["wrong"] += [f"kill {row['kills']}: {text}" for text in wrong_files(work)]
            row["parts"] = max(row["parts"], left_parts(work))
            fresh = False
            continue
        if code != 0:
            row["wrong"].append(f"after kill {row['kills']} a rerun ends with {code}: {log.read_text()[-300:]}")
            fresh = True
        else:
            row["ends"] += 1
            took = min(took, time.monotonic() - begun) if not row["kills"] else took
            row["different"] += not equal(case.result(work), wanted)
            row["wrong"] += wrong_files(work)
            fresh = True
        if last:
            return row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=60, help="of each command")
    parser.add_argument("--minutes", type=float, default=30, help="at most, for each command's kills")
    parser.add_argument("--only", action="append", help="one command; may be said again")
    parser.add_argument("--no-others", action="store_true", help="kills alone")
    parser.add_argument(
        "--inputs", type=Path, metavar="DIR", help="where photos and a model are kept (default: made anew)"
    )
    parser.add_argument("--dry", action="store_true", help="print the result, write nothing")
    parser.add_argument("--zygote", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--heavy", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.zygote:
        _zygote(options.heavy)
        return 0
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        inputs = options.inputs or Path(name) / "inputs"
        os.environ["EDGESDK_CACHE"] = str(Path(name) / "cache")
        chosen = [case for case in make_cases(inputs) if options.only is None or case.name in options.only]
        if not inputs.exists():
            inputs.mkdir()
            make_inputs(inputs, learned=any(case.name != "compress" for case in chosen))
        zygote = Zygote(heavy=any(case.heavy for case in chosen))
        for case in chosen:
            folder = Path(name) / case.name
            folder.mkdir()
            rows.append(kill_again_and_again(case, zygote, options.kills, 60 * options.minutes, folder))
            remark(json.dumps(rows[-1]), quiet=False)
            if not options.dry:  # what comes after it may take long
                _save(rows, [])
        others: list[dict[str, str]] = []
        if not options.no_others:
            from otherfaults import try_others

            others = try_others(chosen, zygote, Path(name) / "others")
        zygote.close()
    print(as_markdown(rows, others))
    if not options.dry:
        _save(rows, others)
    bad = any(row["wrong"] or row["different"] or row["orphans"] for row in rows)
    return 1 if bad or any(row["found"] != "as it should be" for row in others) else 0


def _save(rows: list[dict[str, Any]], others: list[dict[str, str]]) -> None:
    rows, others = _with_earlier(rows, others)
    save("faults.md", as_markdown(rows, others))
    save("faults.json", json.dumps({"board": board_name(), "kills": rows, "others": others}, indent=1))


def _with_earlier(
    rows: list[dict[str, Any]], others: list[dict[str, str]]
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """These rows, and of commands that were left out this time those that stand in the results."""
    try:
        before = json.loads((board_folder() / "faults.json").read_bytes())
    except OSError:
        return rows, others
    names, faulted = {row["name"] for row in rows}, {row["command"] for row in others}
    kept = [row for row in before["kills"] if row["name"] not in names]
    kept_others = [row for row in before["others"] if row["command"] not in faulted]
    order = ["compress", "bench", "pack", "train", "convert", "choose"]
    return (
        sorted([*kept, *rows], key=lambda row: order.index(row["name"])),
        sorted([*kept_others, *others], key=lambda row: order.index(row["command"])),
    )


def as_markdown(rows: list[dict[str, Any]], others: list[dict[str, str]]) -> str:
    """What was done, how often, what was lost."""
    head = ("command", "seconds a run", "kills", "runs to the end", "wrong or lost files", "other results")
    lines = [(*head, "processes left", "unfinished files left"), ("---",) * 8]
    for row in rows:
        cells = [row["name"], f"{row['seconds']:.1f}", row["kills"], row["ends"], len(row["wrong"]), row["different"]]
        lines.append(tuple(map(str, (*cells, row["orphans"], row["parts"]))))
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    if others:
        text += "\n\n| fault | command | exit code | what it says | files |\n| --- | --- | --- | --- | --- |\n"
        text += "\n".join(
            f"| {row['fault']} | {row['command']} | {row['code']} | {row['says']} | {row['found']} |" for row in others
        )
    kills = sum(row["kills"] for row in rows)
    return text + f"\n\n{kills} kills; {board_name()}."


if __name__ == "__main__":
    sys.exit(main())
