import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgesdk import modelfile, verbs
from edgesdk.converted import Converted
from edgesdk.errors import BackendError
from edgesdk_convert.inspect import read_graph
from edgesdk_convert.opversions import KNOWN, too_new
from edgesdk_device.backends import installed_backends
from edgesdk_device.replay import replay_apart

needs_tflite_runtime = pytest.mark.skipif(
    "tflite-runtime" not in installed_backends(), reason="tflite-runtime is not installed"
)


def rewritten(file: Converted, change: Callable[[Any], None]) -> bytes:
    """The flatbuffer of a file, changed."""
    tree = schema.ModelT.InitFromPackedBuf(modelfile.read(file.path).content, 0)
    change(tree)
    return packed(tree)


def packed(tree: Any) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(tree.Pack(builder), file_identifier=modelfile.IDENTIFIER)
    return bytes(builder.Output())


def with_version(file: Converted, operation: int, version: int) -> bytes:
    def change(tree: Any) -> None:
        (code,) = [code for code in tree.operatorCodes if code.builtinCode == operation]
        code.version = version

    return rewritten(file, change)


def asking_for(operation: int, version: int) -> bytes:
    """A model that has no operation but names one."""
    code, tensor, graph, tree = (schema.OperatorCodeT(), schema.TensorT(), schema.SubGraphT(), schema.ModelT())
    code.builtinCode, code.deprecatedBuiltinCode, code.version = operation, min(operation, 127), version
    tensor.shape, tensor.name = [1], b"x"
    graph.tensors, graph.operators, graph.inputs, graph.outputs = [tensor], [], [0], [0]
    tree.version, tree.operatorCodes, tree.subgraphs, tree.buffers = 3, [code], [graph], [schema.BufferT()]
    return packed(tree)


PROBE = """
import json, sys
from pathlib import Path
from tflite_runtime.interpreter import Interpreter
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        Interpreter(model_content=path.read_bytes())
    except ValueError as error:
        assert "Didn't find op" in str(error) or "out of range" in str(error), error
    else:
        print(path.name)
"""


@needs_tflite_runtime
def test_the_table_is_what_tflite_runtime_says(tmp_path: Path) -> None:
    """Every builtin operation in every version up to 20."""
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    for code, name in names.items():
        for version in range(1, 21):
            if name != "CUSTOM":
                (tmp_path / f"{name}.{version}").write_bytes(asking_for(code, version))
    done = subprocess.run([sys.executable, "-c", PROBE, str(tmp_path)], capture_output=True, text=True, check=True)
    highest: dict[str, int] = {}
    for line in done.stdout.split():
        name, version = line.split(".")
        highest[name] = max(int(version), highest.get(name, 0))
    assert highest == KNOWN


def test_our_files_are_known_everywhere(int8_file: Converted, float_file: Converted) -> None:
    for file in (int8_file, float_file):
        graph = read_graph(modelfile.read(file.path).content)
        assert too_new(graph) == ()
        assert all(op.version >= 1 for op in graph.ops)


@pytest.mark.parametrize(("version", "known"), [(7, True), (8, False)])
def test_a_later_version_is_named_and_refused(float_file: Converted, tmp_path: Path, version: int, known: bool) -> None:
    model = with_version(float_file, schema.BuiltinOperator.CONV_2D, version)
    phrases = () if known else ("CONV_2D version 8, it knows up to 7",)
    assert too_new(read_graph(model)) == phrases
    file = modelfile.write(tmp_path / "m.tflite", model, float_file.contract)
    assert replay_apart(file.path, "litert", "litert").ok
    if "tflite-runtime" not in installed_backends():
        return
    if known:
        assert replay_apart(file.path, "tflite-runtime", "tflite-runtime").ok
    else:
        with pytest.raises(
            BackendError, match="refuses the model: Didn't find op for builtin opcode 'CONV_2D' version"
        ):
            replay_apart(file.path, "tflite-runtime", "tflite-runtime")


def test_operations_it_never_had_are_named(float_file: Converted, tmp_path: Path) -> None:
    def change(tree: Any) -> None:
        (code,) = [code for code in tree.operatorCodes if code.builtinCode == schema.BuiltinOperator.SOFTMAX]
        code.builtinCode, code.deprecatedBuiltinCode = schema.BuiltinOperator.DILATE, 127

    path = tmp_path / "m.tflite"
    modelfile.write(path, rewritten(float_file, change), float_file.contract)
    assert verbs.inspect(path).too_new == ("DILATE, which it does not know",)
