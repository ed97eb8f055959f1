"""A phone or board with Android, measured over adb with Android's own `benchmark_model`.

The commands and the reading of what the tool prints are tested; no phone was at hand: not verified on hardware.
"""

import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from edgesdk import modelfile
from edgesdk.errors import BackendError, NothingMeasuredError
from edgesdk.measurement import OnAndroid, Refused
from edgesdk.modelfile import ModelFile
from edgesdk.reports.benchlog import parse_log
from edgesdk_device.backends import Delegate

#: Where programs may run that adb puts there; the tool is expected here, the files go here.
FOLDER = "/data/local/tmp"
TOOL = f"{FOLDER}/benchmark_model"
GET_TOOL = "https://ai.google.dev/edge/litert/models/measurement"
TIMEOUT_S = 300.0
RUNS = 200

#: --backend -> what the tool is told. NNAPI is deprecated since Android 15; where it is gone, the tool says so.
FLAGS = {
    "auto": ["--use_xnnpack=true"],
    "litert": ["--use_xnnpack=true"],
    "litert-gpu": ["--use_gpu=true"],
    "nnapi": ["--use_nnapi=true"],
}
_APPLIED = re.compile(r"will be (?:completely|partially) executed by the delegate")


def measure_on_android(
    paths: Sequence[Path],
    serial: str,
    backends: Sequence[str] = ("auto",),
    threads: Sequence[int | None] = (None,),
    delegate: Delegate | None = None,
) -> list[OnAndroid | Refused]:
    """Every file with every backend and number of threads, then with the delegate; see `edgesdk.bench_android`."""
    for name in backends:
        if name not in FLAGS:
            raise ValueError(f"backend is {name!r}, on Android expected one of {', '.join(FLAGS)}")
    files = [modelfile.read(path) for path in paths]
    adb = Adb(serial)
    runs = [(name, "", FLAGS[name]) for name in backends]
    if delegate is not None:
        runs.append(("delegate", delegate.name, delegate_flags(adb.push(Path(delegate.path)), delegate)))
    rows: list[OnAndroid | Refused] = []
    for file in files:
        model = adb.push(file.path)
        for name, library, flags in runs:
            rows += [_measure(adb, file, model, name, library, count or 1, flags) for count in threads]
    if all(isinstance(row, Refused) for row in rows):
        raise NothingMeasuredError(rows)
    return rows


def delegate_flags(library: str, delegate: Delegate) -> list[str]:
    """How the tool is told to load an external delegate that lies on the device."""
    told = ";".join(f"{key}:{value}" for key, value in delegate.options.items())
    return [f"--external_delegate_path={library}", *([f"--external_delegate_options={told}"] if told else [])]


def build_command(model: str, threads: int, flags: Sequence[str]) -> list[str]:
    """The tool's words for one measurement."""
    return [
        TOOL,
        f"--graph={model}",
        f"--num_threads={threads}",
        f"--num_runs={RUNS}",
        "--warmup_runs=10",
        "--report_peak_memory_footprint=true",
        *flags,
    ]


def _measure(
    adb: "Adb", file: ModelFile, model: str, backend: str, library: str, threads: int, flags: Sequence[str]
) -> OnAndroid | Refused:
    name = file.path.stem if file.contract is None else f"{file.contract.name} {file.contract.recipe.precision}"
    try:
        text = adb.shell(*build_command(model, threads, flags))
        row = parse_log(
            text,
            model=name,
            path=str(file.path),
            sha256=file.sha256,
            backend=backend,
            threads=threads,
            delegate=library,
            device=adb.device,
        )
        if row is None:
            said = "; ".join(line.strip() for line in text.splitlines() if "ERROR" in line)[-300:]
            raise BackendError(f"benchmark_model on {adb.device} printed no timings{f' ({said})' if said else ''}")
        if flags != FLAGS["litert"] and not _APPLIED.search(text):
            raise BackendError(f"{library or backend} took nothing of the model on {adb.device}: the CPU ran it all")
    except BackendError as error:
        return Refused(
            model=name,
            path=str(file.path),
            sha256=file.sha256,
            backend=backend,
            threads=threads,
            delegate=library,
            reason=str(error),
        )
    return row


class Adb:
    """A device that adb reaches.

    Raises:
        BackendError: if adb, the device or the tool on it is missing.
    """

    def __init__(self, serial: str) -> None:
        if shutil.which("adb") is None:
            raise BackendError("adb is not installed: apt-get install adb, or take Android's platform-tools")
        self.serial = serial
        name, version = (
            self.shell("getprop", f"ro.{key}").strip() for key in ("product.model", "build.version.release")
        )
        self.device = f"{name}, Android {version} ({serial})"
        if TOOL not in self.shell("ls", TOOL, check=False).split():
            raise BackendError(
                f"{self.device} has no {TOOL}: download Android's benchmark_model for its processor ({GET_TOOL}), then "
                f"adb -s {serial} push benchmark_model {TOOL} and adb -s {serial} shell chmod +x {TOOL}"
            )

    def push(self, path: Path) -> str:
        """Copy a file to the device; returns its path there."""
        if not path.is_file():
            raise BackendError(f"{path} is not there: name a file to copy to {self.device}")
        there = f"{FOLDER}/{path.name}"
        self._adb("push", str(path), there)
        return there

    def shell(self, *words: str, check: bool = True) -> str:
        """What a command on the device prints; raises BackendError if it fails, unless told not to check."""
        return self._adb("shell", shlex.join(words), check=check)

    def _adb(self, *words: str, check: bool = True) -> str:
        try:
            done = subprocess.run(
                ["adb", "-s", self.serial, *words],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise BackendError(f"adb {words[0]} on {self.serial} took over {TIMEOUT_S:g} s: it was stopped") from error
        if check and done.returncode:
            said = " ".join(done.stdout.split())[-300:]
            raise BackendError(f"adb {words[0]} on {self.serial} failed: {said or f'exit code {done.returncode}'}")
        return done.stdout
