"""Another machine over OpenSSH: it gets each file once, measures by itself, and its rows come back.

The measurement runs on there without us, under a name made of what it measures. So a lost connection costs nothing: the
same command finds it again, finished or not. Hosts, keys and ports are those of the user's own OpenSSH.
"""

import hashlib
import json
import os
import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgesdk import __version__, modelfile
from edgesdk.contract import decode_value
from edgesdk.errors import BackendError, EdgeSDKError, MeasurementError
from edgesdk.measurement import MEMORY, Measurement, Refused
from edgesdk.progress import remark

FOLDER = ".cache/edgesdk/bench"  # below the home folder there
#: A login without a terminal often has only the system's PATH: where people keep what pip installs.
PATHS = "$HOME/.local/bin:$HOME/.venv/bin:$HOME/edgesdk/.venv/bin"
OPTIONS = (
    "-o",
    "BatchMode=yes",
    "-o",
    "ConnectTimeout=10",
    "-o",
    "ServerAliveInterval=5",
    "-o",
    "ServerAliveCountMax=3",
)
LOST = 255  # ssh's exit code for its own failures
TRIES, PAUSE_S = 3, 2.0
WAIT_S = 30.0  # for one look at a measurement, so that a host that fell asleep is noticed


@dataclass(frozen=True, kw_only=True)
class Host:
    """A machine to measure on.

    Attributes:
        address: USER@HOST, or a name of the user's ssh configuration.
        command: edgesdk there.
        name: what the report calls it.
    """

    address: str
    command: str = "edgesdk"
    name: str = ""

    def __post_init__(self) -> None:
        if not self.address or self.address.startswith("-"):  # ssh would take it for an option
            raise ValueError(f"the host is {self.address!r}, expected USER@HOST or a name of the ssh configuration")


def bench_on(
    paths: Sequence[Path],
    host: Host,
    *,
    backends: Sequence[str],
    threads: Sequence[int | None],
    source: str = MEMORY,
    sustained_minutes: float = 0.0,
    quick: bool,
    quiet: bool,
) -> list[Measurement | Refused]:
    """Rows as of `edgesdk.bench`, measured there; `source` is one of that machine.

    Raises:
        ModelFileError: if a file is missing, damaged or has no contract.
        MeasurementError: if the host is lost or has no edgesdk; what runs there goes on, and the same call finds it.
        BackendError: if every row was refused there.
    """
    files = [modelfile.read(path) for path in paths]
    for file in files:
        file.required_contract()
    doctor(host, quiet=quiet)
    sent = {_digest(path): path for path in paths}
    for digest, path in sent.items():
        if send(host, path, digest):
            remark(f"sent {path.name} to {host.address}", quiet=quiet)
    words = ["bench", *(f"{digest}.tflite" for digest in sent), "--backend", ",".join(backends)]
    words += ["--threads", ",".join("auto" if count is None else str(count) for count in threads)]
    words += [*(["--source", source] if source != MEMORY else [])]
    words += [*(["--sustained", f"{sustained_minutes:g}"] if sustained_minutes else [])]
    words += ["--quiet", *(["--quick"] if quick else [])]
    rows = run(host, words, quiet=quiet)
    by_name = {f"{digest}.tflite": str(path) for digest, path in sent.items()}
    place = host.name or host.address
    return [replace(row, path=by_name.get(Path(row.path).name, row.path), place=place) for row in rows]


def doctor(host: Host, *, quiet: bool) -> None:
    """Check that edgesdk works there.

    Raises:
        MeasurementError: with what is missing and how to get it.
    """
    try:
        checks = json.loads(_ssh(host, f"{_command(host)} doctor --json"))
        machine = next(check["found"] for check in checks if check["name"] == "machine")
        runtimes = [check for check in checks if check["name"] in ("litert", "tflite-runtime")]
    except (ValueError, KeyError, TypeError, StopIteration, RecursionError) as error:
        raise MeasurementError(
            f"edgesdk on {host.address} answers no JSON to `doctor`: install version {__version__} there"
        ) from error
    if not any(check["ok"] for check in runtimes):
        fixes = "; ".join(f"{check['name']} {check['found']}: {check['fix']}" for check in runtimes)
        raise MeasurementError(f"no runtime works on {host.address}: {fixes}")
    remark(f"{host.address}: {machine}", quiet=quiet)


def send(host: Host, path: Path, digest: str) -> bool:
    """Copy a file there under its hash where it is not yet; returns whether it was sent."""
    there = f"{FOLDER}/{digest}.tflite"
    part = f"{there}.{os.getpid()}.part"
    if _ssh(host, f"mkdir -p {FOLDER} && test -f {there} && echo yes || echo no").split()[-1:] == [b"yes"]:
        return False
    # Renamed once it is whole: a connection that breaks leaves nothing under the final name.
    check = f'test "$(sha256sum < {part} | cut -c1-64)" = {digest}'
    _ssh(host, f"cat > {part} && {check} && mv {part} {there}", path.read_bytes())
    return True


