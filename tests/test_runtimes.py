import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesdk import cli, inspection, modelfile, verbs
from edgesdk.contract import Output, Ran, from_json
from edgesdk.converted import Converted
from edgesdk.errors import BackendError, ConversionError
from edgesdk.recipe import Recipe
from edgesdk_convert import runtimes
from edgesdk_convert.calibrate import made_images
from edgesdk_convert.gate import Judge
from edgesdk_convert.inspect import read_graph
from edgesdk_convert.network import from_keras
from edgesdk_convert.runtimes import check_operations, prove_runtimes
from edgesdk_convert.search import Search
from edgesdk_device.apart import ask_apart
from edgesdk_device.backends import installed_backends
from edgesdk_device.replay import replay_apart
from test_convert import INPUT
from test_opversions import needs_tflite_runtime, rewritten

Capture = pytest.CaptureFixture[str]

#: tflite_runtime packages whose interpreter fails as the real one does, and the sentence we make of it.
DYING = "import os, signal\ndef Interpreter(**_): os.kill(os.getpid(), signal.SIGSEGV)\n"
REFUSING = "def Interpreter(**_): raise ValueError('Did not find op FULLY_CONNECTED\\n version 12')\n"
FOREIGN = """
class Interpreter:
    def __init__(self, **_): pass
    def allocate_tensors(self): pass
    def get_input_details(self):
        return [{"name": "x", "index": 0, "shape": (9, 4), "dtype": "", "quantization": (0, 0)}]
    get_output_details = get_input_details
"""
HANGING = "import time\ndef Interpreter(**_): time.sleep(60)\n"


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The interpreter module of a tflite_runtime that fresh processes import instead of the real one."""
    package = tmp_path / "stand_in" / "tflite_runtime"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("__version__ = '2.14.0'\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package.parent), *sys.path]))
    monkeypatch.setattr(runtimes, "installed_backends", lambda: ["litert", "tflite-runtime"])
    monkeypatch.setattr(runtimes, "_version", lambda name: "2.14.0")
    monkeypatch.setattr(runtimes, "_provers", {})  # those that are there know the real package
    yield package / "interpreter.py"
    runtimes._close_provers()


def test_every_converted_file_ran_in_every_runtime(int8_file: Converted, float_file: Converted) -> None:
    for file in (int8_file, float_file):
        contract = modelfile.read(file.path).required_contract()
        assert [ran.runtime for ran in contract.ran] == installed_backends()
        for ran in contract.ran:
            assert ran.ok
            assert ran.version.startswith("2.")
            assert ran.max_difference is not None
            assert ran.max_difference <= contract.tolerance["cpu"]
        assert json.loads(json.dumps(file.to_json()))["runtimes"][0] == vars(contract.ran[0])


def test_older_contracts_have_no_runtimes(int8_file: Converted) -> None:
    data = json.loads(int8_file.contract.to_json())
    del data["ran"]
    assert from_json(json.dumps(data)) == replace(int8_file.contract, ran=())


@pytest.mark.parametrize(
    ("interpreter", "reason"),
    [
        (FOREIGN, "tflite-runtime 2.14.0: the model's input has shape (9, 4), expected a fixed batch of 1"),
        (DYING, "tflite-runtime 2.14.0 died (SIGSEGV)"),
        (REFUSING, "tflite-runtime 2.14.0 refuses the model: Did not find op FULLY_CONNECTED version 12"),
    ],
)
def test_a_runtime_that_fails_is_a_row_and_a_remark(
    int8_file: Converted, stand_in: Path, capfd: Capture, interpreter: str, reason: str
) -> None:
    stand_in.write_text(interpreter)
    final = modelfile.read(int8_file.path).content
    litert, other = prove_runtimes(final, int8_file.contract, quiet=False)
    assert litert.ok
    assert other == Ran(runtime="tflite-runtime", version="2.14.0", ok=False, reason=reason)
    assert capfd.readouterr().err == f"edgesdk: {reason}: use LiteRT\n"
    prove_runtimes(final, int8_file.contract, quiet=True)
    assert capfd.readouterr().err == ""


@needs_tflite_runtime
def test_a_real_crash_of_tflite_runtime_is_named(int8_file: Converted, tmp_path: Path) -> None:
    """A convolution with stride 0: LiteRT refuses it, tflite-runtime 2.14 divides by it."""

    def change(tree: Any) -> None:
        options = tree.subgraphs[0].operators[1].builtinOptions
        options.strideH = options.strideW = 0

    file = modelfile.write(tmp_path / "m.tflite", rewritten(int8_file, change), int8_file.contract)
    with pytest.raises(BackendError, match=r"^old runtime died \(SIGFPE\)"):
        replay_apart(file.path, "tflite-runtime", "old runtime")
    with pytest.raises(ConversionError, match=r"litert .* refuses the model: .*stride_height.*nothing was written"):
        prove_runtimes(file.content, int8_file.contract)


def test_litert_with_other_outputs_is_an_error(float_file: Converted) -> None:
    golden = float_file.contract.golden
    swapped = replace(float_file.contract, golden=(replace(golden[0], output=golden[1].output), *golden[1:]))
    strict = replace(swapped, tolerance={"cpu": 0.0})
    assert not np.array_equal(golden[0].expected(), golden[1].expected())
    with pytest.raises(ConversionError, match=r"litert [\d.]+ differs from the golden outputs by .*, allowed is 0"):
        prove_runtimes(modelfile.read(float_file.path).content, strict)


def test_a_process_that_hangs_is_stopped(int8_file: Converted, stand_in: Path) -> None:
    stand_in.write_text(HANGING)
    question = {"path": str(int8_file.path), "backend": "tflite-runtime"}
    with pytest.raises(BackendError, match=r"^old runtime took over 2 s: it was stopped"):
        ask_apart("edgesdk_device.replay", question, "old runtime", 2)


def network(layer: Any) -> Any:
    """A convolution, the layer, and a classifier."""
    import tf_keras as keras

    keras.utils.set_random_seed(0)
    image = keras.Input((48, 48, 3))
    features = layer(keras.layers.Conv2D(8, 3, strides=4, activation="relu", name="before")(image))
    features = keras.layers.Conv2D(8, 3, strides=4, activation="relu", name="after")(features)
    return keras.Model(image, keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(features)))


def converted(model: Any, recipe: Recipe) -> bytes:
    network, pictures = from_keras(model, INPUT), made_images(8, INPUT)
    judge = Judge(
        network=network,
        learned=network,
        pixels=pictures,
        truth=None,
        output=Output(),
        photos=pictures,
        image_input=INPUT,
    )
    return Search(network=network, recipe=recipe, image_input=INPUT, judge=judge).find().candidate.file


@pytest.mark.parametrize("io", ["uint8", "float32"])
def test_float_islands_are_named(io: Any, capfd: Capture) -> None:
    """Local response normalization has no int8 kernel; the QUANTIZE and DEQUANTIZE of the input do not count."""
    import tensorflow as tf
    import tf_keras as keras

    int8 = Recipe(precision="int8", io=io)
    (island,) = read_graph(converted(network(keras.layers.Lambda(tf.nn.lrn, name="lrn")), int8)).float_islands
    assert island.startswith("LOCAL_RESPONSE_NORMALIZATION (")
    assert "lrn" in island
    graph = read_graph(converted(network(keras.layers.Activation("relu")), int8))
    assert graph.float_islands == ()
    check_operations(graph, quiet=False)
    assert capfd.readouterr().err == ""


def test_only_quantized_files_have_islands(int8_file: Converted, float_file: Converted) -> None:
    for file in (int8_file, float_file):
        assert read_graph(modelfile.read(file.path).content).float_islands == ()
    model = network(lambda features: features)
    for precision in ("float16", "dynamic", "int16x8"):
        graph = read_graph(converted(model, Recipe(precision=precision)))
        assert graph.float_islands == (), precision


def test_islands_and_new_operations_are_remarked_on(
    int8_file: Converted, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = read_graph(modelfile.read(int8_file.path).content)
    island = replace(graph.ops[3], activations=("float32", "float32"), name="FULLY_CONNECTED", version=12, tensor="t")
    mixed = replace(graph, ops=(*graph.ops, island))
    monkeypatch.setattr(runtimes, "installed_backends", lambda: ["litert"])
    check_operations(mixed, quiet=False)
    assert capfd.readouterr().err.splitlines() == [
        "edgesdk: stays float32 in the quantized file, and slow: FULLY_CONNECTED (t)",
        "edgesdk: tflite-runtime 2.14 refuses this file (FULLY_CONNECTED version 12, it knows up to 10): use LiteRT",
    ]


def test_operations_that_are_not_built_in_are_named(float_file: Converted) -> None:
    import tensorflow as tf
    import tf_keras as keras

    strange = network(keras.layers.Lambda(lambda x: tf.math.betainc(x, x, tf.math.erfinv(x))))
    with pytest.raises(ConversionError, match="TFLite has not built in Betainc, Erfinv: build the network from layers"):
        converted(strange, Recipe())
    graph = read_graph(modelfile.read(float_file.path).content)
    foreign = replace(graph, ops=(*graph.ops, replace(graph.ops[0], name="CUSTOM FlexErf")))
    with pytest.raises(ConversionError, match="the file needs FlexErf, not built into TFLite"):
        check_operations(foreign)


def test_inspect_says_what_will_run_it(int8_file: Converted, tmp_path: Path, capsys: Capture) -> None:
    assert cli.main(["inspect", str(int8_file.path)]) == 0
    text = capsys.readouterr().out
    assert "ran in: litert 2." in text
    assert "tflite-runtime 2.14: yes: it knows every operation" in text
    assert "XNNPACK, a guess: takes " in text
    facts = inspection.as_json(verbs.inspect(int8_file.path))
    assert {"runtimes", "coverage", "too_new", "float_islands"} <= set(json.loads(json.dumps(facts)))
    assert facts["runtimes"][0]["ok"]
    refused = replace(int8_file.contract, ran=(Ran(runtime="x", version="1", ok=False, reason="x 1 died (SIGSEGV)"),))
    path = modelfile.write(tmp_path / "m.tflite", modelfile.read(int8_file.path).content, refused).path
    assert "  ran in: x 1 died (SIGSEGV)" in "\n".join(inspection.as_text(verbs.inspect(path)))
