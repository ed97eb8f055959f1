"""Keras' own VGG and ResNet applications, number by number, from files as they publish them."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgesdk.errors import WeightsError
from edgesdk.photos.data import load_images, read_dataset
from edgesdk.preprocess import ImageInput, to_tensor, value_table
from edgesdk.spec import ModelSpec
from edgesdk_train import caffe
from edgesdk_train.learn import build_network
from edgesdk_train.weights import head_classes, load_weights, match_layers, read_weights

RES = 64
CAFFE_MEAN = np.array([103.939, 116.779, 123.68], np.float32)  # blue, green, red, as Keras' preprocess_input has it

Values = npt.NDArray[np.float32]


def theirs_of(application: str, **how: Any) -> Any:
    """The application with random weights, every bias and statistic among them."""
    import tf_keras as keras

    keras.utils.set_random_seed(3)
    model = getattr(keras.applications, application)(weights=None, input_shape=(RES, RES, 3), **how)
    rng = np.random.default_rng(3)
    for layer in model.layers:
        if len(layer.weights) == 2:
            kernel, bias = (weight.shape for weight in layer.weights)
            scale = (2 / np.prod(kernel[:-1])) ** 0.5
            if kernel[-2] == 3:
                scale /= 64  # pixels reach 128: without a batch-norm the answers would all be one class
            layer.set_weights([rng.normal(0, scale, kernel), rng.normal(0, 0.1, bias)])
        elif layer.weights:
            layer.momentum = 0.0
    return model


@pytest.fixture(scope="module", params=[("vgg16", "VGG16"), ("resnet50", "ResNet50")], ids=lambda param: param[0])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any, Path, Values]:
    """(our name, Keras' application, its file, photos as bytes in RGB)."""
    arch, application = request.param
    shared = request.getfixturevalue("shared")
    photos = read_dataset(shared / "datasets/imagenet_sample").photos[:8]
    pixels = load_images(photos, ImageInput(height=RES, width=RES)).pixels.astype(np.float32)
    theirs = theirs_of(application, classes=7)
    theirs(pixels[..., ::-1] - CAFFE_MEAN, training=True)  # settles batch-norm, so that photos differ to the end
    path = tmp_path_factory.mktemp("weights") / f"{arch}.h5"
    theirs.save_weights(path)
    return arch, theirs, path, pixels


def test_it_is_keras_application_number_by_number_but_for_the_border(
    pair: tuple[str, Any, Path, Values], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a mean of 128 the border is the same too, and so is everything."""
    arch, theirs, path, pixels = pair
    monkeypatch.setattr(caffe, "MEAN", np.full(3, 128, np.float32))
    ours = build_network(ModelSpec(arch=arch, res=RES, classes=7), str(path))
    assert ours.has_head
    wanted = theirs(pixels[..., ::-1] - 128).numpy()
    assert np.ptp(wanted, 0).max() > 0.01  # the photos are told apart
    table = value_table(ImageInput(height=RES, width=RES), np.float32, 0, 0)
    assert np.abs(ours.model(to_tensor(pixels.astype(np.uint8), table)).numpy() - wanted).max() <= 1e-3


def test_colours_are_folded_exactly_inside_the_border(pair: tuple[str, Any, Path, Values]) -> None:
    import tf_keras as keras

    arch, theirs, path, pixels = pair
    ours = build_network(ModelSpec(arch=arch, res=RES, classes=7), str(path)).model
    first, norm = {"vgg16": ("block1_conv1", "conv1_1_relu"), "resnet50": ("conv1_bn", "conv1_bn")}[arch]
    theirs_first = keras.Model(theirs.input, theirs.get_layer(first).output)
    ours_first = keras.Model(ours.input, ours.get_layer(norm).output)
    wanted = theirs_first(pixels[..., ::-1] - CAFFE_MEAN).numpy()
    given = ours_first((pixels - 128) / 128).numpy()
    inside = slice(2, -2)
    assert np.abs(given - wanted)[:, inside, inside].max() <= 1e-5 * np.abs(wanted).max()
    assert np.abs(given - wanted)[:, 0].max() > 1e-3 * np.abs(wanted).max()  # which the module's docstring owns up to


def test_other_heads_widths_and_resolutions(pair: tuple[str, Any, Path, Values]) -> None:
    from edgesdk_train.models import outline_model

    arch, _, path, _ = pair
    pretrained = read_weights(path)
    assert head_classes(pretrained) == 7
    _, with_head = match_layers(outline_model(ModelSpec(arch=arch, res=RES, classes=5)), pretrained)
    assert not with_head
    with pytest.raises(WeightsError, match=r"conv1.* width, resolution or architecture"):
        match_layers(outline_model(ModelSpec(arch=arch, width=0.5, res=RES, classes=7)), pretrained)
    larger = outline_model(ModelSpec(arch=arch, res=96, classes=7))
    if arch == "resnet50":
        match_layers(larger, pretrained)  # pooled: any size
    else:
        with pytest.raises(WeightsError, match=r"layer fc1 has shapes .*, fc6 of this network has .*resolution"):
            match_layers(larger, pretrained)


def test_a_file_of_another_network_is_named(pair: tuple[str, Any, Path, Values]) -> None:
    arch, _, path, _ = pair
    other = {"vgg16": "resnet50", "resnet50": "vgg16"}[arch]
    with pytest.raises(WeightsError, match=rf"{arch}.h5 .* layers with weights, {other} has .*another network"):
        build_network(ModelSpec(arch=other, res=RES, classes=7), str(path))
    same_length = {"vgg16": "vgg16_c", "resnet50": "resnet101"}[arch]
    with pytest.raises(WeightsError, match=r"another network|architecture"):
        build_network(ModelSpec(arch=same_length, res=RES, classes=7), str(path))


def test_a_file_of_our_own_is_taken_as_it_is(tmp_path: Path) -> None:
    from edgesdk_train.models import build_model

    spec = ModelSpec(arch="vgg11", width=0.05, res=32, classes=3)
    model, again = build_model(spec), build_model(spec)
    model.save_weights(tmp_path / "ours.h5")
    assert load_weights(again, read_weights(tmp_path / "ours.h5"))
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), again.get_weights(), strict=True))
