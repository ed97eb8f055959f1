"""Weights from elsewhere: published files by name, files by path, checked before a number is used."""

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from edgesdk.atomic import make_folder, write_bytes
from edgesdk.cache import cache_folder
from edgesdk.errors import WeightsError
from edgesdk.photos.data import Dataset
from edgesdk.spec import ModelSpec
from edgesdk_train.caffe import Arrays, LayerWeights, fold_caffe

KERAS_APPLICATIONS = "https://storage.googleapis.com/tensorflow/keras-applications/"
LARGEST_FILE_BYTES = 2**30


@dataclass(frozen=True, kw_only=True)
class Published:
    """The ImageNet weights that Keras publishes for one architecture.

    Attributes:
        file: their path under `KERAS_APPLICATIONS`, with {width} and {res} to fill in.
        widths: width multiplier -> how the file's name writes it.
        resolutions: input sizes, each with a file of its own; () where one file serves every size.
        md5: of the file, where Keras publishes it.
    """

    file: str
    widths: dict[float, str]
    resolutions: tuple[int, ...]
    md5: str = ""


def _caffe(file: str, resolutions: tuple[int, ...], md5: str) -> Published:
    name = f"{file}_weights_tf_dim_ordering_tf_kernels.h5"
    return Published(file=name, widths={1.0: ""}, resolutions=resolutions, md5=md5)


