"""What LiteRT's and tflite-runtime's interpreters have in common."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from edgesdk.errors import BackendError
from edgesdk.quiet import captured_output


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """An input or output: shape with the batch, dtype, and quantization (scale 0 where there is none)."""

    name: str
    shape: tuple[int, ...]
    dtype: npt.DTypeLike
    scale: float
    zero_point: int


class Backend:
    """A loaded model on one runtime: one image in, one output out.

    Attributes:
        name: of the runtime, as in `BACKENDS`.
        family: "cpu", "gpu" or "npu": which of the contract's tolerances holds.
        version: of the runtime.
        threads: CPU threads it was given.
        input, output: the model's first input and output.
        nodes, delegated_nodes: operations in the graph, and how many of them a delegate took over.
    """

    family = "cpu"

    def __init__(self, interpreter: Any, name: str, version: str, threads: int) -> None:
        self.name, self.version, self.threads = name, version, threads
        self._interpreter = interpreter
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise BackendError(
                f"the model has {len(inputs)} inputs and {len(outputs)} outputs, expected one of each: an image in, "
                "an answer out"
            )
        self._input_index, self._output_index = inputs[0]["index"], outputs[0]["index"]
        self.input, self.output = _tensor(inputs[0]), _tensor(outputs[0])
        if self.input.shape[0] != 1 or any(size < 1 for size in self.input.shape):
            raise BackendError(f"the model's input has shape {self.input.shape}, expected a fixed batch of 1")
        self.nodes, self.delegated_nodes = count_nodes(interpreter._get_ops_details())

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
        self._interpreter.set_tensor(self._input_index, values.reshape(self.input.shape))

    def run(self) -> None:
        """Run on what was set last; the runtime alone, for measurements."""
        self._interpreter.invoke()

    def get_output(self) -> npt.NDArray[Any]:
        """A copy of the raw output of the last run."""
        output: npt.NDArray[Any] = self._interpreter.get_tensor(self._output_index)
        return output

    def dequantize(self, output: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """The raw output as real numbers, float32 [outputs], flat."""
        flat = output.reshape(-1).astype(np.float32)
        return flat if self.output.scale == 0 else (flat - self.output.zero_point) * np.float32(self.output.scale)

    def close(self) -> None:
        """Free the runtime's memory; the backend cannot be used afterwards."""
        self._interpreter = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_interpreter(module: Any, model: bytes, name: str, version: str, threads: int) -> Backend:
    """Build and allocate an interpreter of the given module.

    Raises:
        BackendError: with the runtime's reason, if it refuses the model.
    """
    try:
        with captured_output():  # XNNPACK announces itself on stderr
            interpreter = module.Interpreter(model_content=model, num_threads=threads)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError, ImportError) as error:
        reason = " ".join(str(error).split())
        raise BackendError(f"{name} {version} refuses the model: {reason[:300]}") from error
    return Backend(interpreter, name, version, threads)


def count_nodes(ops: list[dict[str, Any]]) -> tuple[int, int]:
    """(operations in the graph, operations a delegate took over).

    The runtime lists the graph's own operations, then one DELEGATE operation a partition. An operation was taken
    over if a partition's outputs need it and it lies behind the partition's inputs.
    """
    graph = [op for op in ops if op["op_name"] != "DELEGATE"]
    producer = {int(tensor): index for index, op in enumerate(graph) for tensor in op["outputs"]}
    taken: set[int] = set()
    for partition in (op for op in ops if op["op_name"] == "DELEGATE"):
        known = {int(tensor) for tensor in partition["inputs"]}
        open_tensors = [int(tensor) for tensor in partition["outputs"]]
        while open_tensors:
            tensor = open_tensors.pop()
            if tensor in known:
                continue
            known.add(tensor)
            if tensor in producer:
                taken.add(producer[tensor])
                open_tensors += [int(source) for source in graph[producer[tensor]]["inputs"]]
    return len(graph), len(taken)


def _tensor(details: dict[str, Any]) -> Tensor:
    scale, zero_point = details["quantization"]
    return Tensor(
        name=details["name"],
        shape=tuple(int(size) for size in details["shape"]),
        dtype=details["dtype"],
        scale=float(scale),
        zero_point=int(zero_point),
    )
