"""Networks of other makers, each file really made here, judged by the answers of what made it."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgesdk
from conftest import write_photos
from edgesdk import cli, modelfile
from edgesdk.errors import ConversionError, DataError, GateError, ModelFileError
from edgesdk.flatbuffer import pack_model, unpack_model
from edgesdk.preprocess import to_tensor, value_table
from edgesdk_convert.foreign import read_foreign
from edgesdk_convert.gate import file_outputs
from edgesdk_convert.inspect import read_graph
from edgesdk_convert.untrusted import check_keras_config

#: Made by Keras 3 in a process of its own: what it answers for `pixels` lies beside each network.
MAKE = """
import os, sys
import numpy as np
import keras, tensorflow as tf
L, rng = keras.layers, np.random.default_rng(0)
keras.utils.set_random_seed(1)
pixels = rng.integers(0, 256, (6, 40, 32, 3)).astype("uint8")
answers = {"pixels": pixels}

def body(x):
    x = L.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    x = L.ReLU(6.0)(L.BatchNormalization()(x))
    return L.Add()([x, L.DepthwiseConv2D(3, padding="same", activation="relu")(x)])

def network(image, answer):
    model = keras.Model(image, answer)
    model.compile(loss="mse")
    return model

def save(name, model, mean=128.0, std=128.0):
    model.save(name + ".keras")
    channels = model.input_shape[-1]
    answers[name] = model.predict((pixels[..., :channels].astype("float32") - mean) / std, verbose=0)

image = keras.Input((40, 32, 3))
pooled = L.GlobalAveragePooling2D()(body(image))
labels = L.Dense(3, activation="softmax")(pooled)
classifier = network(image, labels)
save("classifier", classifier)
classifier.save("classifier3.h5")
classifier.export("saved", verbose=False)
converter = tf.lite.TFLiteConverter.from_saved_model("saved")
open("any_batch.tflite", "wb").write(converter.convert())
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([picture[None] / np.float32(128) - 1] for picture in pixels)
open("quantized.tflite", "wb").write(converter.convert())

gray = keras.Input((40, 32, 1))
scaled = L.Rescaling(1 / 127.5, offset=-1)(L.RandomFlip()(gray))
save("gray", network(gray, L.Dense(3, activation="softmax")(L.GlobalAveragePooling2D()(body(scaled)))), 0.0, 1.0)
save("latent", network(image, L.Dense(5)(pooled)))
save("logits", network(image, L.Dense(3)(pooled)))
save("map", network(image, L.Conv2D(2, 1)(body(image))))
backbone = network(image, body(image))
save("nested", keras.Sequential([image, backbone, L.GlobalAveragePooling2D(), L.Dense(3, "softmax")]))
save("lambda", network(image, L.Dense(3, activation="softmax")(L.Lambda(lambda x: x * 2 + 1)(pooled))))
keras.Model(image, [labels, pooled]).save("two.keras")
keras.Model(image, [labels, pooled]).export("two", verbose=False)
open_size = keras.Input((None, None, 3))
keras.Model(open_size, L.Dense(3, activation="softmax")(L.GlobalAveragePooling2D()(open_size))).save("open.keras")
flat = keras.Input((40,))
keras.Model(flat, L.Dense(3)(flat)).save("flat.keras")
weights = classifier.get_weights()
classifier.set_weights([weights[0] * np.nan, *weights[1:]])
classifier.save("nan.keras")

class Reader(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None, 40, 32, 3), tf.float32)])
    def __call__(self, image):
        size = tf.strings.length(tf.io.read_file("/etc/hostname"))
        return {"answer": tf.reduce_mean(image, (1, 2)) * tf.cast(size, tf.float32)}

reader = Reader()
tf.saved_model.save(reader, "reader", signatures=reader.__call__)

