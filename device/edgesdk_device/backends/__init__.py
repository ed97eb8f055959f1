"""The runtimes that can run a model, one a file: `BACKENDS` names them, `open_backend` opens one."""

from edgesdk.errors import BackendError
from edgesdk_device.backends import litert, litert_gpu, tflite_runtime
from edgesdk_device.backends.backend import Backend, Family, Runtime, Tensor
from edgesdk_device.backends.delegate import Delegate

__all__ = ["BACKENDS", "Backend", "Delegate", "Tensor", "installed_backends", "open_backend"]

#: In the order of preference.
BACKENDS: dict[str, Runtime] = {
    "litert": litert.RUNTIME,
    "litert-gpu": litert_gpu.RUNTIME,
    "tflite-runtime": tflite_runtime.RUNTIME,
}


def installed_backends(family: Family = "cpu") -> list[str]:
    """Names of the runtimes of a family that are installed here, best first."""
    return [name for name, runtime in BACKENDS.items() if runtime.family == family and runtime.installed]


def first_backend() -> str:
    """The name of the best CPU runtime installed here; raises BackendError if there is none."""
    installed = installed_backends()
    if not installed:
        raise BackendError(f"no TFLite runtime is installed: {litert.RUNTIME.install}")
    return installed[0]


def open_backend(model: bytes, name: str | None = None, threads: int = 1, delegate: Delegate | None = None) -> Backend:
    """Load a model into a runtime, ready to invoke.

    Args:
        model: a TFLite flatbuffer that was checked (`edgesdk.modelfile.read`).
        name: in `BACKENDS`; the best CPU runtime installed if None.
        threads: CPU threads, >= 1.
        delegate: takes over what it can.

    Raises:
        ValueError: if there is no backend of that name or threads < 1.
        BackendError: if the runtime is not installed, or it or the delegate refuses the model.
    """
    check_backend(name or "auto", threads)
    return BACKENDS[name or first_backend()].open(model, threads, delegate)


def check_backend(name: str, threads: int | None) -> None:
    """Refuse a backend or a number of threads that cannot be; raises ValueError."""
    if threads is not None and threads < 1:
        raise ValueError(f"threads is {threads}, expected at least 1")
    if name != "auto" and name not in BACKENDS:
        raise ValueError(f"backend is {name!r}, expected auto or one of {', '.join(BACKENDS)}")
