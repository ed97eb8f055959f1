"""tflite-runtime 2.14, the last of its line: Python up to 3.11, numpy 1, slow for signed int8."""

import sys
import warnings

from edgesdk.errors import BackendError
from edgesdk_device.backends.backend import Backend, Runtime
from edgesdk_device.backends.delegate import Delegate
from edgesdk_device.backends.interpreter import open_interpreter

NAME = "tflite-runtime"


def open_tflite_runtime(model: bytes, threads: int, delegate: Delegate | None = None) -> Backend:
    """Load a model into tflite-runtime; raises BackendError if it is missing or refuses the model.

    Warns:
        UserWarning: if nothing was delegated to XNNPACK, as with every signed int8 model: it runs many times slower
            than with LiteRT.
    """
    if "tensorflow" in sys.modules:
        raise BackendError(
            'tflite-runtime fails in a process that has loaded TensorFlow ("vector::reserve"): use it in a process of '
            "its own, as `edgesdk verify --backend tflite-runtime` does, or use litert"
        )
    try:
        import tflite_runtime
        from tflite_runtime import interpreter
    except ImportError as error:
        raise BackendError(
            f"tflite-runtime does not load ({error}): {RUNTIME.install} on Linux with Python 3.11, or use LiteRT"
        ) from error
    version = str(tflite_runtime.__version__)
    backend = open_interpreter(interpreter, model, NAME, version, threads, delegate)
    if not backend.delegated_nodes:
        warnings.warn(
            f"tflite-runtime {version} runs this model without XNNPACK, many times slower than LiteRT: "
            "pip install ai-edge-litert",
            stacklevel=2,
        )
    return backend


RUNTIME = Runtime(
    open=open_tflite_runtime,
    family="cpu",
    module="tflite_runtime",
    package="tflite-runtime",
    install="pip install 'edgesdk[tflite-runtime]'",
)
