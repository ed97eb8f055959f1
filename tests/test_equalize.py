import numpy as np
import pytest
import tf_keras as keras

from edgesdk.preprocess import ImageInput
from edgesdk.spec import ModelSpec
from edgesdk_convert.equalize import equalize
from edgesdk_train.models import build_model
from test_mobilenet_v2 import settle

INPUT = ImageInput(height=8, width=8)
PIXELS = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3)).astype(np.uint8)
VALUES = (PIXELS.astype(np.float32) - 128) / 128


def network() -> keras.Model:
    """Convolution, depthwise and pointwise with batch-norm and ReLU6; channels of very different reach."""
    keras.utils.set_random_seed(0)
    x = image = keras.Input((8, 8, 3))
    for index, layer in enumerate(
        (keras.layers.Conv2D(8, 3), keras.layers.DepthwiseConv2D(3), keras.layers.Conv2D(8, 1, use_bias=False))
    ):
        x = keras.layers.BatchNormalization(name=f"bn{index}")(layer(x))
        x = keras.layers.ReLU(6.0, name=f"relu{index}")(x)
    x = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = keras.layers.Flatten()(keras.layers.Conv2D(4, 1)(x))
    model = keras.Model(image, keras.layers.Softmax()(x))
    for index in range(3):
        norm = model.get_layer(f"bn{index}")
        gamma, beta, mean, variance = norm.get_weights()
        norm.set_weights([gamma * np.geomspace(0.2, 4, len(gamma)), beta + 0.1, mean, variance])
    return model


def reach(model: keras.Model) -> list[np.ndarray]:  # type: ignore[type-arg]
    outputs = keras.Model(model.input, [layer.output for layer in model.layers if "relu" in layer.name])(VALUES)
    return [output.numpy().max((0, 1, 2)) for output in outputs]


def test_the_network_computes_the_same() -> None:
    model = network()
    for strength in (0.5, 1.0):
        equal = equalize(model, PIXELS, INPUT, strength=strength)
        assert np.allclose(equal(VALUES).numpy(), model(VALUES).numpy(), atol=1e-5)


def test_every_channel_reaches_the_whole_range() -> None:
    model = network()
    before, after = reach(model), reach(equalize(model, PIXELS, INPUT, strength=1.0))
    assert all((channel.min() < 1.5) for channel in before)
    for old, new in zip(before, after, strict=True):
        alive = old > 6 / 16  # a channel is raised 16-fold at most
        assert np.allclose(new[alive], 6.0, atol=1e-3)


@pytest.mark.parametrize(("arch", "scales"), [("mobilenet_v2", True), ("mobilenet_v3_small", False)])
def test_sums_and_hard_swish_are_left_right(arch: str, scales: bool) -> None:
    """V2 is scaled inside its bottlenecks, never where a shortcut adds; V3 has no ReLU6 behind a batch-norm."""
    model = build_model(ModelSpec(arch=arch, width=0.1, res=32, classes=3))
    image_input = ImageInput(height=32, width=32)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
    values = (pixels.astype(np.float32) - 128) / 128
    settle(model, values)
    equal = equalize(model, pixels, image_input)
    assert np.allclose(equal(values).numpy(), model(values).numpy(), atol=1e-5)
    changed = [
        old.name
        for old, new in zip(model.layers, equal.layers, strict=True)
        if any(not np.array_equal(a, b) for a, b in zip(old.get_weights(), new.get_weights(), strict=True))
    ]
    assert bool(changed) == scales
    assert not any("project_bn" in name for name in changed)


def test_without_relu6_nothing_changes() -> None:
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3)(image)))
    model = keras.Model(image, keras.layers.Softmax()(keras.layers.Dense(2)(keras.layers.Flatten()(x))))
    equal = equalize(model, PIXELS, INPUT)
    for a, b in zip(model.get_weights(), equal.get_weights(), strict=True):
        assert np.array_equal(a, b)
