"""LiteRT's Interpreter: TensorFlow Lite as it lives on (CPU, XNNPACK)."""

from edgesdk.errors import BackendError
from edgesdk_device.backends.interpreter import Backend, open_interpreter


def open_litert(model: bytes, threads: int) -> Backend:
    """Load a model into LiteRT; raises BackendError if it is missing or refuses the model."""
    try:
        from ai_edge_litert import interpreter
    except ImportError as error:
        raise BackendError(f"LiteRT does not load ({error}): pip install ai-edge-litert") from error
    return open_interpreter(interpreter, model, "litert", _version(), threads)


def _version() -> str:
    import ai_edge_litert

    return str(ai_edge_litert.__version__)
