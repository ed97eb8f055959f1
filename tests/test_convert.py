import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesdk import modelfile, verbs
from edgesdk.contract import Recipe, Source
from edgesdk.converted import Converted
from edgesdk.errors import ConversionError, GateError, RunError, WeightsError, WriteError
from edgesdk.preprocess import ImageInput, to_tensor, value_table
from edgesdk.runfolder import read_run
from edgesdk.spec import ModelSpec
from edgesdk_convert import worker
from edgesdk_convert.calibrate import add_anchors
from edgesdk_convert.convert import Evidence, convert_model
from edgesdk_convert.export import freeze
from edgesdk_convert.gate import check_drop, prove
from edgesdk_convert.load import load_network
from edgesdk_convert.quantize import check_input
from edgesdk_device.backends import installed_backends, open_backend
from test_mobilenet_v1 import counted

INPUT = ImageInput(height=48, width=48)


def built(seed: int = 0) -> Any:
    """A MobileNet V1 0.25-48 with random weights and three classes."""
    import tf_keras as keras

    from edgesdk_train.models import build_model

    keras.utils.set_random_seed(seed)
    return build_model(ModelSpec(width=0.25, res=48, classes=3))


def convert_built(model: Any, out: Path, **changes: Any) -> Converted:
    settings: dict[str, Any] = {
        "spec": ModelSpec(width=0.25, res=48, classes=3),
        "image_input": INPUT,
        "labels": ("a", "b", "c"),
        "source": Source(),
        "recipe": Recipe(precision="int8", io="uint8"),
        "evidence": Evidence(),
        "out": out,
    }
    return convert_model(model, **settings | changes)


def test_the_contract_says_what_was_measured(int8_file: Converted, run_folder: Path) -> None:
    contract, proved = int8_file.contract, int8_file.contract.measured.accuracy
    assert proved is not None
    assert proved.n == 24
    assert proved.float == read_run(run_folder).top1
    assert proved.agreement >= 0.9
    assert 0 <= proved.ci95[0] <= proved.final <= proved.ci95[1] <= 1
    assert contract.recipe == Recipe(precision="int8", io="uint8", calibration=84 + 2)
    assert contract.output.labels == ("blue", "green", "red")
    assert [golden.generator for golden in contract.golden] == ["blocks", "blocks", "png", "png"]
    assert contract.measured.parameters == counted(0.25, 48, classes=3)[1]
    assert contract.versions["tensorflow"]


def test_json_has_the_keys_that_scripts_rely_on(int8_file: Converted) -> None:
    facts = json.loads(json.dumps(int8_file.to_json()))
    keys = {"path", "spec", "accuracy", "agreement", "macs", "parameters", "size_bytes", "gzip_bytes", "sparsity"}
    assert keys | {"recipe", "seconds"} <= set(facts)
    assert set(facts["accuracy"]) == {"float", "float_tflite", "final", "n", "ci95"}
    assert facts["size_bytes"] == int8_file.path.stat().st_size


def test_the_float_file_equals_the_network(run_folder: Path, float_file: Converted) -> None:
    network = load_network(run_folder / "model.keras")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3)).astype(np.uint8)
    values = to_tensor(pixels, value_table(INPUT, np.float32, 0, 0))
    with open_backend(modelfile.read(float_file.path).content) as backend:
        for value in values:
            expected = network(value[None]).numpy().reshape(-1)
            assert np.allclose(backend.invoke(value).reshape(-1), expected, atol=1e-5)


