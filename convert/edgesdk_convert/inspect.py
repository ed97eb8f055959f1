"""What is inside a .tflite, read from the flatbuffer alone: no TensorFlow, no runtime."""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesdk.contract import UNPRINTABLE
from edgesdk.errors import ModelFileError

CUSTOM = "CUSTOM "  # before the name of an operation that is not built in


@dataclass(frozen=True, kw_only=True)
class Op:
    """One operation: type, precision (of its weights, else its output), output shape, multiply-adds, its constants.

    Attributes:
        version: of the operation, which a runtime must know.
        activations: types of the computed tensors it takes and gives, weights and other constants apart.
        tensor: name of its first output.
    """

    name: str
    version: int
    precision: str
    activations: tuple[str, ...]
    tensor: str
    output: tuple[int, ...]
    macs: int
    weight_bytes: int
    weights: int
    zeros: int


@dataclass(frozen=True, kw_only=True)
class Graph:
    """The operations of a model, in the order they run."""

    ops: tuple[Op, ...]

    @property
    def macs(self) -> int:
        """Multiply-adds of one inference."""
        return sum(op.macs for op in self.ops)

    @property
    def sparsity(self) -> float:
        """Share of zeros among the weights, 0 to 1."""
        return sum(op.zeros for op in self.ops) / max(1, sum(op.weights for op in self.ops))

    @property
    def counts(self) -> dict[str, int]:
        """Type -> how many, most frequent first."""
        return dict(Counter(op.name for op in self.ops).most_common())

    @property
    def custom(self) -> tuple[str, ...]:
        """Types of operations that are not built into TFLite: custom ones, and TensorFlow's own ("Flex")."""
        return tuple(sorted({op.name.removeprefix(CUSTOM) for op in self.ops if op.name.startswith(CUSTOM)}))

    @property
    def float_islands(self) -> tuple[str, ...]:
        """Operations that compute in float32 although the model is quantized, each with its output tensor's name.

        QUANTIZE and DEQUANTIZE do not count, so neither does float32 input or output. A model is quantized where any
        other operation gives int8, uint8 or int16; weights alone (float16, dynamic range) do not make it so.
        """
        computing = [op for op in self.ops if op.name not in ("QUANTIZE", "DEQUANTIZE")]
        if not any({"int8", "uint8", "int16"} & set(op.activations) for op in computing):
            return ()
        return tuple(f"{op.name} ({op.tensor})" for op in computing if "float32" in op.activations)

    @property
    def table(self) -> list[tuple[str, ...]]:
        """Rows of text: a head, one operation each, the totals."""
        rows = [("operation", "precision", "output", "MACs", "share", "bytes", "zeros")]
        for op in self.ops:
            rows.append(
                (
                    op.name,
                    op.precision,
                    "x".join(map(str, op.output[1:])),
                    f"{op.macs:,}",
                    f"{100 * op.macs / max(1, self.macs):.1f} %",
                    f"{op.weight_bytes:,}",
                    f"{100 * op.zeros / op.weights:.1f} %" if op.weights else "",
                )
            )
        weight_bytes = sum(op.weight_bytes for op in self.ops)
        zeros = f"{100 * self.sparsity:.1f} %"
        return [*rows, ("total", "", "", f"{self.macs:,}", "100.0 %", f"{weight_bytes:,}", zeros)]


def read_graph(content: bytes) -> Graph:
    """Read the operations of a TFLite flatbuffer.

    Multiply-adds are those of CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED and TRANSPOSE_CONV, as the papers count.

    Raises:
        ModelFileError: if the flatbuffer does not make sense.
    """
    from ai_edge_litert import schema_py_generated as schema

    try:
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        graph = model.subgraphs[0]
        ops = []
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
            name = _op_names()[builtin] if code.customCode is None else CUSTOM + _plain(code.customCode)
            ops.append(_read_op(name, code.version, operator, graph.tensors, model.buffers))
    except (ValueError, IndexError, TypeError, KeyError, AttributeError, MemoryError, OverflowError) as error:
        raise ModelFileError(f"the model's graph cannot be read ({type(error).__name__}: {error})") from error
    except Exception as error:  # flatbuffers raises struct.error and its own kinds on hostile offsets
        raise ModelFileError(f"the model's graph is damaged ({error})") from error
    return Graph(ops=tuple(ops))


