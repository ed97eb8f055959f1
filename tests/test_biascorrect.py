import numpy as np
import pytest
import tf_keras as keras

from edgesdk.preprocess import ImageInput
from edgesdk_convert.biascorrect import correct_biases, round_weights

INPUT = ImageInput(height=8, width=8)
PIXELS = np.random.default_rng(0).integers(60, 256, (32, 8, 8, 3)).astype(np.uint8)  # bright: the mean is not zero
VALUES = (PIXELS.astype(np.float32) - 128) / 128


def test_rounding_is_symmetric_per_output_channel() -> None:
    kernel = np.zeros((1, 1, 2, 2), np.float32)
    kernel[0, 0] = [[1.27, 100.0], [0.014, -127.0]]
    rounded = round_weights(kernel, "Conv2D")
    assert rounded[0, 0] == pytest.approx(np.array([[1.27, 100.0], [0.01, -127.0]]))
    assert round_weights(kernel * 0, "Conv2D").tolist() == (kernel * 0).tolist()
    assert round_weights(kernel[0, 0], "Dense")[:, 0].tolist() == [1.0, 0.0]


def network(spread: float) -> keras.Model:
    """Convolution, depthwise, dense; weights of very different sizes, so that int8 rounds the small ones away."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(16, 3, use_bias=False)(image)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.ReLU(6.0)(x)
    x = keras.layers.DepthwiseConv2D(3)(x)
    x = keras.layers.Flatten()(x)
    model = keras.Model(image, keras.layers.Softmax()(keras.layers.Dense(4)(x)))
    rng = np.random.default_rng(1)
    model.set_weights([w * np.exp(rng.normal(0, spread, w.shape)) if w.ndim > 1 else w for w in model.get_weights()])
    return model


def rounded(model: keras.Model) -> keras.Model:
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    for layer in copy.layers:
        kind = type(layer).__name__
        if kind in ("Conv2D", "DepthwiseConv2D", "Dense"):
            first, *rest = layer.get_weights()
            layer.set_weights([round_weights(first, kind), *rest])
    return copy


def test_the_means_of_every_channel_come_back() -> None:
    """After correction, the network with rounded weights has the float network's mean at every layer."""
    model = network(spread=2.0)
    corrected = rounded(correct_biases(model, PIXELS, INPUT))
    names = [layer.name for layer in model.layers if "conv" in layer.name or "dense" in layer.name]

    def means(other: keras.Model) -> list[np.ndarray]:  # type: ignore[type-arg]
        layers = [layer for layer, mine in zip(other.layers, model.layers, strict=True) if mine.name in names[1:]]
        outputs = keras.Model(other.input, [layer.output for layer in layers])(VALUES)
        return [output.numpy().reshape(-1, output.shape[-1]).mean(0) for output in outputs]

    wanted, plain, got = means(model), means(rounded(model)), means(corrected)
    for index in range(len(wanted)):
        assert np.abs(plain[index] - wanted[index]).max() > 10 * np.abs(got[index] - wanted[index]).max()


def test_the_weights_and_the_given_network_stay() -> None:
    model = network(spread=2.0)
    before = [weight.copy() for weight in model.get_weights()]
    corrected = correct_biases(model, PIXELS, INPUT)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    for a, b in zip(before, corrected.get_weights(), strict=True):
        assert a.ndim == 1 or np.array_equal(a, b)


def test_a_network_that_rounds_exactly_is_not_changed() -> None:
    model = network(spread=0.0)
    exact = rounded(model)
    corrected = correct_biases(exact, PIXELS, INPUT)
    for a, b in zip(exact.get_weights(), corrected.get_weights(), strict=True):
        assert np.allclose(a, b, atol=1e-5)
