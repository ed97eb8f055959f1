"""The proof in every runtime: a file goes out only after the runtimes installed here replayed its golden outputs."""

import atexit
import importlib.metadata
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edgesdk import modelfile
from edgesdk.contract import Contract, Ran
from edgesdk.errors import BackendError, ConversionError
from edgesdk.progress import remark
from edgesdk_convert.inspect import Graph
from edgesdk_convert.opversions import too_new
from edgesdk_convert.worker import OTHER_LAYERS
from edgesdk_device.apart import Apart
from edgesdk_device.backends import BACKENDS, installed_backends
from edgesdk_device.firstrun import remember
from edgesdk_device.replay import replay_in, replayer

_provers: dict[str, Apart] = {}
_lock = threading.Lock()


def check_operations(graph: Graph, *, quiet: bool = True) -> None:
    """Make sure that the file holds built-in operations only, and remark on those that cost speed or a runtime.

    Raises:
        ConversionError: names the operations that are not built in.
    """
    if graph.custom:
        raise ConversionError(f"the file needs {', '.join(graph.custom)}, not built into TFLite: {OTHER_LAYERS}")
    if graph.float_islands:
        remark(f"stays float32 in the quantized file, and slow: {', '.join(graph.float_islands)}", quiet=quiet)
    new = too_new(graph)
    if new and "tflite-runtime" not in installed_backends():  # where it is installed, its own refusal is told
        remark(f"tflite-runtime 2.14 refuses this file ({'; '.join(new)}): use LiteRT", quiet=quiet)


def prove_runtimes(final: bytes, contract: Contract, *, quiet: bool = True) -> tuple[Ran, ...]:
    """Replay the golden outputs in every installed runtime, each in a process of its own, side by side.

    The processes stay for the next file, as their start takes longer than a proof; one that fails is not asked again.
    tflite-runtime fails beside TensorFlow and may take its process down: a refusal or death is a row and a remark.

    Args:
        final: the converter's flatbuffer; what runs is the sealed file, byte for byte as it will be written.
        contract: with golden outputs and tolerances.
        quiet: no remarks.

    Raises:
        ConversionError: if LiteRT, the runtime of every platform, does not give the golden outputs.
    """
    names = installed_backends()
    with _lock, tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(len(names)) as beside:
        _start_missing()  # another thread's failed proof may have closed some meanwhile
        path = Path(folder) / "model.tflite"
        digest = modelfile.write(path, final, contract).sha256
        ran = tuple(beside.map(lambda name: _run(path, name), names))
    remember(digest, [row.runtime for row in ran if row.ok])
    for row in ran:
        if not row.ok and row.runtime == "litert":
            raise ConversionError(f"{row.reason}: nothing was written; try another --quantize")
        if not row.ok:
            remark(f"{row.reason}: use LiteRT", quiet=quiet)
    return ran


def warm_runtimes() -> None:
    """Start the processes that `prove_runtimes` asks, where there are none; their start goes on beside the caller."""
    with _lock:
        _start_missing()


def _start_missing() -> None:
    for name in installed_backends():
        if name not in _provers:
            _provers[name] = replayer(f"{name} {_version(name)}".strip())


@atexit.register
def _close_provers() -> None:
    while _provers:
        _provers.popitem()[1].close()


def _run(path: Path, name: str) -> Ran:
    version, subject = _version(name), _provers[name].subject
    try:
        result = replay_in(_provers[name], path, name)
    except BackendError as error:
        _provers.pop(name).close()
        reason = str(error)
        reason = reason if reason.startswith(subject) else f"{subject}: {reason}"
        return Ran(runtime=name, version=version, ok=False, reason=reason)
    reason = "" if result.ok else f"{subject} {result.disagreement}"
    return Ran(runtime=name, version=version, ok=result.ok, max_difference=result.max_difference, reason=reason)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(BACKENDS[name].package)
    except importlib.metadata.PackageNotFoundError:  # Debian's package of tflite-runtime names itself otherwise
        return ""