class Opener(tf.saved_model.experimental.TrackableResource):  # TensorFlow runs this when the model is loaded
    def _create_resource(self):
        return tf.raw_ops.MutableHashTableV2(key_dtype=tf.int64, value_dtype=tf.int64)

    def _initialize(self):
        tf.print("was here", output_stream="file://" + os.getcwd() + "/printed")

class Printer(tf.Module):
    def __init__(self):
        self.opener = Opener()
        self.opener.resource_handle

    @tf.function(input_signature=[tf.TensorSpec((None, 40, 32, 3), tf.float32)])
    def __call__(self, image):
        return {"answer": tf.reduce_mean(image, (1, 2))}

printer = Printer()
tf.saved_model.save(printer, "printer", signatures=printer.__call__)
np.savez("answers.npz", **answers)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("foreign")
    done = subprocess.run([sys.executable, "-c", MAKE], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def legacy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A classifier of Keras 2 in its two formats, with the network itself."""
    import tf_keras as keras

    folder = tmp_path_factory.mktemp("legacy")
    keras.utils.set_random_seed(2)
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", input_shape=(40, 32, 3)),
            layers.Conv2D(64, 3, strides=2, padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.save(folder / "legacy.keras")
    with pytest.warns(UserWarning, match="HDF5"):
        model.save(folder / "legacy.h5")
    return folder, model


def answers(made: Path, name: str) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """The pixels and what Keras 3 answered."""
    with np.load(made / "answers.npz") as saved:
        wanted = saved[name]
        return saved["pixels"], wanted.reshape(len(wanted), -1)


def given(file: edgesdk.Converted, pixels: Any) -> Any:
    """What a converted file answers."""
    image_input = file.contract.input
    return file_outputs(modelfile.read(file.path).content, pixels[..., : image_input.channels], image_input)


@pytest.mark.parametrize("source", ["classifier.keras", "classifier3.h5", "saved", "any_batch.tflite", "nested.keras"])
def test_every_kind_of_file_answers_as_its_maker(made: Path, tmp_path: Path, source: str) -> None:
    pixels, wanted = answers(made, "nested" if source.startswith("nested") else "classifier")
    float_file = edgesdk.convert(made / source, quantize="float32", out=tmp_path / "float.tflite")
    assert np.allclose(given(float_file, pixels), wanted, atol=1e-5)
    assert float_file.contract.spec is None
    assert float_file.contract.name == Path(source).stem
    assert float_file.contract.output.labels == ("class 0", "class 1", "class 2")
    assert float_file.contract.input.shape == (40, 32, 3)
    int8_file = edgesdk.convert(made / source, out=tmp_path / "int8.tflite", min_snr=20)
    assert np.abs(given(int8_file, pixels) - wanted).max() < 0.05
    assert edgesdk.verify(int8_file.path).ok
    with edgesdk.Classifier(int8_file.path) as classify:
        assert classify(pixels[0]).label.startswith("class")


def test_the_name_says_nothing(made: Path, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes((made / "classifier.keras").read_bytes())
    pixels, wanted = answers(made, "classifier")
    file = edgesdk.convert(tmp_path / "model.bin", quantize="float32", out=tmp_path / "m.tflite")
    assert np.allclose(given(file, pixels), wanted, atol=1e-5)
    assert file.contract.source.weights.startswith("model.bin sha256:")


@pytest.mark.parametrize("source", ["legacy.keras", "legacy.h5"])
def test_legacy_keras(legacy: tuple[Path, Any], made: Path, tmp_path: Path, source: str) -> None:
    folder, model = legacy
    pixels, _ = answers(made, "classifier")
    foreign = read_foreign(folder / source, values=None, res=None, resize="crop", trust=False)
    wanted = model(to_tensor(pixels, value_table(foreign.image_input, np.float32, 0, 0))).numpy()
    assert np.allclose(foreign.network.answer(pixels), wanted, atol=1e-6)
    assert foreign.learns
    assert [type(layer).__name__ for layer in foreign.network.layers.layers][-2:] == ["Dense", "Activation"]
    assert foreign.network.parameters == model.count_params()
    file = edgesdk.convert(folder / source, out=tmp_path / "m.tflite", min_snr=20)
    assert np.abs(given(file, pixels) - wanted).max() < 0.05


def test_known_layers_learn_and_are_judged_on_photos(
    legacy: tuple[Path, Any], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgesdk_convert import prune

    monkeypatch.setattr(prune, "EPOCHS", 2)
    file = edgesdk.convert(legacy[0] / "legacy.h5", data=photos, prune=0.5, out=tmp_path / "m.tflite")
    assert file.contract.output.labels == ("blue", "green", "red")
    assert file.contract.measured.sparsity > 0.4
    assert file.contract.measured.accuracy is not None
    assert file.contract.measured.accuracy.n == 24
    assert file.contract.source.dataset == "photos"


def test_keras_3_layers_are_known_where_they_are_plain(made: Path) -> None:
    known = {}
    for name in ("classifier", "gray", "map", "latent", "nested"):
        foreign = read_foreign(made / f"{name}.keras", values=None, res=None, resize="crop", trust=False)
        known[name] = foreign.network.layers is not None, foreign.learns, foreign.answer
    assert known == {
        "classifier": (True, True, "probabilities"),
        "gray": (True, True, "probabilities"),
        "map": (True, False, "image"),
        "latent": (True, False, "latent"),
        "nested": (False, False, "probabilities"),
    }


def test_gray_bytes(made: Path, photos: Path, tmp_path: Path) -> None:
    """A network that begins with a Rescaling takes bytes, which its uint8 file takes as they are."""
    pixels, wanted = answers(made, "gray")
    for io, zero_point in (("uint8", 0), ("int8", -128)):
        file = edgesdk.convert(made / "gray.keras", data=photos, io=io, out=tmp_path / f"{io}.tflite")
        assert file.contract.input.shape == (40, 32, 1)
        assert (file.contract.input.color, file.contract.input.mean, file.contract.input.std) == ("gray", 0, 1)
        assert np.abs(given(file, pixels) - wanted).max() < 0.06
        with edgesdk.Classifier(file.path) as classify:
            assert (classify.backend.input.scale, classify.backend.input.zero_point) == (1.0, zero_point)
            assert classify(next(photos.rglob("*.png"))).label in ("blue", "green", "red")
        assert [golden.generator for golden in file.contract.golden] == ["blocks", "blocks", "png", "png"]
        assert edgesdk.verify(file.path).ok


def test_what_is_no_classifier(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Photos without classes calibrate; signal to noise judges; run and bench --data say what it is."""
    write_photos(tmp_path / "photos", 8)
    for photo in (tmp_path / "photos").rglob("*.png"):
        photo.rename(tmp_path / "photos" / f"{photo.parent.name}-{photo.name}")
    flat = tmp_path / "photos"
    for name in ("latent", "map"):
        file = edgesdk.convert(made / f"{name}.keras", data=flat, min_snr=15, out=tmp_path / f"{name}.tflite")
        assert file.contract.output == edgesdk.contract.Output(kind="image" if name == "map" else name)  # type: ignore[attr-defined]
        assert file.contract.measured.accuracy is None
        assert file.contract.recipe.calibration == 12 + 2
        pixels, wanted = answers(made, name)
        assert np.abs(given(file, pixels) - wanted).mean() < 0.05 * np.abs(wanted).max()
        assert edgesdk.verify(file.path).ok
    with pytest.raises(GateError, match="dB of signal to noise, wanted are 199"):
        edgesdk.convert(made / "latent.keras", min_snr=199, out=tmp_path / "never.tflite")
    with pytest.raises(ConversionError, match="latent is no classifier, it answers a latent: ask for --min-snr"):
        edgesdk.convert(made / "latent.keras", data=flat, max_drop=1, out=tmp_path / "never.tflite")
    path = str(tmp_path / "latent.tflite")
    for command, code, said in (
        (["inspect", path], 0, "output: latent"),
        (["bench", path, "--quick"], 0, "latent int8"),
        (["bench", path, "--quick", "--data", "digits"], 1, "is no classifier, its output is latent: leave out --data"),
        (["run", path, "--source", "synthetic", "--frames", "1"], 1, "is no classifier: its output is latent"),
    ):
        assert cli.main([*command, "--quiet"] if command[0] != "inspect" else command) == code
        assert said in "".join(capsys.readouterr())


def test_logits_are_judged_and_named(made: Path, photos: Path, tmp_path: Path) -> None:
    file = edgesdk.convert(made / "logits.keras", data=photos, out=tmp_path / "m.tflite")
    assert file.contract.output.kind == "logits"
    assert file.contract.measured.accuracy is not None
    pixels, wanted = answers(made, "logits")
    with edgesdk.Classifier(file.path) as classify:
        answer = classify(pixels[0])
        assert sum(score for _, score in answer.top) == pytest.approx(1.0)
    assert np.abs(given(file, pixels) - wanted).max() < 0.1 * np.ptp(wanted)


def test_labels_from_a_file(made: Path, photos: Path, tmp_path: Path) -> None:
    names = tmp_path / "labels.txt"
    names.write_text("red\nblue\ngreen\n")
    file = edgesdk.convert(made / "saved", labels=names, data=photos, out=tmp_path / "m.tflite")
    assert file.contract.output.labels == ("red", "blue", "green")
    names.write_text("red\nblue\n")
    with pytest.raises(DataError, match=r"2 labels, but .* answers 3 numbers"):
        edgesdk.convert(made / "saved", labels=names, out=tmp_path / "n.tflite")
    with pytest.raises(DataError, match=r"digits has 10 classes, but .* tells 3 apart"):
        edgesdk.convert(made / "saved", data="digits", out=tmp_path / "n.tflite")


def test_an_edgesdk_file_keeps_its_words(float_file: edgesdk.Converted, tmp_path: Path) -> None:
    file = edgesdk.convert(float_file.path, out=tmp_path / "m.tflite")
    assert file.contract.recipe.precision == "int8"
    assert (file.contract.spec, file.contract.output) == (float_file.contract.spec, float_file.contract.output)
    assert file.contract.source == float_file.contract.source
    with pytest.raises(ConversionError, match=r"float16 cannot be made from a \.tflite"):
        edgesdk.convert(float_file.path, quantize="float16", out=tmp_path / "n.tflite")


def test_code_runs_only_with_trust(made: Path, tmp_path: Path) -> None:
    import tf_keras as keras

    out = tmp_path / "m.tflite"
    with pytest.raises(ModelFileError, match=r"holds a Lambda layer .*: .* only with --trust"):
        edgesdk.convert(made / "lambda.keras", out=out)
    pixels, wanted = answers(made, "lambda")
    file = edgesdk.convert(made / "lambda.keras", trust=True, quantize="float32", out=out)
    assert np.allclose(given(file, pixels), wanted, atol=1e-5)
    image = keras.Input((40, 32, 3))
    model = keras.Model(image, keras.layers.Lambda(lambda x: x * 2)(keras.layers.GlobalAveragePooling2D()(image)))
    with pytest.warns(UserWarning, match="HDF5"):
        model.save(tmp_path / "lambda.h5")
    with pytest.raises(ModelFileError, match="holds a Lambda layer 'lambda"):
        edgesdk.convert(tmp_path / "lambda.h5", out=out)
    assert edgesdk.convert(tmp_path / "lambda.h5", trust=True, out=out).contract.output.kind == "latent"
    with pytest.raises(ModelFileError, match="holds the operation ReadFile, which touches files"):
        edgesdk.convert(made / "reader", out=out)
    with pytest.raises(ModelFileError, match="holds the operation PrintV2, which touches files"):
        edgesdk.convert(made / "printer", out=out)
    assert not (made / "printed").exists()


def test_configs_that_call_what_is_not_keras(tmp_path: Path) -> None:
    for item, said in (
        ({"class_name": "Thing", "module": "os", "config": {}}, "Thing of the module os"),
        ({"class_name": "TFOpLambda", "config": {"function": "io.write_file"}}, "calls tf.io.write_file"),
        ({"class_name": "TFOpLambda", "config": {"function": "py_function"}}, "calls tf.py_function"),
    ):
        with pytest.raises(ModelFileError, match=said):
            check_keras_config(tmp_path, {"class_name": "Functional", "config": {"layers": [item]}})
    for function in ("math.add", "nn.relu", "compat.v1.transpose", "reshape", "__operators__.add"):
        check_keras_config(tmp_path, {"class_name": "TFOpLambda", "config": {"function": function}})


REFUSED = {
    "nan.keras": "hold NaN or infinite numbers",
    "two.keras": "has 2 outputs",
    "two": "has 2 outputs",
    "open.keras": "any size: say which with --res",
    "saved --res 96": "res is 96, but",
    "any_batch.tflite --res 96": "res is 96, but",
    "flat.keras": "has shape (None, 40), expected one image",
    "quantized.tflite": "is quantized already: its tensor",
    "cut.keras": "is damaged",
    "cut.h5": "is damaged",
    "cut.tflite": "damaged",
    "garbage.h5": "is damaged",
    "garbage": "saved_model.pb is damaged",
    "odd.tflite": "odd.tflite is damaged (ValueError",
    "output.tflite": "output.tflite is damaged (IndexError",
    "layers.keras": "layers.keras cannot be read",
    "other.zip": "is no Keras file, it holds no config.json",
    "weights.h5": "holds weights without a network",
    "text.keras": "is no model that can be converted",
    "missing.keras": "cannot read",
}


@pytest.fixture(scope="module")
def damaged(made: Path, legacy: tuple[Path, Any]) -> Path:
    """The folder `made`, with files that are not whole."""
    for source in ("classifier.keras", "classifier3.h5", "any_batch.tflite"):
        data = (made / source).read_bytes()
        (made / f"cut{Path(source).suffix}").write_bytes(data[: len(data) // 3])
    (made / "garbage.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 8)
    shutil.copytree(made / "saved", made / "garbage")
    (made / "garbage" / "saved_model.pb").write_bytes(b"\xff\x01 no protocol buffer")
    with zipfile.ZipFile(made / "other.zip", "w") as archive:
        archive.writestr("data.pkl", "weights")
    with zipfile.ZipFile(made / "layers.keras", "w") as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.0"}')
        archive.writestr("config.json", '{"class_name": "Sequential", "config": {"layers": [{"class_name": 3}]}}')
        archive.writestr("model.weights.h5", b"")
    whole = (made / "any_batch.tflite").read_bytes()
    odd, output = unpack_model(whole), unpack_model(whole)
    weights = max((item for item in odd.buffers if item.data is not None), key=lambda item: len(item.data))
    weights.data = weights.data[:-1]
    output.subgraphs[0].outputs = [999]
    (made / "odd.tflite").write_bytes(pack_model(odd))
    (made / "output.tflite").write_bytes(pack_model(output))
    legacy[1].save_weights(made / "weights.h5")
    (made / "text.keras").write_text("this is no model")
    return made


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_converted_is_one_sentence(
    name: str, damaged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["convert", *f"{damaged}/{name} --quiet".split()]) == 1
    error = capsys.readouterr().err
    assert REFUSED[name] in error
    assert len(error.splitlines()) == 1
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_options_that_contradict(
    made: Path, run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(made / "classifier.keras")
    for arguments, said in (
        ([model, "--width", "0.5"], "--width stands beside"),
        ([model, "--arch", "mobilenet_v1", "--weights", "imagenet"], "--arch and --weights stand beside"),
        ([str(run_folder), "--res", "96"], "--res stands beside the run folder"),
        ([str(run_folder), "--values", "unit"], "--values stands beside the run folder"),
        ([str(run_folder), "--epochs", "5", "--no-flip"], "--epochs and --no-flip stand beside the run folder"),
        (["--trust"], "--trust stands without a MODEL"),
        ([model, "-o", model], "the MODEL itself"),
    ):
        assert cli.main(["convert", *arguments, "--quiet"]) == 2
        assert said in capsys.readouterr().err


def test_a_size_that_the_file_leaves_open(made: Path, tmp_path: Path) -> None:
    file = edgesdk.convert(made / "open.keras", res=48, values="unit", out=tmp_path / "m.tflite")
    assert file.contract.input.shape == (48, 48, 3)
    assert (file.contract.input.mean, file.contract.input.std) == (0, 255)
    with edgesdk.Classifier(file.path) as classify:
        assert classify.backend.input.scale == pytest.approx(1 / 255)


CALLER = """
import os, sys
import numpy as np
import keras
import edgesdk
model = keras.saving.load_model(sys.argv[1] + "/classifier.keras")
image = np.linspace(-1, 1, 40 * 32 * 3, dtype="float32").reshape(1, 40, 32, 3)
before = model.predict(image, verbose=0)
edgesdk.convert(sys.argv[1] + "/classifier.keras", out=sys.argv[2])
assert np.array_equal(before, model.predict(image, verbose=0))
import tensorflow as tf
print(os.environ.get("TF_USE_LEGACY_KERAS"), tf.keras.Model.__module__.split(".")[0])
"""


def test_the_callers_own_keras_is_left_alone(made: Path, tmp_path: Path) -> None:
    """Keras 3 in the caller's process answers as before; TF_USE_LEGACY_KERAS stays as it was, set or not."""
    started = []
    for variable in ({}, {"TF_USE_LEGACY_KERAS": "1"}):
        environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"} | variable
        command = [sys.executable, "-c", CALLER, str(made), str(tmp_path / f"{len(started)}.tflite")]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True))
    said = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    assert [output.split() for output, _ in said] == [["None", "keras"], ["1", "tf_keras"]]


def test_no_flex_and_the_same_operations_on_every_way(made: Path, tmp_path: Path) -> None:
    files = [
        edgesdk.convert(made / name, quantize="float32", out=tmp_path / f"{index}.tflite")
        for index, name in enumerate(("classifier.keras", "saved", "any_batch.tflite"))
    ]
    counts = [read_graph(modelfile.read(file.path).content).macs for file in files]
    assert len(set(counts)) == 1
    assert json.loads(json.dumps(files[0].to_json()))["spec"] == {"name": "classifier"}


def test_ai_edge_quantizes_without_tensorflow(made: Path, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_quantizer")
    code = (
        "import sys\nsys.modules['tensorflow'] = sys.modules['tf_keras'] = None\nfrom edgesdk import cli\n"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    out = tmp_path / "m.tflite"
    command = [sys.executable, "-c", code, "convert", str(made / "any_batch.tflite"), "--quantizer", "ai-edge"]
    done = subprocess.run([*command, "--json", "-o", str(out)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["recipe"]["io"] == "int8"
    pixels, wanted = answers(made, "classifier")
    image_input = modelfile.read(out).required_contract().input
    assert np.abs(file_outputs(modelfile.read(out).content, pixels, image_input) - wanted).max() < 0.05


def test_ai_edge_says_what_it_cannot(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(made / "any_batch.tflite")
    assert cli.main(["convert", model, "--quantizer", "ai-edge", "--io", "uint8"]) == 2
    assert "ai-edge makes int8 files with int8 input, not int8 with uint8" in capsys.readouterr().err