@cache
def _op_names() -> dict[int, str]:
    from ai_edge_litert import schema_py_generated as schema

    return {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}


@cache
def _type_names() -> dict[int, str]:
    from ai_edge_litert import schema_py_generated as schema

    return {value: name.lower() for name, value in vars(schema.TensorType).items() if isinstance(value, int)}


def _read_op(name: str, version: int, operator: Any, tensors: list[Any], buffers: list[Any]) -> Op:
    shapes = [tuple(int(n) for n in tensors[i].shape) if i >= 0 else () for i in operator.inputs]
    output = tuple(int(n) for n in tensors[operator.outputs[0]].shape)
    given = [tensors[i] for i in operator.inputs if i >= 0]
    held = [tensor for tensor in given if buffers[tensor.buffer].data is not None]
    constants = [_constant(tensor, buffers) for tensor in held]
    computed = [tensor for tensor in given if buffers[tensor.buffer].data is None]
    computed += [tensors[i] for i in operator.outputs]
    typed = [tensor for tensor in held if len(tensor.shape) > 1]
    return Op(
        name=name,
        version=int(version),
        activations=tuple(_type_names()[tensor.type] for tensor in computed),
        tensor=_plain(tensors[operator.outputs[0]].name),
        precision=_type_names()[(typed or [tensors[operator.outputs[0]]])[0].type],
        output=output,
        macs=_count_macs(name, shapes, output),
        weight_bytes=sum(array.nbytes for array in constants),
        weights=sum(array.size for array in constants),
        zeros=sum(_count_zeros(tensor, array) for tensor, array in zip(held, constants, strict=True)),
    )


def _plain(name: bytes | None) -> str:
    """A name that a terminal can show."""
    return re.sub(UNPRINTABLE, "?", (name or b"").decode(errors="replace"))


def _constant(tensor: Any, buffers: list[Any]) -> npt.NDArray[Any]:
    data = np.asarray(buffers[tensor.buffer].data, np.uint8)
    size = int(np.prod(tensor.shape)) if tensor.shape is not None else 1
    per_item = len(data) // max(1, size)
    if per_item * size != len(data) or per_item not in (1, 2, 4, 8):
        return data
    floats = {"float16": "f2", "float32": "f4", "float64": "f8"}  # of which -0.0 is a zero, too
    kind = np.dtype(floats.get(_type_names()[tensor.type], f"u{per_item}"))
    return data.view(kind if kind.itemsize == per_item else f"u{per_item}")


def _count_zeros(tensor: Any, values: npt.NDArray[Any]) -> int:
    """How many values stand for 0, which those of old uint8 files do at their zero point."""
    points = None if tensor.quantization is None else tensor.quantization.zeroPoint
    point = 0 if points is None or len(points) != 1 else int(points[0])
    return int(np.count_nonzero(values == (point % 256 if values.itemsize == 1 else 0)))


def _count_macs(name: str, shapes: list[tuple[int, ...]], output: tuple[int, ...]) -> int:
    positions = int(np.prod(output))
    if name == "CONV_2D":  # weights [out, h, w, in]
        return positions * int(np.prod(shapes[1][1:]))
    if name == "DEPTHWISE_CONV_2D":  # weights [1, h, w, out]
        return positions * int(np.prod(shapes[1][1:3]))
    if name == "FULLY_CONNECTED":  # weights [out, in]
        return positions * shapes[1][-1]
    if name == "TRANSPOSE_CONV":  # weights [out, h, w, in], input third
        return int(np.prod(shapes[2])) * int(np.prod(shapes[1][:3]))
    return 0
