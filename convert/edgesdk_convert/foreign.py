"""Networks that others trained: a Keras file, a SavedModel or a float .tflite, told apart by what they hold."""

import hashlib
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgesdk import modelfile
from edgesdk.contract import Contract
from edgesdk.errors import BackendError, ConversionError, ModelFileError
from edgesdk.flatbuffer import IDENTIFIER, pack_model, unpack_model
from edgesdk.preprocess import ImageInput, Pixels, Resize
from edgesdk.progress import remark
from edgesdk.quiet import import_tensorflow
from edgesdk_convert.calibrate import made_images
from edgesdk_convert.export import FrozenGraph
from edgesdk_convert.foreignjobs import (
    AnswerSamples,
    FreezeKeras3,
    FreezeSavedModel,
    check_finite,
    image_shape,
    only_one,
    unreadable,
)
from edgesdk_convert.gate import file_outputs
from edgesdk_convert.inspect import read_graph
from edgesdk_convert.jobs import FromGraph, Samples
from edgesdk_convert.load import HDF5_SIGNATURE, load_keras
from edgesdk_convert.network import Network, Outputs, from_keras
from edgesdk_convert.rebuild import ends_in_softmax, rebuild, same_answers
from edgesdk_convert.runtimes import check_operations
from edgesdk_convert.untrusted import check_keras_config
from edgesdk_convert.worker import run_job, shared_worker
from edgesdk_device.backends import first_backend, open_backend
from edgesdk_device.firstrun import run_first

Kind = Literal["keras", "keras3", "savedmodel", "tflite"]
#: What a network expects for a byte -> (mean, std) of `ImageInput`.
VALUES = {"signed": (128.0, 128.0), "unit": (0.0, 255.0), "bytes": (0.0, 1.0)}
LARGEST_CONFIG_BYTES = 64 * 2**20
PROBES = 8  # generated pictures that show what a network answers
SCALING = ("Rescaling", "Normalization")


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """A network that was read.

    Attributes:
        network: float.
        image_input: how it is fed.
        answer: "probabilities" where each answer is at least 0 and they sum to 1, else "latent" (a row of numbers)
            or "image" (a map of them).
        outputs: how many numbers it answers.
        learns: whether it has known layers with a softmax at the end, so that pruning and the like work.
        contract: what a .tflite of edgesdk said of itself.
    """

    network: Network
    image_input: ImageInput
    answer: Literal["probabilities", "latent", "image"]
    outputs: int
    learns: bool
    contract: Contract | None = None


def read_foreign(
    path: Path, *, values: str | None, res: int | None, resize: Resize, trust: bool, quiet: bool = True
) -> Foreign:
    """Read a network and find out what it takes and answers.

    Args:
        path: a Keras file of version 2 or 3 (.keras, .h5), a SavedModel folder or a float32 .tflite; its name says
            nothing, its content does.
        values: what it expects for a byte, in `VALUES`; None: as its file says, else "signed".
        res: height and width in pixels where the file leaves them open.
        trust: run code that the file holds.

    Raises:
        ModelFileError: if the file is missing, damaged, of no known kind or holds code.
        ConversionError: if it is no float network of one image of that size and one answer, or answers NaN.
    """
    kind = find_kind(path)
    contract = None
    if kind == "tflite":
        file = modelfile.read(path)
        contract = file.contract
        float_file, shape, parameters = _float_tflite(path, file.content, res, trust)
        image_input = contract.input if contract else _fed(shape, values, False, resize, quiet=quiet)
        network = Network(
            float_file=float_file,
            answer=lambda pixels: file_outputs(float_file, pixels, image_input),
            parameters=parameters,
        )
    elif kind == "keras":
        network, image_input = _from_legacy(path, values, res, resize, trust, quiet=quiet)
    else:
        network, image_input = _from_worker(path, kind, values, res, resize, trust, quiet=quiet)
    answers = network.answer(made_images(PROBES, image_input))
    if not np.isfinite(answers).all():
        raise ConversionError(f"{path} answers NaN or infinite numbers: its weights are damaged, train it again")
    with open_backend(network.float_file) as backend:
        answered = backend.output.shape
    probabilities = answers.shape[1] > 1 and answers.min() >= 0 and np.abs(answers.sum(1) - 1).max() < 1e-3
    row = max(answered) == answers.shape[1]  # [1, n] or [1, 1, 1, n]
    return Foreign(
        network=network,
        image_input=image_input,
        answer="probabilities" if row and probabilities else "latent" if row or len(answered) < 4 else "image",
        outputs=answers.shape[1],
        learns=bool(row and probabilities and network.layers is not None and ends_in_softmax(network.layers)),
        contract=contract,
    )


