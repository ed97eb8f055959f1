"""The papers' counts at full size, and each network small: it learns, and its int8 file runs in both runtimes."""

import os
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesdk import verbs
from edgesdk.contract import Output, Source
from edgesdk.errors import ConversionError
from edgesdk.photos.data import Images, draw_evenly, load_images, read_dataset
from edgesdk.preprocess import input_of
from edgesdk.recipe import Recipe
from edgesdk.spec import ARCHITECTURES, ModelSpec, make_spec, shown

OTHERS = tuple(arch for arch in ARCHITECTURES if not arch.startswith("mobilenet"))

#: arch -> trained parameters, millions of multiply-adds (None where nobody published them), and where they stand.
#: Table 2 of VGG's paper gives 133, 133, 133, 134, 138 and 144 M parameters, Table 1 of ResNet's 1.8, 3.6, 3.8, 7.6 and
#: 11.3 G multiply-adds; Table 8 of MobileNet's 720 M for AlexNet, 1550 for GoogLeNet, 15300 for VGG16. The exact
#: numbers are those that follow from the tables, which other implementations print too.
PUBLISHED = {
    "lenet": (61_706, None),
    "alexnet": (60_965_224, 720),
    "alexnet_lrn": (60_965_224, 720),
    "alexnet_one_tower": (62_378_344, None),
    "vgg11": (132_863_336, None),
    "vgg11_lrn": (132_863_336, None),
    "vgg13": (133_047_848, None),
    "vgg16_c": (133_638_952, None),
    "vgg16": (138_357_544, 15_300),
    "vgg19": (143_667_240, None),
    "googlenet": (6_998_552, 1550),
    "resnet18": (11_689_512, 1800),
    "resnet34": (21_797_672, 3600),
    "resnet50": (25_557_032, 3800),
    "resnet101": (44_549_160, 7600),
    "resnet152": (60_192_808, 11_300),
}
#: Table 1 of GoogLeNet's paper: module -> thousands (of 1024) of parameters, millions of multiply-adds.
MODULES = {
    "3a": (159, 128),
    "3b": (380, 304),
    "4a": (364, 73),
    "4b": (437, 88),
    "4c": (463, 100),
    "4d": (580, 119),
    "4e": (840, 170),
    "5a": (1072, 54),
    "5b": (1388, 71),
}
#: arch -> (width, res) at which it learns here; those left out share their code with one that is here.
SMALL = {
    "convnet": (0.25, 32),
    "lenet": (1.0, 32),
    "alexnet": (0.0625, 67),
    "alexnet_lrn": (0.0625, 67),
    "vgg11_lrn": (0.125, 32),
    "vgg16_c": (0.125, 32),
    "googlenet": (0.125, 48),
    "googlenet_a": (0.125, 48),
    "resnet18": (0.125, 32),
    "resnet38": (0.25, 32),
}


@cache
def outline(arch: str) -> Any:
    from edgesdk_train.models import outline_model

    return outline_model(make_spec(arch, None, None, 10 if arch == "lenet" else 1000))


def small_model(arch: str, classes: int = 10) -> Any:
    from edgesdk_train.models import build_model

    width, res = SMALL.get(arch, (0.05, shown(arch).smallest))
    return build_model(ModelSpec(arch=arch, width=width, res=res, classes=classes))


@pytest.mark.parametrize("arch", PUBLISHED)
def test_parameters_and_multiply_adds_are_the_published_ones(arch: str) -> None:
    from edgesdk_train.cut import multiply_adds

    parameters, millions = PUBLISHED[arch]
    before = _resident_bytes()
    model = outline(arch)
    assert _resident_bytes() - before < 200e6  # VGG-19 alone has 575 MB of weights
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == parameters
    if millions is not None:
        assert sum(multiply_adds(model).values()) / 1e6 == pytest.approx(millions, rel=0.025)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_lenet_differs_from_the_papers_60000_parameters_as_it_says() -> None:
    counts = {layer.name: layer.count_params() for layer in outline("lenet").layers if layer.weights}
    assert counts == {"C1": 156, "C3": 2416, "C5": 48120, "F6": 10164, "logits": 850}
    assert sum(counts.values()) == 60_000 - 12 - 32 + 900 + 850


