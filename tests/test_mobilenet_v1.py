"""The paper's tables, recomputed: from its Table 1 alone, from the built network, and from a converted file."""

import itertools

import pytest

from edgesdk.spec import ModelSpec

WIDTHS = (1.0, 0.75, 0.5, 0.25)
RESOLUTIONS = (224, 192, 160, 128)

#: Millions of multiply-adds: Tables 6 and 7 of arXiv 1704.04861, and its 0.50-160 in Table 8.
PAPER_MACS = {(1.0, 224): 569, (0.75, 224): 325, (0.5, 224): 149, (0.25, 224): 41}
PAPER_MACS |= {(1.0, 192): 418, (1.0, 160): 290, (1.0, 128): 186, (0.5, 160): 76}
PAPER_PARAMETERS = {1.0: 4.2, 0.75: 2.6, 0.5: 1.3, 0.25: 0.5}  # millions

#: (kind, stride, channels out) of Table 1, typed from the paper, not from our builder.
TABLE_1 = [("conv", 2, 32)]
for stride, channels in [
    (1, 64),
    (2, 128),
    (1, 128),
    (2, 256),
    (1, 256),
    (2, 512),
    *[(1, 512)] * 5,
    (2, 1024),
    (1, 1024),
]:
    TABLE_1 += [("dw", stride, 0), ("conv1x1", 1, channels)]


def counted(width: float, res: int, classes: int = 1000) -> tuple[int, int]:
    """(multiply-adds, parameters with batch-norm's four) of Table 1 under the two multipliers."""
    side, channels, macs, parameters = res, 3, 0, 0
    for kind, stride, out in TABLE_1:
        side = -(-side // stride)
        wider = channels if kind == "dw" else int(out * width)
        kernel = {"conv": 9 * channels * wider, "dw": 9 * channels, "conv1x1": channels * wider}[kind]
        macs += side * side * kernel
        parameters += kernel + 4 * wider
        channels = wider
    return macs + channels * classes, parameters + channels * classes + classes


@pytest.mark.parametrize(("width", "res"), list(itertools.product(WIDTHS, RESOLUTIONS)))
def test_the_16_cells_of_the_paper(width: float, res: int) -> None:
    from edgesdk_train.models import build_model

    macs, parameters = counted(width, res)
    model = build_model(ModelSpec(width=width, res=res))
    assert model.count_params() == parameters
    assert abs(parameters / 1e6 - PAPER_PARAMETERS[width]) < 0.06  # 4.254 is 4.2 in the paper
    assert keras_macs(model) == macs
    if (width, res) in PAPER_MACS:
        # The paper rounds down or leaves the classifier's last million out.
        assert abs(macs / 1e6 - PAPER_MACS[width, res]) < 1.1


def test_keras_published_counts() -> None:
    """The parameters that tf.keras.applications.MobileNet prints."""
    assert [counted(width, 224)[1] for width in WIDTHS] == [4253864, 2601976, 1342536, 475544]


def keras_macs(model: object) -> int:
    """Multiply-adds of a Keras network, from its layers' shapes."""
    total = 0
    for layer in model.layers:  # type: ignore[attr-defined]
        if layer.__class__.__name__ in ("Conv2D", "DepthwiseConv2D"):
            _, height, width, channels = layer.output_shape
            kernel = layer.weights[0].shape
            per_output = kernel[0] * kernel[1] * (kernel[2] if layer.__class__.__name__ == "Conv2D" else 1)
            total += height * width * channels * per_output
    return total


def test_the_file_holds_the_same_multiply_adds_and_no_padding(int8_file) -> None:  # type: ignore[no-untyped-def]
    from edgesdk import verbs

    graph = verbs.inspect(int8_file.path).graph
    assert graph.macs == counted(0.25, 48, classes=3)[0]
    assert "PAD" not in graph.counts
    assert graph.counts["DEPTHWISE_CONV_2D"] == 13


@pytest.mark.parametrize("res", [33, 47, 100])
def test_any_resolution_builds(res: int) -> None:
    from edgesdk_train.models import build_model

    model = build_model(ModelSpec(width=0.01, res=res, classes=2))
    assert model.output_shape == (None, 2)


def test_same_padding_equals_keras_application_at_even_sizes() -> None:
    """Bit for bit: the padding that Keras' application writes as a layer of its own, and ours."""
    import numpy as np
    import tf_keras as keras

    from edgesdk_train.models import build_model
    from edgesdk_train.weights import Pretrained, load_weights

    keras.utils.set_random_seed(1)
    theirs = keras.applications.MobileNet((64, 64, 3), alpha=0.25, weights=None, classes=7)
    ours = build_model(ModelSpec(width=0.25, res=64, classes=7))
    layers = tuple((layer.name, layer.get_weights()) for layer in theirs.layers if layer.weights)
    assert load_weights(ours, Pretrained(name="theirs", layers=layers))
    image = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    assert np.array_equal(ours(image).numpy(), theirs(image).numpy())
