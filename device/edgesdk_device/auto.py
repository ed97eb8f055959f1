"""What runs a model here when that is left open: measured once, the fastest that is right, remembered.

Each runtime that is installed is tried with 1, 2, 4, ... threads, in a process of its own (`edgesdk_device.trial`).
The choice is kept in the cache folder for this model, board and these versions, so that the next start only reads.
"""

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesdk import __version__
from edgesdk.cache import cache_folder
from edgesdk.choice import Choice, Trial
from edgesdk.contract import decode_value
from edgesdk.errors import BackendError, WriteError
from edgesdk.modelfile import ModelFile
from edgesdk.progress import remark
from edgesdk_device.backends import BACKENDS, Delegate, check_backend, first_backend, installed_backends
from edgesdk_device.backends.litert_gpu import has_driver
from edgesdk_device.board import board_name

if TYPE_CHECKING:
    from edgesdk_device.trial import Contender

#: More threads have stragglers and take the cores from the camera: they must be faster by more than that.
MORE_THREADS = 0.8
#: The order of `BACKENDS` holds unless another is faster by more than the noise of two short measurements.
OTHER_RUNTIME = 0.9
#: One thread that got less of a CPU than that was disturbed, and so are all figures: then only a large gap counts.
IDLE = 0.7
OTHER_RUNTIME_BUSY = 0.5
GPU_TIMEOUT_S = 3.0  # a program that takes longer to compile would do so at every start


def choose(
    file: ModelFile,
    backend: str,
    threads: int | None,
    delegate: Delegate | None = None,
    *,
    quiet: bool = True,
    anew: bool = False,
) -> Choice:
    """The runtime and the number of threads for a model, measured here where they are left open.

    Args:
        file: with its contract.
        backend: in `BACKENDS`, or "auto".
        threads: None if open.
        delegate: with one, nothing is measured: what the user names is taken, on one thread unless said.
        quiet: no remarks.
        anew: measure even if it was measured before.

    Raises:
        ValueError: if there is no such backend, or threads < 1.
        BackendError: if no runtime is installed, or none gives the golden outputs: names each one's reason.
    """
    check_backend(backend, threads)
    names = _candidates() if backend == "auto" else [backend]
    counts = thread_counts() if threads is None else [threads]
    named = backend if backend != "auto" else first_backend()
    if delegate is not None or (len(names) == 1 and (len(counts) == 1 or BACKENDS[named].family == "gpu")):
        reason = (
            "named" if backend != "auto" else f"the best runtime for {delegate.name}" if delegate else "the only one"
        )
        return Choice(backend=named, threads=threads or 1, reason=reason)
    if not file.required_contract().golden or not sys.executable or getattr(sys, "frozen", False):
        reason = "not measured: that takes golden outputs in the file and a Python that can be started"
        return Choice(backend=named, threads=threads or 1, reason=reason)
    remembered = None if anew else _recall(file, backend, threads)
    if remembered is not None:
        return remembered
    from edgesdk_device.trial import try_contenders

    remark(f"measuring once what runs {file.path.name} fastest here", quiet=quiet)
    choice = settle(file, backend, threads, try_contenders(file.path, contenders(names, counts)))
    remark(str(choice), quiet=quiet)
    return choice


def try_file(file: ModelFile, delegate: Delegate | None = None) -> tuple[Trial, ...]:
    """Every runtime here with a model, and with the delegate where there is one; the GPU has its time."""
    from edgesdk_device.trial import Contender, try_contenders

    found = contenders(_all_here(), thread_counts(), gpu_timeout_s=60.0)
    if delegate is not None:
        found += [Contender(backend=name, delegate=delegate) for name in installed_backends()]
    return try_contenders(file.path, found)


def settle(file: ModelFile, backend: str, threads: int | None, tried: tuple[Trial, ...]) -> Choice:
    """`pick` among these trials (those without a delegate), remembered where the cache folder takes it."""
    from edgesdk.atomic import make_folder, write_text  # once a machine; each start only reads

    names = _candidates() if backend == "auto" else [backend]
    choice = pick(tuple(trial for trial in tried if trial.backend in names and not trial.delegate), file.path)
    path, key = _cached(file, backend, threads)
    with contextlib.suppress(WriteError):  # measured again at the next start, then
        make_folder(path.parent)
        write_text(path, json.dumps({"key": key, "choice": asdict(choice)}, indent=1, ensure_ascii=False))
    return choice