PUBLISHED = {
    "mobilenet_v1": Published(
        file="mobilenet/mobilenet_{width}_{res}_tf.h5",
        widths={0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"},
        resolutions=(128, 160, 192, 224),
    ),
    "mobilenet_v2": Published(
        file="mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{width}_{res}.h5",
        widths={width: str(width) for width in (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)},
        resolutions=(96, 128, 160, 192, 224),
    ),
    "mobilenet_v3_small": Published(
        file="mobilenet_v3/weights_mobilenet_v3_small_{res}_{width}_float.h5",
        widths={0.75: "0.75", 1.0: "1.0"},
        resolutions=(224,),
    ),
    "mobilenet_v3_large": Published(
        file="mobilenet_v3/weights_mobilenet_v3_large_{res}_{width}_float.h5",
        widths={0.75: "0.75", 1.0: "1.0"},
        resolutions=(224,),
    ),
    "mobilenet_v3_small_minimalistic": Published(
        file="mobilenet_v3/weights_mobilenet_v3_small_minimalistic_{res}_{width}_float.h5",
        widths={1.0: "1.0"},
        resolutions=(224,),
    ),
    "mobilenet_v3_large_minimalistic": Published(
        file="mobilenet_v3/weights_mobilenet_v3_large_minimalistic_{res}_{width}_float.h5",
        widths={1.0: "1.0"},
        resolutions=(224,),
    ),
    "vgg16": _caffe("vgg16/vgg16", (224,), "64373286793e3c8b2b4e3219cbf3544b"),
    "vgg19": _caffe("vgg19/vgg19", (224,), "cbe5617147190e668d6c5d5026f83318"),
    "resnet50": _caffe("resnet/resnet50", (), "2cb95161c43110f7111970584f804107"),
    "resnet101": _caffe("resnet/resnet101", (), "f1aeb4b969a6efcfb50fad2f0c20cfc5"),
    "resnet152": _caffe("resnet/resnet152", (), "100835be76be38e30d865e96f2aaae62"),
}


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """A weights file that was read and checked.

    Attributes:
        name: what the contract says of it: file name and start of its sha256.
        layers: (layer name, its arrays) of every layer with weights, in the network's order.
    """

    name: str
    layers: tuple[LayerWeights, ...]


def imagenet_labels() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(labels, WordNet ids) of the 1000 classes of ILSVRC 2012, in the order of Keras' published weights."""
    text = (files("edgesdk_train") / "imagenet_classes.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    return tuple(label for _, label in rows), tuple(synset for synset, _ in rows)


def find_weights(weights: str, spec: ModelSpec) -> Path:
    """The file that `weights` names: a path, or "imagenet" for Keras' published file, downloaded once.

    Where none is published for the width, it is that of the next wider one.

    Raises:
        WeightsError: if the file is missing, none is published for this network, or the download fails.
    """
    if weights != "imagenet":
        path = Path(weights)
        if not path.is_file():
            raise WeightsError(f"no weights file {weights}: expected a Keras .h5 file, imagenet or none")
        return path
    if spec.arch not in PUBLISHED:
        raise WeightsError(
            f"no ImageNet weights are published for {spec.arch}: expected one of {', '.join(PUBLISHED)}, or "
            "--weights FILE.h5"
        )
    published = PUBLISHED[spec.arch]
    wide_enough = [width for width in published.widths if width >= spec.width]
    if not wide_enough or spec.res not in (published.resolutions or (spec.res,)):
        sizes = f" and res {', '.join(map(str, published.resolutions))}" if published.resolutions else ""
        raise WeightsError(
            f"no ImageNet weights are published for {spec.name}: expected {spec.arch} with width up to "
            f"{max(published.widths)}{sizes}; take one of these, or --weights FILE.h5"
        )
    file = published.file.format(width=published.widths[min(wide_enough)], res=spec.res)
    path = cache_folder() / "weights" / file.rpartition("/")[2]
    if not path.is_file():
        _download(KERAS_APPLICATIONS + file, path, published.md5)
    return path


def read_weights(path: Path) -> Pretrained:
    """Read a legacy Keras .h5 file (weights alone or a whole model), as numbers only: no code in it is run.

    Keras' VGG and ResNet files come as edgesdk feeds these networks, see `fold_caffe`.

    Raises:
        WeightsError: if it is not HDF5, links outside itself, or holds anything but finite numbers.
    """
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise WeightsError(f"{path} is larger than {LARGEST_FILE_BYTES >> 30} GiB, too large for these networks")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            layers = tuple(_read_layers(path, root))
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise WeightsError(
            f"{path} is not a legacy Keras weights file ({' '.join(str(error).split())[:120]}): expected .h5 as "
            "tf.keras.applications or tf_keras' save_weights write it"
        ) from error
    layers = tuple(item for item in layers if item[1])
    if not layers:
        raise WeightsError(f"{path} holds no weights: name a file that a trained network was saved to")
    return Pretrained(name=f"{path.name} sha256:{digest[:16]}", layers=fold_caffe(layers))


def head_classes(pretrained: Pretrained) -> int | None:
    """How many classes the file's last layer tells apart; None for a file without a head.

    A head is a kernel with a bias; the last layer before it is a batch-norm with four arrays.
    """
    arrays = pretrained.layers[-1][1]
    return int(arrays[0].shape[-1]) if len(arrays) == 2 and arrays[0].ndim in (2, 4) else None


def labels_of(pretrained: Pretrained) -> tuple[str, ...]:
    """What the file's head tells apart: ImageNet's labels where it knows 1000 classes.

    Raises:
        WeightsError: if it has no head, or one for other classes, whose names no weights file holds.
    """
    known, (names, _) = head_classes(pretrained), imagenet_labels()
    if known != len(names):
        raise WeightsError(
            f"{pretrained.name} has "
            + ("no classes" if known is None else f"{known} classes of unknown names")
            + ": add --data DIR (DATA of train) to learn a new last layer"
        )
    return names


def tells_apart(pretrained: Pretrained, dataset: Dataset) -> bool:
    """Whether the file's head knows the very classes of these photos."""
    names, _ = imagenet_labels()
    return head_classes(pretrained) == len(names) and same_classes(dataset, names)


def same_classes(dataset: Dataset, labels: tuple[str, ...]) -> bool:
    """Whether the photos' classes are these labels, in this order; ImageNet's may go by their WordNet ids."""
    names, synsets = imagenet_labels()
    return dataset.classes == labels or (labels == names and dataset.synsets == synsets)


def load_weights(model: Any, pretrained: Pretrained) -> bool:
    """Put the weights into the model, layer by layer in the network's order.

    A dense layer's kernel fits the convolution over its whole input that computes the same.

    Args:
        model: of `build_model`.
        pretrained: with or without a head; a head for another number of classes is left out.

    Returns:
        Whether the head was loaded too.

    Raises:
        WeightsError: names the first layer that does not fit.
    """
    matched, with_head = match_layers(model, pretrained)
    for layer, arrays in matched:
        layer.set_weights(arrays)
    return with_head


def match_layers(model: Any, pretrained: Pretrained) -> tuple[list[tuple[Any, Arrays]], bool]:
    """(layer of `model`, the arrays that fill it) in order, and whether the head is among them.

    Raises:
        WeightsError: names the first layer that does not fit.
    """
    layers = [layer for layer in model.layers if layer.weights]
    given = list(pretrained.layers)
    if not same_depth(model, pretrained):
        headless = {len(layers) - 1, _body_length(layers)}
        raise WeightsError(
            f"{pretrained.name} has {len(given)} layers with weights, {model.name} has {len(layers)} "
            f"({' or '.join(map(str, sorted(headless)))} without a head): it belongs to another network"
        )
    with_head = len(given) == len(layers) and given[-1][1][0].shape[-1] == layers[-1].weights[0].shape[-1]
    body = layers if with_head else layers[:-1]
    fitted = [(name, _as_convolution(arrays, layer)) for layer, (name, arrays) in zip(body, given, strict=False)]
    for layer, (name, arrays) in zip(body, fitted, strict=False):
        shapes = [tuple(weight.shape) for weight in layer.weights]
        if [array.shape for array in arrays] != shapes:
            raise WeightsError(
                f"{pretrained.name}: layer {name} has shapes {[array.shape for array in arrays]}, {layer.name} of this "
                f"network has {shapes}: is it of another width, resolution or architecture?"
            )
    return [(layer, arrays) for layer, (_, arrays) in zip(body, fitted, strict=False)], with_head


def same_depth(model: Any, pretrained: Pretrained) -> bool:
    """Whether the file has as many layers with weights as the model, with or without a head."""
    layers = [layer for layer in model.layers if layer.weights]
    return len(pretrained.layers) in (len(layers), len(layers) - 1, _body_length(layers))


def _body_length(layers: list[Any]) -> int:
    """How many layers reach to the last batch-norm: Keras' headless files lack MobileNet V3's hidden layer too."""
    norms = [index for index, layer in enumerate(layers) if len(layer.weights) == 4]
    return norms[-1] + 1 if norms else len(layers) - 1


def _as_convolution(arrays: Arrays, layer: Any) -> Arrays:
    """A dense kernel [h * w * in, out] as the layer's [h, w, in, out] where that is what it wants."""
    kernel, *others = arrays
    *taken, made = layer.weights[0].shape
    dense = kernel.ndim == 2 and len(taken) == 3 and (np.prod(taken), made) == kernel.shape
    return [kernel.reshape(*taken, made), *others] if dense else arrays


def _read_layers(path: Path, root: Any) -> Iterator[LayerWeights]:
    room = LARGEST_FILE_BYTES  # a file may hold far fewer bytes than its arrays say that they have
    for name in root.attrs["layer_names"]:
        layer = _read_layer(path, root, _text(name), room)
        room -= sum(array.nbytes for array in layer[1])
        yield layer


def _read_layer(path: Path, root: Any, name: str, room: int) -> LayerWeights:
    if not isinstance(root.get(name, getlink=True), h5py.HardLink):
        raise WeightsError(f"{path}: layer {name} links outside the file; expected plain weights")
    group = root[name]
    arrays = []
    for weight in group.attrs["weight_names"]:
        stored = group[_text(weight)]
        if not isinstance(stored, h5py.Dataset) or stored.external or stored.is_virtual or stored.dtype.kind != "f":
            raise WeightsError(f"{path}: {name} holds something else than plain numbers")
        if 4 * stored.size > room:
            raise WeightsError(
                f"{path}: with {name} it has over {LARGEST_FILE_BYTES >> 30} GiB of weights; is it damaged?"
            )
        array = np.asarray(stored[()], np.float32)
        if not np.isfinite(array).all():
            raise WeightsError(f"{path}: {name} holds NaN or infinite weights; the file is damaged or badly trained")
        room -= array.nbytes
        arrays.append(array)
    return name, arrays


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _download(url: str, path: Path, md5: str) -> None:
    """Fetch over HTTPS; what arrives must be whole, HDF5 and, where Keras publishes its hash, that very file."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            expected = int(answer.headers.get("Content-Length") or 0)
            data = answer.read(LARGEST_FILE_BYTES)
    except (OSError, urllib.error.URLError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise WeightsError(
            f"the ImageNet weights {path.name} cannot be downloaded ({str(reason)[:100]}): put the file into "
            f"{path.parent}, name a file with --weights FILE.h5, or learn from nothing with --weights none --data DIR"
        ) from error
    other = md5 and hashlib.md5(data, usedforsecurity=False).hexdigest() != md5
    if len(data) != expected or data[:8] != b"\x89HDF\r\n\x1a\n" or other:
        raise WeightsError(f"{path.name} arrived damaged ({len(data)} of {expected} bytes): try again")
    make_folder(path.parent)
    write_bytes(path, data)