def run(host: Host, words: Sequence[str], *, quiet: bool) -> list[Measurement | Refused]:
    """Start `edgesdk WORDS` there where it does not run yet, wait for it and fetch its rows."""
    job = hashlib.sha256(json.dumps([*words, __version__]).encode()).hexdigest()[:16]
    line = f"{_command(host)} {shlex.join(words)} --report {job}/rows.json"
    # `mkdir` is the lock: of two who ask for the same, one starts it and both wait for it.
    start = (
        f"cd {FOLDER} && if test -f {job}/code; then echo done; elif test -f {job}/pid && kill -0 $(cat {job}/pid); "
        f"then echo running; else rm -rf {job}; mkdir {job} && "
        f"{{ nohup sh -c {shlex.quote(f'{line}; echo $? > {job}/code.part; mv {job}/code.part {job}/code')} "
        f"> {job}/out 2> {job}/err < /dev/null & echo $! > {job}/pid; echo started; }}; fi 2> /dev/null"
    )
    state = _patiently(host, start, quiet=quiet).split()[-1:]
    if state != [b"started"]:
        remark(f"{host.address} has measured this already, or is at it: going on from there", quiet=quiet)
    look = (
        f"cd {FOLDER} && n=0; while ! test -f {job}/code && kill -0 $(cat {job}/pid) 2> /dev/null && "
        f"test $n -lt {WAIT_S:.0f}; do sleep 1; n=$((n+1)); done; test -f {job}/code && cat {job}/code || "
        f"{{ kill -0 $(cat {job}/pid) 2> /dev/null && echo running || echo gone; }}"
    )
    while (code := _patiently(host, look, quiet=quiet).split()[-1:]) == [b"running"]:
        pass
    answer = _patiently(host, f"cd {FOLDER} && cat {job}/rows.json 2> /dev/null || true", quiet=quiet)
    said = " ".join(_patiently(host, f"tail -c 600 {FOLDER}/{job}/err", quiet=quiet).decode(errors="replace").split())
    _patiently(host, f"rm -rf {FOLDER}/{job}", quiet=quiet)
    if code == [b"gone"]:
        raise MeasurementError(
            f"{host.address} stopped in the middle of measuring (restarted?): the same command again"
        )
    if code != [b"0"] and not answer:
        raise BackendError(f"{host.address}: {said or f'edgesdk there ended with code {code[0].decode()}'}")
    try:
        items = json.loads(answer)
        return [decode_value(Refused if "reason" in item else Measurement, item, "row") for item in items]
    except (ValueError, TypeError, RecursionError) as error:
        raise MeasurementError(
            f"{host.address} sent rows that cannot be read ({str(error)[:80]}): install edgesdk {__version__} there"
        ) from error


def _patiently(host: Host, line: str, *, quiet: bool) -> bytes:
    """As `_ssh`, again after a pause where the connection breaks."""
    for _ in range(TRIES - 1):
        try:
            return _ssh(host, line)
        except LostError as error:
            remark(f"{error}; trying again", quiet=quiet)
            time.sleep(PAUSE_S)
    return _ssh(host, line)


class LostError(MeasurementError):
    """The connection could not be made or broke."""


def _ssh(host: Host, line: str, stdin: bytes = b"") -> bytes:
    """What a line of shell prints there.

    Raises:
        LostError: if the connection cannot be made or breaks.
        MeasurementError: if the line fails.
    """
    words = [*shlex.split(os.environ.get("EDGESDK_SSH", "ssh")), *OPTIONS, host.address, f"PATH=$PATH:{PATHS}; {line}"]
    try:
        done = subprocess.run(words, input=stdin, capture_output=True, timeout=600, check=False)
    except FileNotFoundError as error:
        raise MeasurementError(f"{words[0]} is not installed: apt-get install openssh-client") from error
    except subprocess.TimeoutExpired as error:
        raise LostError(f"{host.address} does not answer any more: the same command goes on from there") from error
    said = " ".join(done.stderr.decode(errors="replace").split())[-300:]
    if done.returncode == LOST:
        raise LostError(
            f"{host.address} is not reached ({said or 'the connection broke'}): what runs there goes on, the same "
            "command finds it again; `ssh` to it must work without a password"
        )
    if done.returncode == 127:
        raise MeasurementError(
            f"{host.address} has no {host.command} on its PATH or in {PATHS}: pip install edgesdk into ~/.venv there"
        )
    if done.returncode:
        raise MeasurementError(f"{host.address}: {said or f'exit code {done.returncode}'}")
    return done.stdout


def _command(host: Host) -> str:
    return shlex.quote(host.command)


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise EdgeSDKError(f"cannot read {path}: {error.strerror}") from error