def find_kind(path: Path) -> Kind:
    """What a model file is, by its first bytes.

    Raises:
        ModelFileError: if it is missing, or none that can be converted.
    """
    if path.is_dir():
        return "savedmodel"
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        fix = "name a model that exists and that you may read"
        raise ModelFileError(f"cannot read {path}: {error.strerror}; {fix}") from error
    if head[4:8] == IDENTIFIER:
        return "tflite"
    if head[:4] == b"PK\x03\x04" or head == HDF5_SIGNATURE:
        return "keras3" if _read_keras(path)[0].startswith("3.") else "keras"
    raise ModelFileError(
        f"{path} is no model that can be converted: it begins with {head!r}, expected a Keras file (.keras, .h5), a "
        "SavedModel folder or a float32 .tflite"
    )


def digest(path: Path) -> str:
    """The start of the sha256 over the files of a model."""
    files = sorted(item for item in path.rglob("*") if item.is_file()) if path.is_dir() else [path]
    found = hashlib.sha256()
    for file in files:
        found.update(file.read_bytes())
    return found.hexdigest()[:16]


def _read_keras(path: Path) -> tuple[str, Any]:
    """The version of Keras that wrote a file, and the network's JSON; nothing of it is run."""
    try:
        if not zipfile.is_zipfile(path):
            return _read_h5(path)
        with zipfile.ZipFile(path) as archive:
            for name in ("config.json", "metadata.json"):
                if name not in archive.namelist():
                    raise ModelFileError(f"{path} is no Keras file, it holds no {name}: save the whole model")
                if archive.getinfo(name).file_size > LARGEST_CONFIG_BYTES:
                    raise ModelFileError(f"{path} has a {name} of over {LARGEST_CONFIG_BYTES >> 20} MiB: it is damaged")
            version = json.loads(archive.read("metadata.json")).get("keras_version", "2")
            return str(version), json.loads(archive.read("config.json"))
    except ModelFileError:
        raise
    except Exception as error:  # zipfile, h5py and json raise many kinds on a damaged file
        raise ModelFileError(f"{path} is damaged ({' '.join(str(error).split())[:120]}): save it again") from error


def _read_h5(path: Path) -> tuple[str, Any]:
    import h5py

    with h5py.File(path, "r") as file:
        config = file.attrs.get("model_config")
        if config is None:
            raise ModelFileError(f"{path} holds weights without a network: save the whole model, model.save(...)")
        version = file.attrs.get("keras_version", "2")
    return version.decode() if isinstance(version, bytes) else str(version), json.loads(config)


def _network_config(path: Path, trust: bool) -> Any:
    """The network's JSON, refused where it holds code; how it was compiled is left out, for nothing loads that."""
    _, config = _read_keras(path)
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict | list):
        raise ModelFileError(f"{path} is damaged (its network is no JSON object): save it again")
    config = {name: value for name, value in config.items() if name != "compile_config"}
    if not trust:
        check_keras_config(path, config)
    return config


def _begins_scaled(config: Any) -> bool:
    """Whether a network's first layer scales the bytes; layers that only vary photos while learning do not count."""
    layers = config["config"].get("layers", []) if isinstance(config.get("config"), dict) else []
    for layer in layers:
        kind = layer["class_name"]
        if kind == "InputLayer" or kind.startswith("Random"):
            continue
        return kind in SCALING or _begins_scaled(layer)
    return False


def _fed(shape: tuple[int, ...], values: str | None, scaled: bool, resize: Resize, *, quiet: bool) -> ImageInput:
    """How a network of this input is fed."""
    if values is None and not scaled:
        remark(
            "assumed that the network expects -1 to 1 for black to white: else say --values unit or bytes", quiet=quiet
        )
    mean, std = VALUES[values or ("bytes" if scaled else "signed")]
    height, width, channels = shape
    return ImageInput(
        height=height,
        width=width,
        channels=channels,
        color="gray" if channels == 1 else "rgb",
        resize=resize,
        mean=mean,
        std=std,
    )


def _from_legacy(
    path: Path, values: str | None, res: int | None, resize: Resize, trust: bool, *, quiet: bool
) -> tuple[Network, ImageInput]:
    config = _network_config(path, trust)
    shared_worker()
    import_tensorflow()
    import tf_keras as keras

    try:
        model = load_keras(keras, path, trust=trust)
    except Exception as error:  # Keras raises many kinds
        raise unreadable(path, error) from error
    only_one(path, "inputs", [tensor.name for tensor in model.inputs or []])
    only_one(path, "outputs", [tensor.name for tensor in model.outputs or []])
    check_finite(path, ((weight.name, weight.numpy()) for weight in model.weights))
    shape = image_shape(path, model.inputs[0].shape, res)
    image_input = _fed(shape, values, _begins_scaled(config), resize, quiet=quiet)
    network = from_keras(model, image_input)
    rebuilt = _rebuilt(config, {layer.name: layer.get_weights() for layer in model.layers}, network, image_input)
    return (rebuilt or network), image_input