@pytest.mark.parametrize("precision", ["float16", "dynamic", "int16x8"])
def test_the_other_precisions(run_folder: Path, float_file: Converted, tmp_path: Path, precision: Any) -> None:
    """Float in and out, half or a quarter of the bytes, the network's answers, in both runtimes."""
    file = verbs.convert(run_folder, quantize=precision, out=tmp_path / "m.tflite")
    assert file.contract.recipe.precision == precision
    assert file.contract.recipe.calibration == (86 if precision == "int16x8" else 0)
    size = file.contract.measured.size_bytes / float_file.contract.measured.size_bytes
    assert size < (0.6 if precision == "float16" else 0.5)
    assert file.contract.measured.accuracy is not None
    assert file.contract.measured.accuracy.agreement >= 0.8  # 24 images of a network that hardly settled
    assert verbs.verify(file.path).ok
    command = [sys.executable, "-m", "edgesdk.cli", "verify", str(file.path), "--backend"]
    for backend in installed_backends():
        done = subprocess.run([*command, backend], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done


@pytest.mark.parametrize(("io", "dtype"), [("uint8", np.uint8), ("int8", np.int8), ("float32", np.float32)])
def test_every_input_type_gives_the_same_answers(run_folder: Path, tmp_path: Path, io: Any, dtype: type) -> None:
    file = verbs.convert(run_folder, io=io, out=tmp_path / f"{io}.tflite")
    with open_backend(modelfile.read(file.path).content) as backend:
        assert backend.input.dtype == dtype
    assert verbs.verify(file.path).ok
    assert file.contract.measured.accuracy is not None
    assert file.contract.measured.accuracy.agreement >= 0.9


def test_bytes_go_into_the_uint8_file_as_they_are(int8_file: Converted) -> None:
    with open_backend(modelfile.read(int8_file.path).content) as backend:
        assert backend.input.scale == 1 / 128
        assert backend.input.zero_point == 128


def test_calibration_without_black_and_white_is_noticed(int8_file: Converted) -> None:
    with open_backend(modelfile.read(int8_file.path).content) as backend:
        recipe = int8_file.contract.recipe
        check_input(backend, INPUT, recipe)
        backend.input = replace(backend.input, scale=backend.input.scale / 2)
        with pytest.raises(ConversionError, match="must span black to white"):
            check_input(backend, INPUT, recipe)
        with pytest.raises(ConversionError, match="expected float32"):
            check_input(backend, INPUT, Recipe())


def test_anchors_are_black_and_white() -> None:
    pixels = add_anchors(np.full((2, 4, 4, 3), 7, np.uint8))
    assert pixels[:, 0, 0, 0].tolist() == [0, 255, 7, 7]


def test_prove_counts_what_is_lost() -> None:
    right = np.eye(2, dtype=np.float32)[[0, 0, 1, 1]]
    worse = np.eye(2, dtype=np.float32)[[0, 1, 1, 1]]
    accuracy = prove(right, right, worse, np.array([0, 0, 1, 1], np.int32), ("a", "b"))
    assert (accuracy.float, accuracy.final, accuracy.agreement) == (1.0, 0.75, 0.75)
    assert accuracy.per_class_drop == {"a": 50.0}
    check_drop(accuracy, 25.0)
    check_drop(accuracy, None)
    with pytest.raises(GateError, match=r"lost 25.0 points of top-1 \(100.0 % -> 75.0 % on 4 images\), allowed are 24"):
        check_drop(accuracy, 24.0)


def test_a_file_that_fails_the_gate_is_not_written(run_folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """Half of the channels of a layer 100 times larger than the others: one scale a tensor cannot hold both."""
    network = load_network(run_folder / "model.keras")
    before, after = network.get_layer("conv_pw_3_bn"), network.get_layer("conv_dw_4")
    gamma, beta, mean, variance = before.get_weights()
    factor = np.where(np.arange(len(gamma)) % 2, 1.0, 1e-4)  # positive scaling passes through ReLU, not through int8
    before.set_weights([gamma * factor, beta * factor, mean, variance])
    after.set_weights([after.get_weights()[0] / factor[:, None]])
    out = tmp_path / "broken.tflite"
    out.write_bytes(b"an older file")
    run = read_run(run_folder)
    evidence = verbs._evidence(verbs.split_dataset(verbs.read_dataset(run.data)), run.input, quiet=True)
    with pytest.raises(GateError, match="nothing was written"):
        convert_built(network, out, labels=run.classes, evidence=evidence, max_drop=0.5)
    assert out.read_bytes() == b"an older file"
    assert [path.name for path in tmp_path.iterdir()] == ["broken.tflite"]


def test_random_weights_make_an_untrained_file(tmp_path: Path) -> None:
    file = verbs.convert(weights="none", width=0.25, res=32, out=tmp_path / "random.tflite")
    assert not file.contract.source.trained
    assert file.contract.measured.accuracy is None
    assert file.contract.spec.classes == 1000
    assert verbs.verify(file.path).ok


def test_nan_weights_are_refused(tmp_path: Path) -> None:
    model = built()
    kernel = model.layers[1].get_weights()[0]
    kernel[0, 0, 0, 0] = np.nan
    model.layers[1].set_weights([kernel])
    with pytest.raises(ConversionError, match=r"conv1/kernel.*NaN"):
        convert_built(model, tmp_path / "nan.tflite")


def test_an_output_that_cannot_be_written_is_found_before_the_work(run_folder: Path, tmp_path: Path) -> None:
    for out in (tmp_path / "no" / "such" / "model.tflite", tmp_path):
        with pytest.raises(WriteError, match="cannot write"):
            convert_built(None, out)


def test_a_converter_that_dies_costs_one_conversion() -> None:
    graph = freeze(built())
    job = worker.Job(graph=graph, recipe=Recipe(), image_input=INPUT, samples=None)
    first = worker.Worker()
    try:
        assert first.convert(job)[4:8] == b"TFL3"
        first._process.kill()
        with pytest.raises(ConversionError, match="process died"):
            first.convert(job)
    finally:
        first.close()
    assert worker.convert_graph(job)[4:8] == b"TFL3"


def test_the_converters_reason_is_one_sentence() -> None:
    graph = replace(freeze(built()), graph=b"no graph")
    with pytest.raises(ConversionError, match="the converter refuses the network") as caught:
        worker.convert_graph(worker.Job(graph=graph, recipe=Recipe(), image_input=INPUT, samples=None))
    assert "\n" not in str(caught.value)


def test_converting_is_quiet(run_folder: Path, tmp_path: Path) -> None:
    """Nothing but our own words reaches the terminal, although TensorFlow and XNNPACK write past Python."""
    command = [sys.executable, "-m", "edgesdk.cli", "convert", str(run_folder), "--json"]
    done = subprocess.run([*command, "-o", str(tmp_path / "m.tflite")], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert all(line.startswith("edgesdk: ") for line in done.stderr.splitlines())
    assert json.loads(done.stdout)["path"].endswith("m.tflite")


def test_other_classes_than_the_runs_are_named(run_folder: Path, tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for index in range(4):
            (tmp_path / name / f"{index}.png").write_text(f"{name}{index}")
    with pytest.raises(RunError, match=r"learned the classes blue, green, red, .* has cat, dog"):
        verbs.convert(run_folder, data=tmp_path, out=tmp_path / "m.tflite")


def test_weights_without_classes_need_data(tmp_path: Path) -> None:
    built().save_weights(tmp_path / "three.h5")
    with pytest.raises(WeightsError, match="3 classes of unknown names: add --data"):
        verbs.convert(width=0.25, res=48, weights=str(tmp_path / "three.h5"))


def test_float_input_type_for_a_float_file_only() -> None:
    with pytest.raises(ValueError, match="io is 'int8' for a float32 model"):
        verbs.convert(weights="none", quantize="float32", io="int8")


def test_a_convert_that_learned_is_not_learned_twice(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.tflite"
    settings: dict[str, Any] = {"data": photos, "width": 0.25, "res": 48, "epochs": 1, "batch": 16, "out": out}
    verbs.convert(**settings)
    stamp = (tmp_path / "m.run" / "model.keras").stat().st_mtime_ns
    verbs.convert(**settings, quantize="float32")
    assert (tmp_path / "m.run" / "model.keras").stat().st_mtime_ns == stamp


def test_imagenet_weights_keep_their_head(shared: Path, tmp_path: Path) -> None:
    file = verbs.convert(
        width=0.25,
        res=128,
        weights=str(shared / "models/keras/mobilenet_v1_0.25_128_dequant.h5"),
        data=shared / "datasets/imagenet_sample",
        out=tmp_path / "imagenet.tflite",
    )
    proved = file.contract.measured.accuracy
    assert proved is not None
    assert proved.n == 700
    assert proved.float > 0.4
    assert proved.final >= 0.95 * proved.float
    assert file.contract.output.labels[0] == "tench, Tinca tinca"
