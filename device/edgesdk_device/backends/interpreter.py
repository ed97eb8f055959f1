"""What LiteRT's and tflite-runtime's interpreters have in common."""

import time
from functools import cached_property
from typing import Any

import numpy.typing as npt

from edgesdk.errors import BackendError
from edgesdk.quiet import silenced
from edgesdk_device.backends.backend import Backend, read_tensors
from edgesdk_device.backends.delegate import Delegate, load_delegate

#: What TFLite adds to the reason; nothing runs on, so that it helps nobody.
_RESTORED = "Restored original execution plan after delegate application failure."


class InterpreterBackend(Backend):
    """A model on an interpreter, allocated."""

    family = "cpu"

    def __init__(
        self, interpreter: Any, name: str, version: str, threads: int, delegate: Delegate | None, taken: int
    ) -> None:
        self._interpreter, self._taken = interpreter, taken
        tensors = read_tensors(interpreter)
        super().__init__(name, version, threads=threads, delegate=delegate, input=tensors[0], output=tensors[1])

    @cached_property
    def _counts(self) -> tuple[int, int]:
        nodes, taken = count_nodes(self._interpreter._get_ops_details())
        return nodes, taken if self.delegate is None else self._taken

    def _write(self, values: npt.NDArray[Any]) -> None:
        self._interpreter.set_tensor(self.input.index, values.reshape(self.input.shape))

    def run(self) -> None:
        """Run on what was set last; the runtime alone, for measurements."""
        self._interpreter.invoke()

    def get_output(self) -> npt.NDArray[Any]:
        """A copy of the raw output of the last run."""
        output: npt.NDArray[Any] = self._interpreter.get_tensor(self.output.index)
        return output

    def close(self) -> None:
        """Free the runtime's memory; the backend cannot be used afterwards."""
        self._interpreter = None


def open_interpreter(
    module: Any, model: bytes, name: str, version: str, threads: int, delegate: Delegate | None
) -> Backend:
    """Build and allocate an interpreter of the given module.

    Raises:
        BackendError: with the runtime's reason, if it refuses the model, or the delegate refuses or takes nothing.
    """
    taken = 0
    try:
        with silenced():  # XNNPACK announces itself on stderr
            delegates = [] if delegate is None else [load_delegate(module, delegate)]
            interpreter = module.Interpreter(
                model_content=model, num_threads=threads, experimental_delegates=delegates or None
            )
            if delegate is not None:  # before XNNPACK takes the rest
                nodes, taken = count_nodes(interpreter._get_ops_details())
            start = time.perf_counter()
            interpreter.allocate_tensors()
            allocate_ms = (time.perf_counter() - start) * 1e3
    except (ValueError, RuntimeError, ImportError) as error:
        reason = " ".join(str(error).replace(_RESTORED, "").split())
        what = "the model" if delegate is None else f"the model with the delegate {delegate.name}"
        raise BackendError(f"{name} {version} refuses {what}: {reason[:300]}") from error
    if delegate is not None and not taken:
        raise BackendError(
            f"the delegate {delegate.name} took none of the model's {nodes} operations: the CPU would run it all, so "
            "leave the delegate out"
        )
    backend = InterpreterBackend(interpreter, name, version, threads, delegate, taken)
    backend.allocate_ms = allocate_ms
    return backend


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
