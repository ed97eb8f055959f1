"""The four cases of transfer learning, what auto measures, and where a network is cut."""

from pathlib import Path

import numpy as np
import pytest

from edgesdk import verbs
from edgesdk.errors import RunError
from edgesdk.photos.data import Images
from edgesdk.preprocess import input_of
from edgesdk.runfolder import Learning, read_run
from edgesdk.spec import ModelSpec, make_spec, shown
from edgesdk_convert.load import load_network

TRAIN = {"width": 0.25, "res": 48, "batch": 16}


@pytest.fixture(scope="module")
def weights(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A body that learned the colours."""
    path = tmp_path_factory.mktemp("weights") / "body.h5"
    load_network(run_folder / "model.keras").save_weights(path)
    return path


@pytest.mark.parametrize("arch", ["lenet", "alexnet", "vgg11", "googlenet", "resnet18", "mobilenet_v2"])
def test_a_network_is_cut_where_the_rest_reads_one_layer_alone(arch: str) -> None:
    import tf_keras as keras

    from edgesdk_train.depths import cut_after, find_cuts
    from edgesdk_train.models import build_model

    model = build_model(ModelSpec(arch=arch, width=0.1, res=shown(arch).smallest, classes=3))
    cuts = find_cuts(model)
    for name in (cuts[0], cuts[-1]):
        sliced = cut_after(model, name)
        assert sliced.get_layer("logits").input is sliced.get_layer("features").output
        rest = keras.Model(model.get_layer(name).output, model.output)  # reads nothing of what was kept but one layer
        kept = sliced.count_params() - sliced.get_layer("logits").count_params()
        assert rest.count_params() + kept == model.count_params()
    assert find_cuts(model) == cuts  # models that were built on its layers change nothing
    with pytest.raises(ValueError, match=f"{arch} cannot be cut after 'nowhere', expected one of {cuts[0]}"):
        cut_after(model, "nowhere")


@pytest.mark.parametrize("arch", ["mobilenet_v1", "mobilenet_v3_large", "vgg16", "googlenet_a", "resnet50"])
def test_cuts_are_few_and_at_each_resolution(arch: str) -> None:
    from edgesdk_train.depths import find_cuts
    from edgesdk_train.models import outline_model

    model = outline_model(make_spec(arch, None, None, 10))
    cuts = find_cuts(model)
    sizes = [model.get_layer(name).output.shape[1] for name in cuts]
    assert 5 <= len(cuts) <= 10
    assert sizes == sorted(sizes, reverse=True)
    assert {56, 28, 14} <= set(sizes)
    assert not [name for name in cuts if name.endswith(("_bn", "_a_relu", "_b_relu"))]


def test_separability_is_the_share_a_line_tells_apart() -> None:
    from edgesdk_train.depths import separability

    rng = np.random.default_rng(0)
    labels = np.arange(120, dtype=np.int32) % 3
    told = np.eye(3)[labels] + rng.normal(0, 0.1, (120, 3))
    assert separability(told.astype(np.float32), labels, 3) == 1.0
    noise = rng.normal(0, 1, (120, 400)).astype(np.float32)  # more channels than photos: it could learn them by heart
    assert separability(noise, labels, 3) < 0.5
    # Both forms of the closed solution give the same.
    wide = np.concatenate([told, np.zeros((120, 200))], 1).astype(np.float32)
    assert separability(wide, labels, 3) == 1.0


def test_depths_and_number_of_photos_decide_the_case() -> None:
    from edgesdk_train import cases

    def case(per_class: int, *values: float) -> cases.Choice:
        depths = tuple(cases.Depth(layer=f"l{i}", separability=value) for i, value in enumerate(values))
        return cases.decide(depths, per_class)

    few, many = cases.FEW - 1, cases.FEW
    assert case(few, 0.5, 0.7, 0.8).transfer == "head"
    assert case(few, 0.5, 0.9, 0.8).transfer == "slice"
    assert case(few, 0.5, 0.9, 0.8).cut == "l1"
    assert case(few, 0.5, 0.805, 0.8).transfer == "head"  # less than a point is chance
    assert case(few, 0.8).transfer == "head"
    with pytest.raises(ValueError, match="the network has no layer to cut after"):
        cases.decide((cases.Depth(layer="features", separability=0.8),), few, asked="slice")
    assert case(many, 0.5, 0.7, 0.8).transfer == "finetune"
    unlike = case(many, 0.5, 0.9, 0.8)
    assert unlike.transfer == "finetune"
    assert "unlike those of the weights (l1 is 10.0 points better than the last features)" in unlike.sentences[1]


def test_auto_measures_says_why_and_is_remembered(
    weights: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    run = verbs.train(photos, weights=str(weights), out=out, quiet=False, **TRAIN)  # type: ignore[arg-type]
    said = capsys.readouterr().err
    assert "28 training photos a class; a linear classifier names rightly, by the features of conv_pw_" in said
    assert "few photos, unlike those of the weights (conv_pw_1_relu is " in said  # colour is seen at once
    assert run.measured == read_run(out).measured != ()
    assert (run.learning.transfer, run.learning.cut) == ("slice", "conv_pw_1_relu")
    again = verbs.train(photos, weights=str(weights), out=out, resume=True, quiet=False, **TRAIN)  # type: ignore[arg-type]
    assert again == run
    assert "linear classifier" not in capsys.readouterr().err  # what was decided is not measured again


def test_a_sliced_network_is_smaller_and_converts(
    weights: Path, photos: Path, run_folder: Path, tmp_path: Path
) -> None:
    from edgesdk_train.weights import read_weights

    cut = "conv_pw_5_relu"
    run = verbs.train(photos, weights=str(weights), transfer="slice", cut=cut, out=tmp_path / "run", **TRAIN)  # type: ignore[arg-type]
    assert (run.learning.transfer, run.learning.cut) == ("slice", cut)
    assert run.top1 is not None
    assert run.top1 > 0.9
    assert run.source.weights.endswith(f", cut after {cut}")
    model, whole = load_network(tmp_path / "run" / "model.keras"), load_network(run_folder / "model.keras")
    assert model.count_params() < whole.count_params() / 10
    assert np.array_equal(model.layers[1].get_weights()[0], read_weights(weights).layers[0][1][0])  # frozen
    file = verbs.convert(tmp_path / "run", out=tmp_path / "sliced.tflite")
    proved = file.contract.measured.accuracy
    assert proved is not None
    assert proved.agreement >= 0.95


def test_slice_without_a_cut_takes_the_measured_one(weights: Path, photos: Path, tmp_path: Path) -> None:
    run = verbs.train(photos, weights=str(weights), transfer="slice", out=tmp_path / "run", **TRAIN)  # type: ignore[arg-type]
    assert run.learning.cut.startswith("conv_pw_")
    assert run.measured


def test_a_head_learns_on_features_of_any_scale() -> None:
    from edgesdk_train.models import build_model
    from edgesdk_train.transfer import feature_extractor, train_head

    spec = ModelSpec(arch="lenet", width=0.5, res=32, classes=2)
    image_input = input_of(spec)
    model = build_model(spec)
    kernel, bias = model.get_layer("F6").get_weights()
    model.get_layer("F6").set_weights([1000 * kernel, bias + 5000])
    rng = np.random.default_rng(0)
    labels = np.arange(40, dtype=np.int32) % 2
    pixels = (rng.integers(0, 100, (40, 32, 32, 1)) + 100 * labels[:, None, None, None]).astype(np.uint8)
    images = Images(pixels=pixels, labels=labels, paths=(), skipped=())
    result = train_head(model, images, images, image_input, seed=0, flip=False)
    assert result.val_top1 == 1.0
    features = feature_extractor(model, image_input)(pixels)
    kernel, bias = model.get_layer("logits").get_weights()
    assert ((features[:, 0, 0] @ kernel[0, 0] + bias).argmax(1) == labels).all()  # its own weights say so


def test_wrong_cases_are_named(photos: Path, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cut is 'conv1_relu' beside transfer 'head', expected it beside slice alone"):
        Learning(transfer="head", cut="conv1_relu")
    with pytest.raises(RunError, match="--transfer slice needs pretrained weights"):
        verbs.train(photos, transfer="slice", out=tmp_path / "a", **TRAIN)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="mobilenet_v1 cannot be cut after 'conv_dw_2', expected one of conv_pw_1"):
        verbs.train(photos, transfer="slice", cut="conv_dw_2", weights=str(weights), out=tmp_path / "b", **TRAIN)  # type: ignore[arg-type]
