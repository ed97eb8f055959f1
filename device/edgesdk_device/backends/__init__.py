"""The runtimes that can run a model, one a file: `BACKENDS` names them, `open_backend` opens one."""

from collections.abc import Callable

from edgesdk.errors import BackendError
from edgesdk_device.backends import litert, tflite_runtime
from edgesdk_device.backends.interpreter import Backend, Tensor

__all__ = ["BACKENDS", "Backend", "Tensor", "installed_backends", "open_backend"]

#: In the order of preference.
BACKENDS: dict[str, Callable[[bytes, int], Backend]] = {
    "litert": litert.open_litert,
    "tflite-runtime": tflite_runtime.open_tflite_runtime,
}


def installed_backends() -> list[str]:
    """Names of the runtimes that are installed here, best first."""
    from importlib.util import find_spec

    packages = {"litert": "ai_edge_litert", "tflite-runtime": "tflite_runtime"}
    return [name for name in BACKENDS if find_spec(packages[name]) is not None]


def open_backend(model: bytes, name: str = "auto", threads: int = 1) -> Backend:
    """Load a model into a runtime, ready to invoke.

    Args:
        model: a TFLite flatbuffer that was checked (`edgesdk.modelfile.read`).
        name: in `BACKENDS`, or "auto" for the first one installed.
        threads: CPU threads, >= 1.

    Raises:
        ValueError: if there is no backend of that name or threads < 1.
        BackendError: if the runtime is not installed or refuses the model.
    """
    if threads < 1:
        raise ValueError(f"threads is {threads}, expected at least 1")
    if name == "auto":
        installed = installed_backends()
        if not installed:
            raise BackendError("no TFLite runtime is installed: pip install ai-edge-litert")
        name = installed[0]
    if name not in BACKENDS:
        raise ValueError(f"backend is {name!r}, expected auto or one of {', '.join(BACKENDS)}")
    return BACKENDS[name](model, threads)