def contenders(names: Sequence[str], counts: Sequence[int], gpu_timeout_s: float = GPU_TIMEOUT_S) -> "list[Contender]":
    """Every runtime with every number of threads, a GPU once."""
    from edgesdk_device.trial import Contender

    found = []
    for name in names:
        if BACKENDS[name].family == "gpu":
            found.append(Contender(backend=name, timeout_s=gpu_timeout_s))
        else:
            found += [Contender(backend=name, threads=count) for count in counts]
    return found


def pick(tried: tuple[Trial, ...], path: Path) -> Choice:
    """The fastest that gave the golden outputs; more threads and less preferred runtimes must win clearly.

    Raises:
        BackendError: if none did; with each one's reason.
    """
    right = [trial for trial in tried if not trial.reason]
    if not right:
        reasons = "; ".join(trial.refusal for trial in tried)
        raise BackendError(f"no runtime here gives the golden outputs of {path}: {reasons}")
    # A GPU that the CPU only plays takes all its cores for that.
    right = [trial for trial in right if "Software" not in trial.device] or right
    right.sort(key=lambda trial: trial.threads)  # stable: among equals the order of preference stays
    best = right[0]
    busy = best.threads == 1 and best.cpu_over_wall is not None and best.cpu_over_wall < IDLE
    for trial in right[1:]:
        assert trial.p50_ms is not None and trial.p90_ms is not None
        assert best.p50_ms is not None and best.p90_ms is not None
        share = 1.0
        if trial.backend != best.backend:
            share = OTHER_RUNTIME_BUSY if busy else OTHER_RUNTIME
        if trial.threads > best.threads:
            share *= 0.0 if busy or trial.p90_ms >= best.p90_ms else MORE_THREADS
        if trial.p50_ms < share * best.p50_ms:
            best = trial
    others = [f"{trial.name} {trial.p50_ms:.2f} ms" for trial in tried if not trial.reason and trial is not best]
    others += [f"{trial.backend} refused" for trial in tried if trial.reason]
    reason = f"{best.p50_ms:.2f} ms here" + (f", others: {'; '.join(others)}" if others else "")
    reason += "; the machine was busy, `edgesdk doctor FILE` measures again" if busy else ""
    return Choice(backend=best.backend, threads=best.threads, reason=reason, tried=tried)


def thread_counts() -> list[int]:
    """1, 2, 4, ... and the number of cores that this process may use."""
    cores = _cores()
    return sorted({1, cores, *(2**power for power in range(cores.bit_length()) if 2**power <= cores)})


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _all_here() -> list[str]:
    first_backend()  # says what to install where there is none
    return installed_backends() + (installed_backends("gpu") if has_driver() else [])


def _candidates() -> list[str]:
    if "tensorflow" in sys.modules:  # tflite-runtime fails beside it, and its LLVM crashed with that of a GPU driver
        return [first_backend()]
    return _all_here()


def _version(name: str) -> str:
    try:
        return str(getattr(import_module(BACKENDS[name].module), "__version__", ""))
    except ImportError:  # the trial will say it
        return "does not load"


def _cached(file: ModelFile, backend: str, threads: int | None) -> tuple[Path, dict[str, Any]]:
    """Where the choice is kept, and what it holds for."""
    names = _candidates() if backend == "auto" else [backend]
    key = {
        "model": file.sha256,
        "backend": backend,
        "threads": threads,
        "board": board_name(),
        "cores": _cores(),
        "versions": {"edgesdk": __version__, **{name: _version(name) for name in names}},
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return cache_folder() / "choices" / f"{digest[:32]}.json", key


def _recall(file: ModelFile, backend: str, threads: int | None) -> Choice | None:
    """What was remembered; None where nothing was or the file is damaged."""
    path, key = _cached(file, backend, threads)
    try:
        found = json.loads(path.read_bytes())
        if found["key"] != key:
            return None
        choice = decode_value(Choice, found["choice"], "choice")
        assert isinstance(choice, Choice)
        check_backend(choice.backend, choice.threads)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return choice
