"""What every runtime is here: a name with a way to get it, and a loaded model that takes one image at a time."""

import abc
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from edgesdk.errors import BackendError
from edgesdk.frozen import frozen
from edgesdk_device.backends.delegate import Delegate

Family = Literal["cpu", "gpu"]


@frozen
class Tensor:
    """An input or output: its place in the graph, shape with the batch, dtype, quantization (scale 0 for none)."""

    name: str
    index: int
    shape: tuple[int, ...]
    dtype: npt.DTypeLike
    scale: float
    zero_point: int


class Backend(abc.ABC):
    """A loaded model on one runtime: one image in, one output out.

    Attributes:
        name: of the runtime, as in `BACKENDS`.
        family: which of the contract's tolerances holds.
        version: of the runtime.
        threads: CPU threads it was given.
        delegate: the external delegate that takes part, None without one.
        input, output: the model's only input and output.
        device: the GPU's name, "" on the CPU.
        allocate_ms: what allocating tensors and packing weights took; None where the runtime does it while it loads.
    """

    family: Family
    allocate_ms: float | None = None

    def __init__(
        self,
        name: str,
        version: str,
        *,
        threads: int,
        delegate: Delegate | None,
        input: Tensor,
        output: Tensor,
        device: str = "",
    ) -> None:
        self.name, self.version, self.threads, self.delegate = name, version, threads, delegate
        self.input, self.output, self.device = input, output, device

    @property
    def nodes(self) -> int:
        """Operations in the graph."""
        return self._counts[0]

    @property
    def delegated_nodes(self) -> int:
        """How many of them run on what was asked for: the external delegate, or else XNNPACK (CPU) or the GPU."""
        return self._counts[1]

    @property
    @abc.abstractmethod
    def _counts(self) -> tuple[int, int]:
        """Both, counted when they are first asked for: a label needs neither."""

    def invoke(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Run once.

        Args:
            values: the input's shape (the batch of 1 may be left out) and dtype.

        Returns:
            A copy of the raw output, of the output's shape and dtype.

        Raises:
            ValueError: if the values are of another shape or dtype.
        """
        self.set_input(values)
        self.run()
        return self.get_output()

    def set_input(self, values: npt.NDArray[Any]) -> None:
        """Copy values into the input tensor; see `invoke`."""
        if values.dtype != self.input.dtype or values.shape not in (self.input.shape, self.input.shape[1:]):
            raise ValueError(
                f"input is {values.dtype} {values.shape}, expected {np.dtype(self.input.dtype)} {self.input.shape}"
            )
        self._write(values)

    @abc.abstractmethod
    def _write(self, values: npt.NDArray[Any]) -> None:
        """Copy checked values into the input tensor."""

    @abc.abstractmethod
    def run(self) -> None:
        """Run on what was set last until the output is there; the runtime alone, for measurements."""

    @abc.abstractmethod
    def get_output(self) -> npt.NDArray[Any]:
        """A copy of the raw output of the last run."""

    @abc.abstractmethod
    def close(self) -> None:
        """Free the runtime's memory; the backend cannot be used afterwards."""

    def dequantize(self, output: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """The raw output as real numbers, float32 [outputs], flat."""
        flat = output.reshape(-1).astype(np.float32)
        return flat if self.output.scale == 0 else (flat - self.output.zero_point) * np.float32(self.output.scale)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@frozen
class Runtime:
    """One line of `BACKENDS`.

    Attributes:
        open: (checked model, threads, delegate) -> the loaded model; raises BackendError.
        family: which of the contract's tolerances holds.
        module, package: what is imported, and what pip calls it.
        install: how to get it.
    """

    open: Callable[[bytes, int, Delegate | None], Backend]
    family: Family
    module: str
    package: str
    install: str

    @property
    def installed(self) -> bool:
        """Whether its package is here; it may still fail to load."""
        return find_spec(self.module) is not None


def read_tensors(interpreter: Any) -> tuple[Tensor, Tensor]:
    """The only input and the only output of a model, as an interpreter describes them.

    Raises:
        BackendError: if it has several, or its batch is not 1.
    """
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    if len(inputs) != 1 or len(outputs) != 1:
        raise BackendError(
            f"the model has {len(inputs)} inputs and {len(outputs)} outputs, expected one of each: an image in, "
            "an answer out"
        )
    found = _read_tensor(inputs[0])
    if found.shape[0] != 1 or any(size < 1 for size in found.shape):
        raise BackendError(f"the model's input has shape {found.shape}, expected a fixed batch of 1")
    return found, _read_tensor(outputs[0])


def _read_tensor(details: dict[str, Any]) -> Tensor:
    scale, zero_point = details["quantization"]
    return Tensor(
        name=details["name"],
        index=int(details["index"]),
        shape=tuple(int(size) for size in details["shape"]),
        dtype=details["dtype"],
        scale=float(scale),
        zero_point=int(zero_point),
    )
