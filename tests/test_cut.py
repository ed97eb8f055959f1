from typing import Any

import numpy as np
import pytest
import tf_keras as keras

from edgesdk.spec import ModelSpec
from edgesdk_train.cut import Channels, cut, multiply_adds, trace_channels, weight_axes
from edgesdk_train.models import build_model

layers = keras.layers


def mobilenet() -> Any:
    return build_model(ModelSpec(width=0.25, res=32, classes=3))


def residual() -> Any:
    """Additions, a squeeze-and-excitation, a concatenation and an expansion, as V2, V3 and GoogLeNet have them."""
    image = layers.Input((16, 16, 3))
    x = layers.BatchNormalization()(layers.Conv2D(12, 3, padding="same", name="stem")(image))
    y = layers.ReLU()(layers.Conv2D(20, 1, use_bias=False, name="expand")(x))
    y = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(y))
    gate = layers.GlobalAveragePooling2D(keepdims=True)(y)
    gate = layers.Conv2D(4, 1, activation="relu", name="squeeze")(gate)
    gate = layers.Conv2D(20, 1, activation="sigmoid", name="excite")(gate)
    y = layers.Conv2D(12, 1, name="project")(layers.Multiply()([y, gate]))
    x = layers.Add()([x, y])
    branches = [layers.Conv2D(6, 1, name="left")(x), layers.MaxPooling2D(3, strides=1, padding="same")(x)]
    x = layers.Conv2D(8, 3, strides=2, name="join")(layers.Concatenate()(branches))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Softmax()(layers.Dense(3, name="logits")(x)))


def flattened() -> Any:
    """A VGG: convolutions, then fully connected layers on the flattened picture."""
    image = layers.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(image)
    x = layers.MaxPooling2D(2)(layers.Conv2D(10, 3, activation="relu")(layers.ZeroPadding2D()(x)))
    x = layers.Dropout(0.5)(layers.Dense(16, activation="relu")(layers.Flatten()(x)))
    return keras.Model(image, layers.Dense(3, activation="softmax", name="logits")(x))


NETWORKS = (mobilenet, residual, flattened)


def half_left_out(channels: Channels) -> np.ndarray[Any, np.dtype[np.bool_]]:
    rng, keep = np.random.default_rng(0), channels.everything()
    for group in channels.groups:
        keep[rng.permutation(group)[: len(group) // 2]] = False
    return keep


def randomize(model: Any) -> None:
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.1, 0.6, array.shape).astype(np.float32) for array in model.get_weights()])


@pytest.mark.parametrize("build", NETWORKS)
def test_channels_that_nothing_reads_change_no_output(build: Any) -> None:
    model = build()
    randomize(model)
    channels = trace_channels(model)
    keep = half_left_out(channels)
    for layer in model.layers:
        if type(layer).__name__ in ("Conv2D", "Dense"):  # what reads a channel: zero weights for those to be removed
            kernel, *bias = layer.get_weights()
            kernel[..., ~keep[channels.inputs[layer.name]], :] = 0
            layer.set_weights([kernel, *bias])
    smaller = cut(model, channels, keep)
    images = np.random.default_rng(1).uniform(-1, 1, (4, *model.input_shape[1:])).astype(np.float32)
    assert smaller.count_params() < 0.6 * model.count_params()
    wanted = model(images, training=False).numpy()
    assert wanted.std() > 1e-6
    np.testing.assert_allclose(smaller(images, training=False).numpy(), wanted, atol=1e-5)


@pytest.mark.parametrize("build", NETWORKS)
def test_keeping_everything_keeps_every_weight(build: Any) -> None:
    model = build()
    channels = trace_channels(model)
    same = cut(model, channels, channels.everything())
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), same.get_weights(), strict=True))
    assert [layer.name for layer in same.layers] == [layer.name for layer in model.layers]


def test_the_groups_are_what_can_be_chosen_freely() -> None:
    model = residual()
    channels = trace_channels(model)
    assert sorted(len(group) for group in channels.groups) == [4, 6, 8, 12, 20]
    assert np.array_equal(channels.outputs["stem"], channels.outputs["project"])  # the addition makes them one
    assert np.array_equal(channels.outputs["expand"], channels.outputs["excite"])
    assert len(trace_channels(mobilenet()).groups) == 14
    model = flattened()
    dense = next(layer for layer in model.layers if type(layer).__name__ == "Dense")
    taken = trace_channels(model).inputs[dense.name]
    assert len(taken) == 640
    assert len(np.unique(taken)) == 10


@pytest.mark.parametrize("build", NETWORKS)
def test_the_file_has_the_same_multiply_adds(build: Any) -> None:
    from edgesdk_convert.export import freeze
    from edgesdk_convert.inspect import read_graph
    from edgesdk_convert.jobs import FromGraph
    from edgesdk_convert.worker import run_job

    model = build()
    channels = trace_channels(model)
    smaller = cut(model, channels, half_left_out(channels))
    assert read_graph(run_job(FromGraph(graph=freeze(smaller)))).macs == sum(multiply_adds(smaller).values())


def test_what_must_stay_stays() -> None:
    model = mobilenet()
    channels = trace_channels(model)
    for name in ("image", "logits"):
        keep = channels.everything()
        keep[channels.outputs[name][0]] = False
        with pytest.raises(ValueError, match="left out"):
            cut(model, channels, keep)
    keep = channels.everything()
    keep[channels.groups[0]] = False
    with pytest.raises(ValueError, match="at least one"):
        cut(model, channels, keep)


def test_a_layer_of_unknown_kind_keeps_its_channels() -> None:
    image = layers.Input((8, 8, 3))
    x = layers.Conv2D(4, 1, name="before")(image)
    x = layers.Conv2D(6, 1, name="after")(layers.LayerNormalization()(x))
    model = keras.Model(image, layers.Dense(2, name="logits")(layers.Flatten()(x)))
    channels = trace_channels(model)
    assert [len(group) for group in channels.groups] == [6]
    normal = model.layers[2]
    assert weight_axes(normal, channels) == [(None,), (None,)]
    assert cut(model, channels, half_left_out(channels)).get_layer("after").filters == 3


def test_v2_and_v3_can_be_cut_anywhere() -> None:
    for arch, groups in (("mobilenet_v2", 25), ("mobilenet_v3_small", 27)):
        model = build_model(ModelSpec(arch=arch, res=32, classes=3))
        channels = trace_channels(model)
        assert len(channels.groups) == groups
        smaller = cut(model, channels, half_left_out(channels))
        assert sum(multiply_adds(smaller).values()) < 0.5 * sum(multiply_adds(model).values())


def test_a_layer_used_twice_is_named() -> None:
    from edgesdk.errors import RunError

    image = layers.Input((8, 8, 3))
    twice = layers.Conv2D(3, 1, name="twice")
    with pytest.raises(RunError, match="layer twice more than once"):
        trace_channels(keras.Model(image, twice(twice(image))))
