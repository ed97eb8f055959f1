"""Where a network may be cut, and what its features are worth there.

J. Yosinski et al., How transferable are features in deep neural networks?, arXiv 1411.1792: the first layers' features
suit any photos, the last ones those that they were learned on. How far a network's features suit other photos is
measured as in G. Alain and Y. Bengio, Understanding intermediate layers using linear classifier probes, arXiv
1610.01644: a linear classifier on each depth's features, averaged over the picture, judged on photos it did not see.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from edgesdk.preprocess import ImageInput
from edgesdk_train.judge import predict

FOLDS = 4
LONG_STAGE = 4  # layers to cut after; a stage of so many is looked at in its middle, too
RIDGES = (1e0, 1e1, 1e2, 1e3, 1e4)
ACTIVATIONS = ("ReLU", "Activation", "Add", "Concatenate", "Multiply", "MaxPooling2D", "AveragePooling2D")


def find_cuts(model: Any) -> tuple[str, ...]:
    """The layers to cut after, in order: the last of each resolution, and the middle of the long stretches.

    What a cut drops reads nothing but that one layer's output: in a residual network it is the end of a block. A layer
    whose mean over the picture `features` is already is no cut.
    """
    whole = [source for source in _reads(model.get_layer("features")) if _averages(model.get_layer("features"))]
    stages: dict[int, list[str]] = {}
    for layer in _bottlenecks(model):
        size = layer.output.shape[1]
        if len(layer.output.shape) == 4 and size > 1 and type(layer).__name__ in ACTIVATIONS:
            stages.setdefault(size, []).append(layer.name)
    cuts = []
    for names in stages.values():
        cuts += [names[len(names) // 2 - 1]] if len(names) >= LONG_STAGE else []
        cuts.append(names[-1])
    return tuple(name for name in cuts if name not in whole)


def cut_after(model: Any, layer: str) -> Any:
    """The network up to a layer, and a new last layer that reads its output's mean over the picture.

    Returns:
        A model of the builders' promises (see `models`) that shares the layers it keeps with `model`.

    Raises:
        ValueError: if the network cannot be cut there.
    """
    cuts = find_cuts(model)
    if layer not in cuts:
        raise ValueError(f"{model.name} cannot be cut after {layer!r}, expected one of {', '.join(cuts)}")
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="features")(model.get_layer(layer).output)
    x = keras.layers.Conv2D(model.output_shape[-1], 1, name="logits")(x)
    x = keras.layers.Flatten(name="flat")(x)
    return keras.Model(model.input, keras.layers.Softmax(name="probabilities")(x), name=model.name)


def pooled_features(
    model: Any, layers: Sequence[str], pixels: npt.NDArray[np.uint8], image_input: ImageInput
) -> dict[str, npt.NDArray[np.float32]]:
    """Layer -> the mean over the picture of its output, float32 [n, channels], each photo looked at once."""
    pooled = []
    for name in layers:
        output = model.get_layer(name).output
        pooled.append(keras.layers.GlobalAveragePooling2D()(output))
    body = keras.Model(model.input, keras.layers.Concatenate()(pooled) if len(pooled) > 1 else pooled[0])
    run = tf.function(lambda values: body(values, training=False), autograph=False)
    together = predict(run, pixels, image_input)
    ends = np.cumsum([tensor.shape[-1] for tensor in pooled])[:-1]
    return dict(zip(layers, np.split(together, ends, axis=1), strict=True))


def separability(features: npt.NDArray[np.float32], labels: npt.NDArray[np.int32], classes: int) -> float:
    """The share of photos, 0 to 1, that a linear classifier names rightly which learned from the other folds.

    Least squares on one column a class, with the weight decay that serves best (A. Hoerl and R. Kennard, Ridge
    Regression, 1970): closed, so that a depth takes a fraction of a second.

    Args:
        features: float32 [n, channels], one row a photo.
        classes: at least 2.
    """
    x = np.asarray(features, np.float64)
    x = (x - x.mean(0)) / (x.std(0) + 1e-6)
    x = np.concatenate([x, np.ones((len(x), 1))], 1)
    y = np.eye(classes)[labels]
    right = np.zeros(len(RIDGES))
    fold = _folds(labels)
    for index in range(FOLDS):
        seen, asked = x[fold != index], x[fold == index]
        # n photos or c channels, whichever are fewer: both forms give the same answer.
        values, vectors = np.linalg.eigh(seen @ seen.T if len(seen) < x.shape[1] else seen.T @ seen)
        for place, ridge in enumerate(RIDGES):
            inverse = vectors / (np.maximum(values, 0) + ridge) @ vectors.T
            targets = y[fold != index]
            weights = seen.T @ (inverse @ targets) if len(seen) < x.shape[1] else inverse @ (seen.T @ targets)
            right[place] += ((asked @ weights).argmax(1) == labels[fold == index]).sum()
    return float(right.max() / len(x))


def _folds(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """The fold of each photo, the classes spread evenly over the folds."""
    order = np.argsort(labels, kind="stable")
    fold = np.empty(len(labels), np.int64)
    fold[order] = np.arange(len(labels)) % FOLDS
    return fold


def _averages(layer: Any) -> bool:
    return isinstance(layer, keras.layers.GlobalAveragePooling2D)


def _bottlenecks(model: Any) -> list[Any]:
    """The layers whose output is all that the rest of the network reads, in order."""
    readers = Counter(read for layer in model.layers for read in _reads(layer))  # still to come
    waiting: set[str] = set()
    found = []
    for layer in model.layers:
        for read in _reads(layer):
            readers[read] -= 1
        waiting = {name for name in {*waiting, layer.name} if readers[name]}
        if waiting == {layer.name}:
            found.append(layer)
    return found


def _reads(layer: Any) -> list[str]:
    """The names of the layers whose outputs this one takes."""
    inbound = tf.nest.flatten(layer.inbound_nodes[0].inbound_layers) if layer.inbound_nodes else []
    return [source.name for source in inbound]
