import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgesdk
from edgesdk import cli
from edgesdk.errors import DataError, RunError

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def photo(photos: Path) -> Path:
    return sorted((photos / "red").iterdir())[0]


def test_a_photos_feature_maps_are_drawn_layer_by_layer(
    run_folder: Path, photo: Path, tmp_path: Path, capsys: Capture
) -> None:
    report = tmp_path / "inside.html"
    assert cli.main(["inspect", str(run_folder), "--activations", str(photo), "--report", str(report)]) == 0
    text = capsys.readouterr().out
    picture = cv2.imread(str(run_folder / "activations.png"))
    assert picture is not None
    assert picture.shape[0] > 18 * 60  # a row a layer
    assert "answer: red " in text
    assert "conv_pw_13_relu" in text
    page = report.read_text()
    assert page.count("data:image/png;base64,") == 3
    assert "Layer by layer" in page
    (run_folder / "activations.png").unlink()


def test_the_maps_are_what_the_layers_answer(run_folder: Path, photo: Path) -> None:
    from edgesdk.preprocess import fit_frame, read_photo, to_tensor, value_table
    from edgesdk.runfolder import read_run
    from edgesdk_convert.load import load_network
    from edgesdk_train.activations import MOST_LAYERS, look_inside

    model, image_input = load_network(run_folder / "model.keras"), read_run(run_folder).input
    pixels = fit_frame(read_photo(photo), image_input)
    maps, answer = look_inside(model, pixels, image_input)
    assert len(maps) == MOST_LAYERS
    assert maps[0].layer == "conv1_relu"
    assert maps[-1].layer == "conv_pw_13_relu"
    values = to_tensor(pixels[None], value_table(image_input, np.float32, 0.0, 0))
    np.testing.assert_allclose(answer, model(values, training=False)[0], atol=1e-6)
    np.testing.assert_allclose(maps[-1].maps.mean((0, 1)), _features(model, values), atol=1e-5)


def _features(model: object, values: object) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    import tf_keras as keras

    body = keras.Model(model.input, model.get_layer("features").output)  # type: ignore[attr-defined]
    return np.asarray(body(values, training=False)).ravel()


def test_a_run_is_shown_layer_by_layer(run_folder: Path, capsys: Capture) -> None:
    found = edgesdk.inspect_run(run_folder)
    by_name = {layer.name: layer for layer in found.layers}
    assert by_name["conv1"].shape == (24, 24, 8)
    assert by_name["conv1"].parameters == 3 * 3 * 3 * 8
    assert by_name["conv1"].macs == 24 * 24 * 3 * 3 * 3 * 8
    assert cli.main(["inspect", str(run_folder), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert {"path", "run", "layers", "activations", "answer"} == set(facts)


@pytest.mark.parametrize("arch", ["lenet", "alexnet_lrn", "googlenet", "resnet18", "mobilenet_v3_small"])
def test_other_networks_have_maps_too(arch: str) -> None:
    from edgesdk.preprocess import input_of
    from edgesdk.spec import ModelSpec, shown
    from edgesdk_train.activations import draw_activations, look_inside
    from edgesdk_train.models import build_model

    spec = ModelSpec(arch=arch, width=1.0 if arch == "lenet" else 0.0625, res=shown(arch).smallest, classes=3)
    image_input = input_of(spec)
    pixels = np.random.default_rng(0).integers(0, 256, image_input.shape).astype(np.uint8)
    maps, answer = look_inside(build_model(spec), pixels, image_input)
    assert len(maps) >= 5
    png = draw_activations(pixels, maps[:4], answer, ("a", "b", "c"))
    assert cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR) is not None


def test_what_cannot_be_looked_into_is_named(run_folder: Path, int8_file: object, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing"):
        edgesdk.inspect_run(run_folder, activations="nothing.jpg")
    with pytest.raises(RunError, match="no run of a classifier"):
        edgesdk.inspect_run(tmp_path, activations="nothing.jpg")
    with pytest.raises(ValueError, match=r"ends in '\.pdf', expected \.html"):
        edgesdk.inspect_run(run_folder, report="x.pdf")
    shutil.copy(run_folder / "run.json", tmp_path)
    with pytest.raises(RunError, match="is unfinished: finish it with the same `edgesdk train"):
        edgesdk.inspect_run(tmp_path)
