"""What learns between training and converting: pruning, clustering, quantization-aware training, and all of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesdk import modelfile
from edgesdk.contract import Output, Source
from edgesdk.converted import Converted
from edgesdk.errors import ConversionError, RunError
from edgesdk.photos.data import load_images, read_dataset, split_dataset
from edgesdk.recipe import Recipe
from edgesdk.runfolder import read_run
from edgesdk_convert.cluster import cluster
from edgesdk_convert.compress import Lesson, compress
from edgesdk_convert.convert import convert_model
from edgesdk_convert.evidence import Evidence
from edgesdk_convert.finetune import copied, finetune, lesson_folder, stage
from edgesdk_convert.inspect import read_graph
from edgesdk_convert.load import load_network
from edgesdk_convert.network import from_keras
from edgesdk_convert.prune import prunable, prune
from test_convert import INPUT


@pytest.fixture(scope="module")
def lesson(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Lesson:
    photos = split_dataset(read_dataset(read_run(run_folder).data)).photos
    parts = {
        split: load_images([photo for photo in photos if photo.split == split], INPUT) for split in ("train", "val")
    }
    return Lesson(**parts, folder=tmp_path_factory.mktemp("steps"), batch=16, epochs=2)


@pytest.fixture(scope="module")
def model(run_folder: Path) -> Any:
    return load_network(run_folder / "model.keras")


@pytest.fixture(scope="module")
def pruned(model: Any, lesson: Lesson) -> Any:
    smaller, words = prune(model, 0.8, INPUT, lesson, quiet=True)
    assert words.startswith(f"pruned {len(kernels(model))} layers to 80 % zeros together, 5")
    return smaller


def kernels(model: Any) -> dict[str, Any]:
    """The kernels that pruning and clustering change."""
    return {layer.name: layer.kernel.numpy() for layer in model.layers if prunable(layer)}


def zeros(model: Any) -> list[float]:
    return [float((kernel == 0).mean()) for kernel in kernels(model).values()]


def test_the_large_layers_are_pruned_together_and_the_given_network_stays(model: Any, pruned: Any) -> None:
    together = np.concatenate([kernel.ravel() for kernel in kernels(pruned).values()])
    assert (together == 0).mean() == pytest.approx(0.8, abs=0.002)
    assert all(0.49 <= share <= 0.93 for share in zeros(pruned))
    assert max(zeros(pruned)) - min(zeros(pruned)) > 0.1
    assert not np.signbit(together[together == 0]).any()  # -0.0 counts as a weight, and packs badly
    assert max(zeros(model)) < 0.01
    depthwise = pruned.get_layer("conv_dw_4").get_weights()[0]
    assert np.count_nonzero(depthwise) == depthwise.size
    assert [layer.name for layer in pruned.layers] == [layer.name for layer in model.layers]


def test_what_was_learned_is_not_learned_twice(model: Any, pruned: Any, lesson: Lesson) -> None:
    kept = next(lesson.folder.glob("prune-0.8-*/learned.npz"))
    stamp = kept.stat().st_mtime_ns
    again, _ = prune(model, 0.8, INPUT, lesson, quiet=True)
    assert kept.stat().st_mtime_ns == stamp
    assert all(np.array_equal(a, b) for a, b in zip(again.get_weights(), pruned.get_weights(), strict=True))
    assert not list(lesson.folder.rglob("checkpoint.npz"))


def test_another_lesson_is_kept_elsewhere(model: Any, lesson: Lesson) -> None:
    others = (
        lesson_folder("prune", model, INPUT, lesson),
        lesson_folder("prune", model, replace(INPUT, mean=0.0, std=255.0), lesson),
        lesson_folder("prune", model, INPUT, replace(lesson, val=lesson.train)),
        lesson_folder("prune", model, INPUT, replace(lesson, train=lesson.val)),
        lesson_folder("prune", model, INPUT, replace(lesson, seed=1)),
    )
    assert len(set(others)) == len(others)


def test_what_was_kept_and_is_damaged_is_one_sentence(model: Any, lesson: Lesson, tmp_path: Path) -> None:
    elsewhere = replace(lesson, folder=tmp_path)
    how = stage("step", elsewhere, epochs=2, rate=1e-4)
    kept = lesson_folder("step", model, INPUT, elsewhere, how) / "learned.npz"
    kept.parent.mkdir()
    kept.write_bytes(b"no archive")
    with pytest.raises(RunError, match=r"learned.npz is damaged .*: remove .* and convert again"):
        finetune(copied(model), "step", model, INPUT, elsewhere, epochs=2, rate=1e-4, quiet=True)


def test_clusters_keep_the_zeros_of_pruning(pruned: Any, lesson: Lesson) -> None:
    clustered, words = cluster(pruned, 8, INPUT, lesson, keep_zeros=True, quiet=True)
    assert words.endswith("to 8 values each, zeros kept")
    for name, kernel in kernels(clustered).items():
        assert len(np.unique(kernel)) <= 9, name  # zero and eight others
    assert zeros(clustered) == pytest.approx(zeros(pruned), abs=0.02)


@pytest.fixture(scope="module")
def convert(
    model: Any, lesson: Lesson, run_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Converted]:
    run = read_run(run_folder)

    def made(epochs: int, network: Any = model, **fields: Any) -> Converted:
        return convert_model(
            from_keras(network, INPUT),
            spec=run.spec,
            image_input=INPUT,
            output=Output(labels=run.classes),
            source=Source(),
            recipe=Recipe(precision="int8", io="uint8", **fields),
            evidence=Evidence(
                calibration=lesson.train.pixels,
                test=lesson.val.pixels,
                truth=lesson.val.labels,
                lesson=lambda: replace(lesson, epochs=epochs),
            ),
            out=tmp_path_factory.mktemp("made") / "m.tflite",
        )

    return made


def test_quantization_aware_training_makes_an_int8_file(convert: Callable[..., Converted]) -> None:
    file = convert(6, qat=True)
    graph = read_graph(modelfile.read(file.path).content)
    assert {op.precision for op in graph.ops if op.macs} == {"int8"}
    assert file.contract.recipe.steps == ("quantization-aware training",)
    # Both run it; the old runtime's rounding may differ more than allowed on a network that hardly settled.
    assert [row.max_difference is not None for row in file.contract.ran] == [True] * len(file.contract.ran)
    assert file.contract.measured.accuracy is not None
    assert file.contract.measured.accuracy.agreement >= 0.9


def small() -> Any:
    """Two convolutions, one depthwise between, and a classifier; random weights."""
    import tf_keras as keras

    keras.utils.set_random_seed(0)
    image = keras.Input((48, 48, 3), name="image")
    x = keras.layers.Conv2D(48, 3, strides=4, padding="same", use_bias=False, name="conv1")(image)
    x = keras.layers.ReLU(6.0)(keras.layers.BatchNormalization()(x))
    x = keras.layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)(x)
    x = keras.layers.ReLU(6.0)(keras.layers.BatchNormalization()(x))
    x = keras.layers.Conv2D(64, 1, use_bias=False, name="conv2")(x)
    x = keras.layers.ReLU(6.0)(keras.layers.BatchNormalization()(x))
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="features")(x)
    x = keras.layers.Flatten()(keras.layers.Conv2D(3, 1, name="logits")(x))
    return keras.Model(image, keras.layers.Softmax(name="probabilities")(x))


def test_all_three_together_keep_what_each_achieved(convert: Callable[..., Converted]) -> None:
    file = convert(2, network=small(), prune=0.6, cluster=8, qat=True)
    pruned, clustered, trained = file.contract.recipe.steps
    assert pruned == "pruned 2 layers to 60 % zeros together, 60% to 60% each"
    assert clustered == "clustered 2 layers to 8 values each, zeros kept"
    assert trained == "quantization-aware training"
    graph = read_graph(modelfile.read(file.path).content)
    large = [op for op in graph.ops if op.weights >= 1024]
    assert len(large) == 2
    assert all(0.5 < op.zeros / op.weights < 0.75 for op in large)
    assert {op.precision for op in large} == {"int8"}


def test_what_learns_needs_layers_and_photos(model: Any, lesson: Lesson) -> None:
    network = from_keras(model, INPUT)
    with pytest.raises(ConversionError, match=r"--prune and --qat must learn again: add --data DIR"):
        compress(network, Recipe(precision="int8", prune=0.5, qat=True), INPUT, None, quiet=True)
    with pytest.raises(ConversionError, match="--cluster must learn again, which works with run folders"):
        compress(replace(network, layers=None), Recipe(cluster=8), INPUT, lambda: lesson, quiet=True)
