"""How many of a model's operations a delegate would likely take: a guess from their types and precision alone.

A delegate decides by shapes, strides and options too, and each release by its own list; only running there tells. The
lists:

- XNNPACK: "Limitations and supported operators" in tensorflow/lite/delegates/xnnpack/README.md. Dynamic range is what
  LiteRT 2.3 was seen to take.
- GPU delegate: "Supported ops" and "Running quantized models" in tensorflow/lite/g3doc/performance/gpu_advanced.md; it
  computes 8-bit models in float, on Android by default.
- Edge TPU: "Supported operations" at coral.ai/docs/edgetpu/models-intro; 8-bit only, after edgetpu_compiler.
- Hexagon: "Supported Ops" in tensorflow/lite/delegates/hexagon/README.md, 8-bit only.

NNAPI has no list: each phone's driver decides, and Android 15 deprecated it.
"""

from dataclasses import dataclass
from typing import Literal

from edgesdk_convert.inspect import Graph, Op

#: What an operation computes in: "dynamic" is float with int8 weights, "requantize" goes from int8 to uint8 or back,
#: "convert" from float to 8 bits or back.
Kind = Literal["float32", "dynamic", "int8", "requantize", "convert", "other"]


def _ops(names: str) -> frozenset[str]:
    return frozenset(names.split())


_XNNPACK_INT8 = _ops(
    "ADD CONCATENATION CONV_2D DEPTH_TO_SPACE DEPTHWISE_CONV_2D ELU FULLY_CONNECTED LEAKY_RELU LOGISTIC MAX_POOL_2D"
    " MEAN MUL PAD QUANTIZE RESHAPE RESIZE_BILINEAR SLICE SPACE_TO_DEPTH SPLIT SUB TANH TRANSPOSE TRANSPOSE_CONV"
)
# DEQUANTIZE of float16 weights, which XNNPACK and the GPU unpack themselves, has float32 for its only activation.
_XNNPACK_FLOAT = (_XNNPACK_INT8 - {"QUANTIZE"}) | _ops(
    "ABS AVERAGE_POOL_2D CEIL DEQUANTIZE DIV FLOOR HARD_SWISH MAXIMUM MINIMUM NEG PRELU RELU RELU6 RELU_N1_TO_1 ROUND"
    " SOFTMAX SQRT SQUARE SQUARED_DIFFERENCE STRIDED_SLICE"
)
_GPU = _ops(
    "ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D EXP FULLY_CONNECTED LOGISTIC LSTM MAX_POOL_2D MAXIMUM"
    " MINIMUM MUL PAD PRELU RELU RELU6 RESHAPE RESIZE_BILINEAR SOFTMAX STRIDED_SLICE SUB TRANSPOSE_CONV"
)
_EDGE_TPU = _ops(
    "ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D EXPAND_DIMS FULLY_CONNECTED L2_NORMALIZATION LOGISTIC"
    " MAXIMUM MAX_POOL_2D MEAN MINIMUM MUL PACK PAD PRELU QUANTIZE REDUCE_MAX REDUCE_MIN RELU RELU6 RELU_N1_TO_1"
    " RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR SLICE SOFTMAX SPACE_TO_DEPTH SPLIT SQUEEZE STRIDED_SLICE SUB SUM"
    " TANH TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM"
)
_HEXAGON = _ops(
    "ADD ARG_MAX ARG_MIN AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTH_TO_SPACE DEPTHWISE_CONV_2D FULLY_CONNECTED"
    " HARD_SWISH L2_NORMALIZATION LOGISTIC MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG PACK PAD QUANTIZE RELU"
    " RELU6 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR SLICE SOFTMAX SPACE_TO_DEPTH SPLIT STRIDED_SLICE SUB TANH"
    " TRANSPOSE TRANSPOSE_CONV"
)
DELEGATES: dict[str, dict[Kind, frozenset[str]]] = {
    "XNNPACK": {
        "float32": _XNNPACK_FLOAT,
        "dynamic": _ops("CONV_2D FULLY_CONNECTED"),
        "int8": _XNNPACK_INT8,
        "convert": _ops("DEQUANTIZE QUANTIZE"),
    },
    "GPU delegate": {"float32": _GPU | {"DEQUANTIZE"}, "dynamic": _GPU, "int8": _GPU},
    "Edge TPU": {"int8": _EDGE_TPU, "requantize": _ops("QUANTIZE")},
    "Hexagon": {"int8": _HEXAGON, "requantize": _ops("QUANTIZE")},
}


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """The guess for one delegate: `takes` of the `ops` operations; `leaves` names the types that stay on the CPU."""

    delegate: str
    takes: int
    ops: int
    leaves: tuple[str, ...]


def guess_coverage(graph: Graph) -> tuple[Coverage, ...]:
    """For each of `DELEGATES`, how many operations of the model it would likely take."""
    guesses = []
    for delegate, kinds in DELEGATES.items():
        left = [op.name for op in graph.ops if op.name not in kinds.get(_kind(op), ())]
        leaves = tuple(dict.fromkeys(left))
        guesses.append(Coverage(delegate=delegate, takes=len(graph.ops) - len(left), ops=len(graph.ops), leaves=leaves))
    return tuple(guesses)


def _kind(op: Op) -> Kind:
    types = set(op.activations)
    if types == {"float32"}:
        return "dynamic" if op.precision == "int8" else "float32"
    if types in ({"int8"}, {"uint8"}):
        return "int8"
    if types == {"int8", "uint8"}:
        return "requantize"
    return "convert" if types in ({"float32", "int8"}, {"float32", "uint8"}) else "other"