def test_googlenet_has_the_modules_of_table_1() -> None:
    """Within the 8 % that the table's own numbers are off; its multiply-adds are exact but for 5a."""
    from edgesdk_train.cut import multiply_adds

    model = outline("googlenet")
    macs = multiply_adds(model)
    for module, (thousands, millions) in MODULES.items():
        layers = [layer for layer in model.layers if layer.name.startswith(f"inception_{module}_") and layer.weights]
        assert len(layers) == 6
        assert sum(np.prod(layer.kernel.shape) for layer in layers) / 1024 == pytest.approx(thousands, rel=0.08)
        assert sum(macs[layer.name] for layer in layers) / 1e6 == pytest.approx(millions, rel=0.06)
    assert model.get_layer("logits").count_params() == 1024 * 1000 + 1000


def test_the_courses_blocks_have_four_branches_of_96_channels() -> None:
    model = outline("googlenet_a")
    for module in MODULES:
        block = model.get_layer(f"inception_{module}")
        assert [branch.shape[-1] for branch in block.input] == [96] * 4
    assert [model.get_layer(f"inception_3a_5x5_{name}").kernel_size for name in ("first", "second")] == [(3, 3)] * 2


@pytest.mark.parametrize("arch", [arch for arch in OTHERS if arch.startswith("resnet")])
def test_a_resnet_has_as_many_layers_as_its_name_says(arch: str) -> None:
    model = outline(arch)
    layers = [layer for layer in model.layers if hasattr(layer, "kernel") and "shortcut" not in layer.name]
    assert len(layers) == int(arch.removeprefix("resnet"))
    if arch == "resnet38":
        groups = [tuple(model.get_layer(f"conv{group}_1_{name}").filters for name in "cb") for group in range(2, 6)]
        assert groups == [(128, 32), (256, 64), (512, 128), (1024, 256)]


@pytest.mark.parametrize("arch", ["resnet18", "resnet38"])
def test_a_resnets_blocks_begin_by_doing_nothing(arch: str) -> None:
    import tf_keras as keras

    model = small_model(arch)
    adds = [layer for layer in model.layers if layer.name.endswith("_add")]
    assert len(adds) == {"resnet18": 8, "resnet38": 12}[arch]
    both = keras.Model(model.input, [(add.input[0], add.output) for add in adds])
    image = np.random.default_rng(0).uniform(-1, 1, (1, *model.input_shape[1:])).astype(np.float32)
    for shortcut, joined in both(image):
        assert np.any(shortcut)
        assert np.array_equal(shortcut, joined)


@pytest.mark.parametrize("arch", OTHERS)
def test_every_network_keeps_the_builders_promises(arch: str) -> None:
    from edgesdk_train.models import outline_model

    width, res = SMALL.get(arch, (0.05, shown(arch).smallest))
    spec = ModelSpec(arch=arch, width=width, res=res, classes=3)
    model, again = outline_model(spec), outline_model(spec)
    assert model.input_shape == (None, *input_of(spec).shape)
    assert model.output_shape == (None, 3)
    assert model.get_layer("features").output is model.get_layer("logits").input
    assert [layer.name for layer in model.layers if layer.weights][-1] == "logits"
    assert type(model.layers[-1]).__name__ == "Softmax"
    assert [layer.name for layer in model.layers] == [layer.name for layer in again.layers]
    assert not [layer for layer in model.layers if "Lambda" in type(layer).__name__ or hasattr(layer, "layers")]


@pytest.fixture(scope="module")
def some_digits() -> tuple[Any, ...]:
    """(photos to learn from, photos to judge on)."""
    dataset = read_dataset("digits")
    learned = [photo for photo in dataset.photos if photo.split == "train"]
    judged = [photo for photo in dataset.photos if photo.split == "test"]
    return draw_evenly(learned, 1200), draw_evenly(judged, 100)


