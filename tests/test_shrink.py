from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesdk import verbs
from edgesdk.errors import RunError, WeightsError
from edgesdk.photos.data import Images, load_images, read_dataset, split_dataset
from edgesdk.runfolder import read_run
from edgesdk.spec import ModelSpec
from edgesdk_convert.load import load_network
from edgesdk_train import shrink as s
from edgesdk_train.cut import cut, multiply_adds, trace_channels
from edgesdk_train.judge import evaluator
from edgesdk_train.narrow import wider_spec
from edgesdk_train.reconstruct import _looker, _reading_layers, measure_readers, refit, removal_steps
from edgesdk_train.weights import read_weights


@pytest.fixture(scope="module")
def parts(photos: Path, run_folder: Path) -> dict[str, Images]:
    dataset, run = split_dataset(read_dataset(photos)), read_run(run_folder)
    return {
        split: load_images([photo for photo in dataset.photos if photo.split == split], run.input)
        for split in ("train", "val", "test")
    }


def test_a_position_drawn_at_the_very_end_is_the_last(network: Any) -> None:
    """A float32 of [0, 1) is 1 now and then: with seed 479 one of ten thousand was."""
    import tensorflow as tf

    channels = trace_channels(network)
    look = _looker(network, _reading_layers(network, channels))
    values, signs = tf.random.stateless_normal((2, *network.input_shape[1:]), (0, 0)), tf.ones((2, 3))
    ends = [look(values, signs, tf.fill((2, 1), place)) for place in (1.0, 0.99999)]
    for one, other in zip(*ends, strict=True):
        np.testing.assert_array_equal(one[1], other[1])


@pytest.fixture
def network(run_folder: Path) -> Any:
    return load_network(run_folder / "model.keras")


def test_half_the_multiply_adds_and_still_right(
    network: Any, run_folder: Path, parts: dict[str, Images], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two rounds; a second call reads what the first one kept and ends with the same weights."""
    monkeypatch.setattr(s, "SMALLEST_ROUND", 0.75)
    monkeypatch.setattr(s, "LAST_EPOCHS", 2)
    image_input = read_run(run_folder).input
    before = network.get_weights()
    total = sum(multiply_adds(network).values())
    made = s.shrink(network, 0.6, parts["train"], parts["val"], image_input, tmp_path)
    assert made.macs_before == total
    assert 0.5 * total < made.macs_after <= 0.6 * total
    assert made.macs_after == sum(multiply_adds(made.model).values())
    assert [row.stage for row in made.history] == ["shrink, round 1"] * 2 + ["shrink"] * 2
    assert evaluator(made.model, image_input)(parts["test"])[1] >= 0.9
    assert all(np.array_equal(*pair) for pair in zip(before, network.get_weights(), strict=True))
    again = s.shrink(network, 0.6, parts["train"], parts["val"], image_input, tmp_path)
    assert again.history == made.history
    assert all(np.array_equal(*pair) for pair in zip(made.model.get_weights(), again.model.get_weights(), strict=True))
    with pytest.raises(RunError, match="belongs to another network or other settings"):
        s.shrink(network, 0.6, parts["train"], parts["val"], image_input, tmp_path, seed=1)


def test_what_cannot_be_is_named(network: Any, run_folder: Path, parts: dict[str, Images], tmp_path: Path) -> None:
    image_input = read_run(run_folder).input
    with pytest.raises(ValueError, match="between 0 and 1"):
        s.shrink(network, 1.0, parts["train"], parts["val"], image_input, tmp_path)
    channels = trace_channels(network)
    readers = measure_readers(network, channels, parts["train"].pixels, image_input, seed=0)
    with pytest.raises(RunError, match="take a larger fraction"):
        s.choose_channels(network, channels, readers, 1000)


def test_a_channel_that_others_can_replace_costs_nothing(
    network: Any, run_folder: Path, parts: dict[str, Images]
) -> None:
    """Twins: the second of two equal channels goes first, and after refitting the network answers as before."""
    image_input = read_run(run_folder).input
    channels = trace_channels(network)
    names = ("conv_pw_3", "conv_pw_3_bn", "conv_dw_4", "conv_dw_4_bn")
    twins = channels.outputs[names[0]][:2]
    for name in names:
        arrays = network.get_layer(name).get_weights()
        for array in arrays:
            axis = 2 if "dw" in name and array.ndim == 4 else array.ndim - 1
            np.moveaxis(array, axis, 0)[1] = np.moveaxis(array, axis, 0)[0]
        network.get_layer(name).set_weights(arrays)
    readers = measure_readers(network, channels, parts["train"].pixels, image_input, seed=0)
    keep = channels.everything()
    keep[twins[1]] = False
    images = parts["val"]
    *_, wanted = evaluator(network, image_input)(images)
    sliced = cut(network, channels, keep)
    *_, without = evaluator(sliced, image_input)(images)
    refit(sliced, channels, keep, readers)
    *_, answers = evaluator(sliced, image_input)(images)
    assert np.abs(answers - wanted).max() < 0.05 * np.abs(without - wanted).max()


def test_steps_remove_each_channel_once_and_the_cheapest_first(
    network: Any, run_folder: Path, parts: dict[str, Images]
) -> None:
    channels = trace_channels(network)
    readers = measure_readers(network, channels, parts["train"].pixels, read_run(run_folder).input, seed=0)
    group = channels.groups[5]
    steps = removal_steps(group, readers, range(len(group) - 8, 0, -8))
    gone = np.concatenate([step.channels for step in steps])
    assert len(gone) == len(np.unique(gone)) == len(group) - 8
    assert np.isin(gone, group).all()
    costs = [step.cost for step in steps]
    assert all(cost >= 0 for cost in costs)
    assert costs[0] < costs[-1]


def test_the_width_of_a_wider_file_is_found(network: Any, tmp_path: Path) -> None:
    path = tmp_path / "wider.h5"
    network.save_weights(path)
    pretrained = read_weights(path)
    spec = ModelSpec(width=0.2, res=48, classes=5)
    assert wider_spec(spec, pretrained) == replace(spec, width=0.25, classes=3)
    assert wider_spec(replace(spec, width=0.25), pretrained) is None
    assert wider_spec(replace(spec, width=0.5), pretrained) is None


def test_the_channels_of_a_wider_file_are_a_start(
    network: Any, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "wider.h5"
    network.save_weights(path)
    with pytest.raises(WeightsError, match=r"is of width 0\.25, .* at width 0\.2 .*add --data"):
        from edgesdk_train.learn import build_network

        build_network(ModelSpec(width=0.2, res=48, classes=3), str(path))
    run = verbs.train(
        photos, width=0.2, res=48, weights=str(path), transfer="head", out=tmp_path / "run", batch=16, quiet=False
    )
    assert run.source.weights.endswith("the most important channels of its width 0.25")
    assert "no weights of width 0.2: taking the most important channels of wider.h5" in capsys.readouterr().err
    assert run.top1 is not None
    assert run.top1 >= 0.9
    with pytest.raises(WeightsError, match="another width"):
        verbs.train(photos, width=0.5, res=48, weights=str(path), out=tmp_path / "narrower")
