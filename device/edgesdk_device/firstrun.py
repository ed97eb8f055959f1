"""A model that this machine does not know runs in a guarded process first; run as a module it is that process.

Runtimes are written for models that converters make: one made to harm may crash them, never end or take all memory.
There it harms nobody. This is no sandbox: a file that made a runtime run code of its own would run it as this user.
"""

import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import edgesdk
from edgesdk.atomic import make_folder, write_text
from edgesdk.cache import cache_folder
from edgesdk.errors import WriteError
from edgesdk.frozen import frozen
from edgesdk_device.backends import BACKENDS, Delegate, open_backend

TIMEOUT_S = 60.0
SHIPPED = Path(edgesdk.__file__).parent


@frozen
class Survived:
    """Runs that came to an end."""

    runs: int


def run_first(
    content: bytes,
    path: Path,
    backend: str,
    threads: int = 1,
    delegate: Delegate | None = None,
    *,
    digest: str | None = None,
) -> None:
    """Run a model apart, once a machine and runtime; at once for those that come with edgesdk or were made here.

    Args:
        content: the flatbuffer.
        path: its name, for the sentence.
        backend, threads, delegate: as for `open_backend`.
        digest: sha256 of `content`, where it is known already.

    Raises:
        BackendError: if the runtime refuses the model, dies on it, or does not come to an end within a minute.
    """
    digest = digest or hashlib.sha256(content).hexdigest()
    if _is_known(digest, path, backend, delegate):
        return
    import tempfile  # not for a model that is known: every start would wait for it

    from edgesdk_device.apart import ask_apart

    with tempfile.NamedTemporaryFile(prefix="edgesdk_", suffix=".tflite") as file:
        file.write(content)
        file.flush()
        question = {"path": file.name, "backend": backend, "threads": threads}
        question["delegate"] = None if delegate is None else asdict(delegate)
        ask_apart("edgesdk_device.firstrun", question, f"{path}, run apart because it is new here,", TIMEOUT_S)
    remember(digest, [backend], delegate)


def remember(digest: str, backends: Sequence[str], delegate: Delegate | None = None) -> None:
    """Note that a model ran well in these runtimes, apart; without a cache folder it is tried again the next time.

    Args:
        digest: sha256 of the flatbuffer.
    """
    with contextlib.suppress(WriteError):
        for backend in backends:
            place = _note(digest, backend, delegate)
            make_folder(place.parent)
            write_text(place, "")


def confine(model_bytes: int) -> None:
    """Limit this process to what a model of that size may need, 2 GiB more and 8 times its bytes; no core dump."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # not everywhere, and not above a limit that stands
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        most = mapped + 2 * 2**30 + 8 * model_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _is_known(digest: str, path: Path, backend: str, delegate: Delegate | None) -> bool:
    return path.resolve().is_relative_to(SHIPPED) or _note(digest, backend, delegate).is_file()


def _note(digest: str, backend: str, delegate: Delegate | None) -> Path:
    """The empty file that says it; another version of the runtime has another one."""
    version = str(getattr(import_module(BACKENDS[backend].module), "__version__", ""))
    key = json.dumps([digest, backend, version, None if delegate is None else asdict(delegate)], default=str)
    return cache_folder() / "known" / hashlib.sha256(key.encode()).hexdigest()[:32]


def _run(path: str, backend: str, threads: int, delegate: dict[str, Any] | None) -> Survived:
    content = Path(path).read_bytes()
    if BACKENDS[backend].family == "cpu" and delegate is None:  # a driver maps more than it uses
        confine(len(content))
    with open_backend(content, backend, threads, None if delegate is None else Delegate(**delegate)) as opened:
        shape, dtype = opened.input.shape, np.dtype(opened.input.dtype)
        values = [0, 255] if dtype == np.uint8 else [-128, 127] if dtype == np.int8 else [-1, 0, 1]
        for value in values:
            opened.invoke(np.full(shape, value, dtype))
        opened.invoke(np.random.default_rng(0).integers(min(values), max(values), shape, endpoint=True).astype(dtype))
    return Survived(runs=len(values) + 1)


if __name__ == "__main__":
    from edgesdk_device.apart import answer_apart

    answer_apart(_run)