def _from_worker(
    path: Path, kind: Kind, values: str | None, res: int | None, resize: Resize, trust: bool, *, quiet: bool
) -> tuple[Network, ImageInput]:
    config = _network_config(path, trust) if kind == "keras3" else None
    reads = FreezeKeras3 if kind == "keras3" else FreezeSavedModel
    read = run_job(reads(path=path.resolve(), res=res, trust=trust))
    scaled = config is not None and _begins_scaled(config)  # which Keras has read by now: it is whole
    image_input = _fed(read.graph.shape, values, scaled, resize, quiet=quiet)
    network = Network(
        float_file=run_job(FromGraph(graph=read.graph)),
        answer=_graph_answer(read.graph, image_input),
        parameters=read.parameters,
        graph=read.graph,
    )
    rebuilt = _rebuilt(config, read.weights, network, image_input) if config else None
    return rebuilt or network, image_input


def _graph_answer(graph: FrozenGraph, image_input: ImageInput) -> Callable[[Pixels], Outputs]:
    return lambda pixels: run_job(AnswerSamples(graph=graph, samples=Samples(pixels=pixels, image_input=image_input)))


def _rebuilt(
    config: Any, weights: dict[str, list[npt.NDArray[Any]]], network: Network, image_input: ImageInput
) -> Network | None:
    """The network of plain layers, with the original's answers; None where it is not made of such layers."""
    import_tensorflow()
    model = rebuild(config, image_input.shape, weights)
    if model is None:
        return None
    known = from_keras(model, image_input)
    probes = made_images(PROBES, image_input)
    if not same_answers(network.answer(probes), known.answer(probes)):
        return None
    return replace(known, answer=network.answer, parameters=network.parameters)


def _float_tflite(path: Path, content: bytes, res: int | None, trust: bool) -> tuple[bytes, tuple[int, ...], int]:
    """A float .tflite with a batch of 1, its image's (height, width, channels), and how many numbers it holds."""
    check_operations(read_graph(content))
    try:
        tree, shape, parameters = _look_through(path, content, res)
    except (IndexError, KeyError, TypeError, ValueError) as error:  # what no operation uses may be anything
        raise ModelFileError(f"{path} is damaged ({type(error).__name__}: {error}): save it again") from error
    tensors = tree.subgraphs[0].tensors
    if all(tensor.shapeSignature is None for tensor in tensors):
        if not trust:
            run_first(content, path, first_backend())
        return content, shape, parameters
    for tensor in tensors:
        if tensor.shapeSignature is not None:
            tensor.shape = [1 if int(side) == -1 else int(side) for side in tensor.shapeSignature]
            tensor.shapeSignature = None
    fixed = pack_model(tree)
    try:
        open_backend(fixed).close() if trust else run_first(fixed, path, first_backend())
    except BackendError as error:
        raise ConversionError(
            f"{path} has a batch of any size that cannot be fixed to 1 ({error}): export it with a batch of 1"
        ) from error
    return fixed, shape, parameters


def _look_through(path: Path, content: bytes, res: int | None) -> tuple[Any, tuple[int, ...], int]:
    """(the tree, the image's shape, how many numbers it holds), where it is a float network of one image."""
    from ai_edge_litert import schema_py_generated as schema

    tree = unpack_model(content)
    graph = tree.subgraphs[0]
    types = {value: name.lower() for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
    names = [(tensor.name or b"").decode(errors="replace") for tensor in graph.tensors]
    for name, tensor in zip(names, graph.tensors, strict=True):
        if types[tensor.type] in ("int8", "uint8", "int16", "int4", "float16"):
            raise ConversionError(
                f"{path} is quantized already: its tensor {name} is {types[tensor.type]}, expected a float32 file; "
                "convert the model it was made from"
            )
    only_one(path, "inputs", [names[index] for index in graph.inputs])
    only_one(path, "outputs", [names[index] for index in graph.outputs])
    image = graph.tensors[int(graph.inputs[0])]
    if image.type != schema.TensorType.FLOAT32:
        raise ConversionError(f"{path} takes {types[image.type]}, expected float32: export it with a float image")
    signature = image.shapeSignature if image.shapeSignature is not None else image.shape
    shape = image_shape(path, None if signature is None else [int(side) for side in signature], None)
    if res is not None and shape[:2] != (res, res):
        raise ConversionError(f"res is {res}, but {path} takes images of {shape[0]}x{shape[1]} pixels: leave it out")
    arrays = [
        (name, np.asarray(tree.buffers[tensor.buffer].data, np.uint8).view(np.float32))
        for name, tensor in zip(names, graph.tensors, strict=True)
        if tensor.type == schema.TensorType.FLOAT32 and tree.buffers[tensor.buffer].data is not None
    ]
    check_finite(path, arrays)
    return tree, shape, sum(array.size for _, array in arrays)