@pytest.mark.parametrize("arch", SMALL)
def test_it_learns_and_its_int8_file_runs_in_both_runtimes(
    arch: str, some_digits: tuple[Any, ...], tmp_path: Path
) -> None:
    import tf_keras as keras

    from edgesdk_convert.convert import convert_model
    from edgesdk_convert.evidence import Evidence
    from edgesdk_convert.network import from_keras
    from edgesdk_train.loop import run_stage
    from edgesdk_train.models import BATCH_NORM_RATE, architecture
    from edgesdk_train.objective import auxiliary_cross_entropy
    from edgesdk_train.stage import Stage

    keras.utils.set_random_seed(0)
    model = small_model(arch)
    width, res = SMALL[arch]
    spec = ModelSpec(arch=arch, width=width, res=res, classes=10)
    image_input = input_of(spec)
    train, test = (load_images(photos, image_input) for photos in some_digits)
    known = architecture(arch)
    learns = known.learner(model) if known.learner else model
    rate = known.rate if known.rate < BATCH_NORM_RATE else 2 * BATCH_NORM_RATE  # few steps: batch-norm bears more
    stage = Stage(name="scratch", epochs=5, rate=rate, epsilon=1e-7, batch=16, patience=5, flip=False, seed=0)
    objective = auxiliary_cross_entropy(learns) if known.learner else None
    history = run_stage(learns, stage, train, test, image_input, tmp_path, objective=objective)
    assert max(row.val_top1 for row in history) > 0.5  # by chance 0.1

    file = convert_model(
        from_keras(model, image_input),
        spec=spec,
        image_input=image_input,
        output=Output(labels=tuple("0123456789")),
        source=Source(trained=True),
        recipe=Recipe(precision="int8", io="uint8"),
        evidence=Evidence(calibration=train.pixels[:64], test=test.pixels, truth=test.labels),
        out=tmp_path / "small.tflite",
    )
    measured = file.contract.measured
    assert measured.signal_to_noise_db is not None
    assert measured.signal_to_noise_db > 20
    assert measured.accuracy is not None and measured.accuracy.agreement >= 0.95
    assert all(ran.ok for ran in file.contract.ran)
    graph = verbs.inspect(file.path).graph
    allowed = {"CONV_2D", "MAX_POOL_2D", "AVERAGE_POOL_2D", "MEAN", "RESHAPE", "SOFTMAX", "QUANTIZE", "CONCATENATION"}
    allowed |= {"ADD", "PAD"} if arch.startswith("resnet") else set()
    allowed |= {"LOCAL_RESPONSE_NORMALIZATION", "DEQUANTIZE"} if arch.endswith("lrn") else set()
    assert set(graph.counts) <= allowed
    islands = {op.split(" ")[0] for op in graph.float_islands}
    assert islands <= {"LOCAL_RESPONSE_NORMALIZATION", "MAX_POOL_2D"}
    assert ("LOCAL_RESPONSE_NORMALIZATION" in islands) == arch.endswith("lrn")
    convolutions = [layer for layer in model.layers if hasattr(layer, "kernel")]
    assert graph.counts["CONV_2D"] == len(convolutions)  # nothing of the auxiliary classifiers


class StopError(Exception):
    """As a kill in the middle of an epoch."""


def test_a_resumed_run_repeats_dropout_and_auxiliary_classifiers(tmp_path: Path) -> None:
    import tf_keras as keras

    from edgesdk_train.loop import run_stage
    from edgesdk_train.models import build_model
    from edgesdk_train.models.googlenet import with_auxiliaries
    from edgesdk_train.objective import auxiliary_cross_entropy
    from edgesdk_train.stage import Epoch, Stage

    spec = ModelSpec(arch="googlenet", width=0.05, res=32, classes=2)
    rng = np.random.default_rng(0)
    images = Images(
        pixels=rng.integers(0, 256, (24, 32, 32, 3)).astype(np.uint8),
        labels=np.arange(24, dtype=np.int32) % 2,
        paths=(),
        skipped=(),
    )
    stage = Stage(name="scratch", epochs=3, rate=1e-3, epsilon=1e-7, batch=8, patience=9, flip=False, seed=0)

    def learn(folder: Path, *, stop_after: int = 99, resume: bool = False) -> tuple[Epoch, ...]:
        keras.utils.set_random_seed(5 if resume else 0)  # another process has drawn other numbers
        learns = with_auxiliaries(build_model(spec))
        steps = iter(range(1, 99))

        def count() -> None:
            if next(steps) == stop_after:
                raise StopError

        folder.mkdir(exist_ok=True)
        objective = auxiliary_cross_entropy(learns)
        return run_stage(
            learns, stage, images, images, input_of(spec), folder, objective=objective, resume=resume, after_step=count
        )

    whole = learn(tmp_path / "whole")
    with pytest.raises(StopError):
        learn(tmp_path / "stopped", stop_after=5)
    resumed = learn(tmp_path / "stopped", resume=True)
    assert [row.loss for row in resumed] == pytest.approx([row.loss for row in whole], rel=1e-4)
    assert [row.val_loss for row in resumed] == pytest.approx([row.val_loss for row in whole], rel=1e-4)


