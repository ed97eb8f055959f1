"""LiteRT's Interpreter: TensorFlow Lite as it lives on (CPU, XNNPACK, external delegates)."""

from edgesdk.errors import BackendError
from edgesdk_device.backends.backend import Backend, Runtime
from edgesdk_device.backends.delegate import Delegate
from edgesdk_device.backends.interpreter import open_interpreter


def open_litert(model: bytes, threads: int, delegate: Delegate | None = None) -> Backend:
    """Load a model into LiteRT; raises BackendError if it is missing or refuses the model."""
    try:
        from ai_edge_litert import interpreter
    except ImportError as error:
        raise BackendError(f"LiteRT does not load ({error}): {RUNTIME.install}") from error
    return open_interpreter(interpreter, model, "litert", litert_version(), threads, delegate)


def litert_version() -> str:
    """The version of the package that is installed."""
    import ai_edge_litert

    return str(ai_edge_litert.__version__)


RUNTIME = Runtime(
    open=open_litert,
    family="cpu",
    module="ai_edge_litert",
    package="ai-edge-litert",
    install="pip install ai-edge-litert",
)
