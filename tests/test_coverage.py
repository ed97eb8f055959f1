from pathlib import Path
from typing import Any

import pytest
from ai_edge_litert import schema_py_generated as schema

from edgesdk import modelfile, verbs
from edgesdk.converted import Converted
from edgesdk_convert.coverage import DELEGATES, Coverage, guess_coverage
from edgesdk_convert.inspect import Graph, Op, read_graph
from edgesdk_device.backends import open_backend


def guessed(path: Path) -> dict[str, Coverage]:
    return {guess.delegate: guess for guess in verbs.inspect(path).coverage}


def one(name: str, precision: str, *activations: str) -> Graph:
    op = Op(
        name=name,
        version=1,
        precision=precision,
        activations=activations,
        tensor="t",
        output=(1, 4),
        macs=0,
        weight_bytes=0,
        weights=0,
        zeros=0,
    )
    return Graph(ops=(op,))


@pytest.mark.parametrize("precision", ["float32", "float16", "dynamic", "int8", "int16x8"])
def test_the_guess_for_xnnpack_is_what_litert_does(
    run_folder: Path, int8_file: Converted, float_file: Converted, tmp_path: Path, precision: Any
) -> None:
    made = {"int8": int8_file, "float32": float_file}
    file = made.get(precision) or verbs.convert(run_folder, quantize=precision, out=tmp_path / "m.tflite")
    with open_backend(modelfile.read(file.path).content, "litert") as backend:
        guess = guessed(file.path)["XNNPACK"]
        assert (guess.takes, guess.ops) == (backend.delegated_nodes, backend.nodes)


def test_eight_bit_delegates_take_int8_files_only(int8_file: Converted, float_file: Converted) -> None:
    for delegate in ("Edge TPU", "Hexagon"):
        whole, none = guessed(int8_file.path)[delegate], guessed(float_file.path)[delegate]
        assert (whole.takes, whole.leaves) == (whole.ops, ())
        assert none.takes == 0
        assert "CONV_2D" in none.leaves


@pytest.mark.parametrize(
    ("graph", "takers"),
    [
        (one("CONV_2D", "float32", "float32", "float32"), {"XNNPACK", "GPU delegate"}),
        (one("DEPTHWISE_CONV_2D", "int8", "float32", "float32"), {"GPU delegate"}),
        (one("SOFTMAX", "int8", "int8", "int8"), {"GPU delegate", "Edge TPU", "Hexagon"}),
        (one("QUANTIZE", "int8", "uint8", "int8"), {"Edge TPU", "Hexagon"}),
        (one("QUANTIZE", "int8", "float32", "int8"), {"XNNPACK"}),
        (one("CONV_2D", "int8", "int16", "int16"), set()),
        (one("LOCAL_RESPONSE_NORMALIZATION", "float32", "float32", "float32"), set()),
    ],
)
def test_types_and_precision_decide(graph: Graph, takers: set[str]) -> None:
    assert {guess.delegate for guess in guess_coverage(graph) if guess.takes} == takers


def test_the_tables_name_real_operations() -> None:
    named = {name for kinds in DELEGATES.values() for names in kinds.values() for name in names}
    assert named <= set(vars(schema.BuiltinOperator))


def test_a_model_without_operations_leaves_nothing() -> None:
    assert all((guess.takes, guess.ops, guess.leaves) == (0, 0, ()) for guess in guess_coverage(Graph(ops=())))


def test_activations_are_not_weights(int8_file: Converted) -> None:
    graph = read_graph(modelfile.read(int8_file.path).content)
    assert {op.activations for op in graph.ops if op.name == "CONV_2D"} == {("int8", "int8")}
    assert graph.ops[0].activations == ("uint8", "int8")
    assert len({op.tensor for op in graph.ops}) == len(graph.ops)
