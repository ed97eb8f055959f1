"""LiteRT's CompiledModel on the GPU: WebGPU over Vulkan, Direct3D or Metal, whole graphs only."""

import ctypes
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesdk.errors import BackendError
from edgesdk.quiet import captured_output
from edgesdk_device.backends.backend import Backend, Runtime, read_tensors
from edgesdk_device.backends.delegate import Delegate
from edgesdk_device.backends.interpreter import count_nodes
from edgesdk_device.backends.litert import RUNTIME as LITERT
from edgesdk_device.backends.litert import litert_version

NAME = "litert-gpu"
_DRIVER = "it needs a Vulkan driver of Linux (Mesa 25 or newer, or the maker's), Metal or Direct3D"
_quiet_exit = False


class CompiledBackend(Backend):
    """A model compiled for the GPU, with its buffers."""

    family = "gpu"

    def __init__(self, compiled: Any, details: Any, threads: int, device: str) -> None:
        tensors = read_tensors(details)
        self._nodes = count_nodes(details._get_ops_details())[0]
        self._compiled = compiled
        self._inputs, self._outputs = compiled.create_input_buffers(0), compiled.create_output_buffers(0)
        super().__init__(
            NAME,
            litert_version(),
            threads=threads,
            delegate=None,
            input=tensors[0],
            output=tensors[1],
            device=device,
        )
        self._size, self._output = int(np.prod(self.output.shape)), np.empty(0)
        self._write(np.zeros(self.input.shape, self.input.dtype))  # the first one starts more of LiteRT, with its log

    @property
    def _counts(self) -> tuple[int, int]:
        return self._nodes, self._nodes

    def _write(self, values: npt.NDArray[Any]) -> None:
        self._inputs[0].write(values)

    def run(self) -> None:
        """Run on what was set last; reads the output, because the GPU is only known to be done when it is read."""
        self._compiled.run_by_index(0, self._inputs, self._outputs)
        self._output = self._outputs[0].read(self._size, np.dtype(self.output.dtype))

    def get_output(self) -> npt.NDArray[Any]:
        """The raw output of the last run."""
        return self._output.reshape(self.output.shape)

    def close(self) -> None:
        """Free the GPU's memory; the backend cannot be used afterwards."""
        with captured_output():
            self._inputs = self._outputs = []
            self._compiled = None


def open_litert_gpu(model: bytes, threads: int, delegate: Delegate | None = None) -> Backend:
    """Compile a model for the GPU: every operation runs there, or it is refused.

    Raises:
        BackendError: if there is no usable GPU or driver, or any operation would stay on the CPU.
    """
    if delegate is not None:
        raise BackendError(f"{NAME} takes no delegate: name litert or tflite-runtime with {delegate.name}")
    try:
        from ai_edge_litert.compiled_model import CompiledModel
        from ai_edge_litert.environment import Environment
        from ai_edge_litert.hardware_accelerator import HardwareAccelerator
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise BackendError(f"LiteRT's CompiledModel does not load ({error}): {LITERT.install}") from error
    with captured_output() as written:  # the reason of a failure stands nowhere else
        environment = Environment.create()
        try:
            details = Interpreter(model_content=model)
            # Computing in float16, as it does by default, is what the contract's tolerance for GPUs allows.
            compiled = CompiledModel.from_buffer(model, HardwareAccelerator.GPU, environment)
            if not compiled.is_fully_accelerated():
                raise BackendError(f"{NAME} {litert_version()} leaves operations of this model to the CPU: use litert")
            return CompiledBackend(compiled, details, threads, _device(written()))
        except (RuntimeError, ValueError) as error:
            environment.close()  # here, where its log is captured
            reason = _reason(written()) or " ".join(str(error).split())
            raise BackendError(f"{NAME} {litert_version()} does not run here: {reason[:300]}; {_DRIVER}") from error
        finally:
            _keep_exit_quiet()


def has_driver() -> bool:
    """Whether it is worth to try: on Linux a Vulkan driver is installed, elsewhere the system brings one."""
    if not sys.platform.startswith("linux") or {"VK_DRIVER_FILES", "VK_ICD_FILENAMES"} & os.environ.keys():
        return True
    places = (Path(root, "vulkan/icd.d") for root in ("/usr/share", "/etc", "/usr/local/share"))
    return any(place.is_dir() and any(place.glob("*.json")) for place in places)


def _device(written: str) -> str:
    """The GPU that Dawn took: "llvmpipe (LLVM 15.0.6, 256 bits), CPU / Software", or "" where it does not say."""
    found = re.search(r"Selected adapter: (.+?), arch=.*adapterType=(.+)$", written, re.MULTILINE)
    return "" if found is None else f"{found[1]}, {found[2]}"


def _reason(written: str) -> str:
    """What LiteRT and Dawn, its WebGPU, say of a failure, without the places in their source."""
    found = re.findall(r"^(?:Warning: |ERROR: \[[^]]*\] )(\S.*)$", written, re.MULTILINE)
    return "; ".join(dict.fromkeys(text.rstrip(".!") for text in found))


def _keep_exit_quiet() -> None:
    """Close stderr at the very end of the process: LiteRT logs the end of its accelerators there, past Python's exit.

    What C is to do at the exit is done in reverse: this comes first because LiteRT has been started before.
    """
    global _quiet_exit
    if not _quiet_exit and hasattr(libc := ctypes.CDLL(None), "__cxa_atexit"):
        _quiet_exit = libc.__cxa_atexit(ctypes.cast(libc.close, ctypes.c_void_p), ctypes.c_void_p(2), None) == 0


RUNTIME = Runtime(
    open=open_litert_gpu,
    family="gpu",
    module=LITERT.module,
    package=LITERT.package,
    install=LITERT.install,
)