def test_dropout_differs_between_epochs_and_not_between_runs() -> None:
    from edgesdk_train.loop import _seed_dropout

    model = small_model("convnet")
    image = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)

    def answers(seed: int, epoch: int) -> Any:
        _seed_dropout(model, seed, epoch)
        return [model(image, training=True).numpy() for _ in range(2)]

    first, again, other = answers(0, 0), answers(0, 0), answers(0, 1)
    assert np.array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first, other)


def test_int16x8_of_local_response_normalization_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="int16x8 has no LOCAL_RESPONSE_NORMALIZATION: ask for --quantize int8"):
        verbs.convert(
            arch="alexnet_lrn", width=0.02, res=67, weights="none", quantize="int16x8", out=tmp_path / "x.tflite"
        )


def test_each_network_has_its_papers_input() -> None:
    assert (make_spec("lenet", None, None).res, make_spec("alexnet", None, None).res) == (32, 227)
    assert input_of(make_spec("lenet", None, None)).shape == (32, 32, 1)
    assert input_of(make_spec("vgg16", None, 64)).shape == (64, 64, 3)
    with pytest.raises(ValueError, match="arch is 'vgg12', expected one of mobilenet_v1, "):
        make_spec("vgg12", None, None)
    with pytest.raises(ValueError, match="res is 48, expected 67 to 2048 pixels: the strides of alexnet leave nothing"):
        ModelSpec(arch="alexnet", res=48)


def test_rounded_widths_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    from edgesdk_train.models import remark_channels

    for spec in (ModelSpec(width=0.5), ModelSpec(arch="lenet", width=2.0)):
        remark_channels(spec, quiet=False)
    assert capsys.readouterr().err == ""
    remark_channels(ModelSpec(arch="mobilenet_v2", width=0.1, res=96), quiet=False)
    said = capsys.readouterr().err
    assert "width 0.1 of mobilenet_v2 rounds the channels of " in said
    assert "conv1 8 for 3.2" in said


def test_grey_and_colour_are_said_where_they_meet(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from edgesdk.photos.data import remark_colors

    digits, colours = read_dataset("digits"), read_dataset(photos)
    for dataset, arch in ((digits, "lenet"), (colours, "vgg16")):
        remark_colors(dataset, input_of(make_spec(arch, None, None)), arch, quiet=False)
    assert capsys.readouterr().err == ""
    remark_colors(digits, input_of(make_spec("vgg16", None, None)), "vgg16", quiet=False)
    assert "digits is grey, vgg16 takes colour: its three channels are given the same" in capsys.readouterr().err
    remark_colors(colours, input_of(make_spec("lenet", None, None)), "lenet", quiet=False)
    assert "photos is in colour, lenet takes grey: its photos are turned grey" in capsys.readouterr().err
    grey = load_images(colours.photos[:1], input_of(make_spec("lenet", None, None)))
    assert grey.pixels.shape == (1, 32, 32, 1)


def test_a_narrower_vgg_cannot_start_from_a_wider_one(photos: Path) -> None:
    from edgesdk.errors import WeightsError
    from edgesdk_train.models import build_model
    from edgesdk_train.narrow import narrow

    spec = ModelSpec(arch="vgg11", width=0.4, res=192, classes=3)
    image_input = input_of(spec)
    wider, narrower = build_model(spec), build_model(replace(spec, width=0.3))
    pixels = load_images(read_dataset(photos).photos[:4], image_input).pixels
    with pytest.raises(WeightsError, match="conv5_2 is read by a layer of too many inputs"):
        narrow(wider, narrower, pixels, image_input, seed=0)
