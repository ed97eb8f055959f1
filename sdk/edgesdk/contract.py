"""What travels inside the .tflite: the values, and their JSON.

A file written by edgesdk carries `edgesdk.json`, this contract. From it a device knows how to feed the model, what its
outputs mean, how accurate it was when it was made, and what it must answer for a few golden inputs.
"""

import base64
import hashlib
import json
import math
import re
import types
import typing
from collections.abc import Iterator
from dataclasses import MISSING, asdict, field, fields, is_dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from edgesdk.codecs.part import CodecPart
from edgesdk.errors import ModelFileError
from edgesdk.frozen import frozen
from edgesdk.preprocess import ImageInput, Pixels, decode_photo, fit_frame
from edgesdk.recipe import Precision, Recipe
from edgesdk.spec import ModelSpec

FORMAT = 1
LARGEST_JSON_BYTES = 16 * 2**20
MOST_VALUES, MOST_OBJECTS = 2**20, 2**12  # in one list

#: What moves a terminal's cursor or breaks whoever prints it; a tab or a new line does neither.
UNPRINTABLE = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]"

T = TypeVar("T")
Fraction = float  # a name of its own, because a field below is called float


@frozen
class Output:
    """What the model's output means.

    Attributes:
        kind: what the entries are.
        labels: one an entry where it classifies.
        mean, std: of an image, whose bytes are value * std + mean.
    """

    kind: Literal["probabilities", "logits", "latent", "image"] = "probabilities"
    labels: tuple[str, ...] = ()
    mean: float = 128.0
    std: float = 1.0

    @property
    def classifies(self) -> bool:
        """Whether the largest entry is the answer."""
        return self.kind in ("probabilities", "logits")


@frozen
class Source:
    """Where the network comes from.

    Attributes:
        paper: title and arXiv number of the architecture.
        weights: what the weights started from: "imagenet", a file's name and sha256, or "none".
        trained: False where the weights are random: then the answers mean nothing.
        dataset: name of the data the network learned or was judged on, "" if none.
        fingerprint: sha256 over the data's labels and files.
    """

    paper: str = ""
    weights: str = "none"
    trained: bool = False
    dataset: str = ""
    fingerprint: str = ""


@frozen
class Accuracy:
    """Top-1 of the same held-out images through the float network, the float .tflite and this file.

    Attributes:
        float, float_tflite, final: fraction right, 0 to 1.
        n: number of images.
        ci95: Wilson interval of `final`.
        agreement: fraction of images on which this file gives the float network's label.
        per_class_drop: label (with its index where several share it) -> points lost between the float network and
            this file, where any were.
    """

    float: Fraction
    float_tflite: Fraction
    final: Fraction
    n: int
    ci95: tuple[Fraction, ...]
    agreement: Fraction
    per_class_drop: dict[str, Fraction] = field(default_factory=dict)


@frozen
class Measured:
    """Counts of this model: multiply-adds, float network's parameters, bytes without metadata, share of zeros.

    Attributes:
        signal_to_noise_db: of the outputs before the softmax against the float network's; 200 where they are equal.
    """

    macs: int
    parameters: int
    size_bytes: int
    gzip_bytes: int
    sparsity: float
    signal_to_noise_db: float | None = None
    accuracy: Accuracy | None = None


@frozen
class Attempt:
    """One file that was tried on the way to this one, and how it answered the held-out images.

    Attributes:
        step: what was done for it, in words.
        precision: of its weights and activations.
        signal_to_noise_db: of its outputs before the softmax against the float .tflite's; 200 where they are equal.
        top1, agreement: as in `Accuracy`; None where no labelled images were given.
        passed: whether it kept what the recipe asks for.
    """

    step: str
    precision: Precision
    signal_to_noise_db: float
    top1: float | None
    agreement: float | None
    passed: bool


@frozen
class Golden:
    """One input with the output the file gave where it was made.

    Attributes:
        generator: "blocks" (a picture of 16x16 blocks whose bytes are SHA-256 of seed and counter), "png", "code" (a
            codec's code of small numbers, from the same bytes) or "normal" (a code as a generator takes it, too).
        seed: of the generator.
        png: base64 of a small PNG, which goes through the whole preprocessing.
        output: base64 of the flat output, little-endian float32, dequantized.
        stride: `output` holds every so manieth entry: pictures and codes have many.
    """

    generator: Literal["blocks", "png", "code", "normal"]
    seed: int = 0
    png: str = ""
    output: str = ""
    stride: int = 1

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise ValueError(f"golden.stride is {self.stride}, expected at least 1")

    def pixels(self, image_input: ImageInput) -> Pixels:
        """What the model is fed, before the value table: uint8 [height, width, channels]."""
        if self.generator == "code":
            return code_bytes(self.seed, *image_input.shape)
        if self.generator == "normal":
            return normal_bytes(self.seed, *image_input.shape)
        return fit_frame(self.frame(image_input), image_input)

    def frame(self, image_input: ImageInput) -> Pixels:
        """The input as a BGR frame, uint8 [height, width, 3]."""
        if self.generator == "blocks":
            return blocks_frame(self.seed, image_input.height, image_input.width)
        try:
            frame = decode_photo(base64.b64decode(self.png))
        except ValueError:
            frame = None
        if frame is None:
            raise ModelFileError("a golden picture in the contract does not decode: the file is damaged")
        return frame

    def expected(self) -> npt.NDArray[np.float32]:
        """The expected output, float32 [outputs]."""
        try:
            return np.frombuffer(base64.b64decode(self.output), "<f4").astype(np.float32)
        except ValueError as error:
            raise ModelFileError(f"a golden output in the contract does not decode ({error})") from error


@frozen
class Ran:
    """What one runtime gave for the golden inputs, in a process of its own where the file was made.

    Attributes:
        runtime: as in `edgesdk_device.backends.BACKENDS`.
        version: of the runtime, "" if its package does not say.
        ok: every output lies within the tolerance.
        max_difference: the largest difference from a golden output; None where the runtime gave no numbers.
        reason: one sentence where it refused the file, died on it or gave other outputs.
    """

    runtime: str
    version: str
    ok: bool
    max_difference: float | None = None
    reason: str = ""


@frozen
class Contract:
    """Everything a device must know to run the model and to prove that it runs rightly.

    Attributes:
        name: of the network, for people.
        spec: None for a network that edgesdk did not build.
        attempts: the files that were tried, in order; the last that passed is this one.
        tolerance: runtime family ("cpu", "gpu", "npu") -> largest allowed difference from a golden output.
        ran: the runtimes that were tried where the file was made; empty in files of older versions.
        versions: tool -> version that took part in making the file.
        codec: what a codec's half needs beside; None for other models.
        sha256: of the model without the appended files.
    """

    format: int = FORMAT
    name: str
    spec: ModelSpec | None
    source: Source
    input: ImageInput
    output: Output
    recipe: Recipe
    measured: Measured
    attempts: tuple[Attempt, ...] = ()
    golden: tuple[Golden, ...] = ()
    tolerance: dict[str, float] = field(default_factory=dict)
    ran: tuple[Ran, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    codec: CodecPart | None = None
    sha256: str = ""

    def to_json(self) -> str:
        """The contract as JSON text."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False)


def from_json(text: str | bytes) -> Contract:
    """Read and check a contract.

    Raises:
        ModelFileError: if the text is not JSON, of a newer format, or any field has another type or range.
    """
    if len(text) > LARGEST_JSON_BYTES:
        raise ModelFileError(f"the contract is larger than {LARGEST_JSON_BYTES >> 20} MiB: the file is damaged")
    try:
        text = text if isinstance(text, str) else text.decode()
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFileError("the contract in the file is not JSON: the file is damaged") from error
    plain = text.isascii() and "\\" not in text and "\x7f" not in text  # most are, and a start waits for this
    if not plain and any(re.search(UNPRINTABLE, part) for part in _texts(data)):
        raise ModelFileError("the contract holds characters that no text has: the file is damaged")
    if isinstance(data, dict) and isinstance(data.get("format"), int) and data["format"] > FORMAT:
        raise ModelFileError(
            f"the contract has format {data['format']}, this edgesdk reads up to {FORMAT}: upgrade edgesdk"
        )
    try:
        contract: Contract = decode_value(Contract, data, "contract")
    except (ValueError, OverflowError) as error:
        raise ModelFileError(f"the contract in the file is not valid: {str(error)[:300]}") from error
    if contract.spec and contract.output.labels and len(contract.output.labels) != contract.spec.classes:
        raise ModelFileError(
            f"the contract has {len(contract.output.labels)} labels for {contract.spec.classes} classes: "
            "the file is damaged"
        )
    return contract


def _texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value, names of fields too."""
    ahead = [value]
    while ahead:
        item = ahead.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict | list):
            ahead += [*item, *item.values()] if isinstance(item, dict) else item


def decode_value(kind: Any, value: Any, where: str) -> Any:
    """JSON -> a value of the annotated type `kind` (dataclasses, tuples, dicts, unions, literals, scalars).

    Raises:
        ValueError: names the field, what was found and what was expected.
    """
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (tuple, dict) and isinstance(value, list | dict):
        most = MOST_VALUES if inner[origin is dict] in (int, float, str) else MOST_OBJECTS
        if len(value) > most:  # it would only be there to take time
            raise ValueError(f"{where} has {len(value)} entries, expected at most {most}")
    if is_dataclass(kind) and isinstance(kind, type):
        return _decode_dataclass(kind, value, where)
    if origin is tuple and isinstance(value, list):
        if inner[0] is str and all(type(item) is str for item in value):  # a thousand labels, at each start
            return tuple(value)
        return tuple(decode_value(inner[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {key: decode_value(inner[1], item, f"{where}.{key[:40]}") for key, item in value.items()}
    if origin is types.UnionType:
        return None if value is None else decode_value(inner[0], value, where)
    if origin is Literal:
        if value in inner:
            return value
        raise ValueError(f"{where} is {str(value)[:40]!r}, expected one of {', '.join(map(repr, inner))}")
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if kind in (int, str, bool) and type(value) is kind:
        return value
    raise ValueError(f"{where} is {str(value)[:40]!r}, expected {getattr(kind, '__name__', kind)}")


def _decode_dataclass(kind: type[T], value: Any, where: str) -> T:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is {str(value)[:40]!r}, expected an object")
    given: dict[str, Any] = {}
    for item in fields(kind):  # type: ignore[arg-type]
        if item.name in value:
            given[item.name] = decode_value(item.type, value[item.name], f"{where}.{item.name}")
        elif item.default is MISSING and item.default_factory is MISSING:
            raise ValueError(f"{where}.{item.name} is missing")
    return kind(**given)


def encode_output(output: npt.NDArray[Any]) -> str:
    """A float output as the base64 text that `Golden.output` holds."""
    return base64.b64encode(np.ascontiguousarray(output, "<f4").tobytes()).decode()


def blocks_frame(seed: int, height: int, width: int) -> Pixels:
    """A picture any language can make again: 16x16 blocks, bytes of SHA-256("edgesdk:<seed>:<counter>").

    Returns:
        uint8 [height, width, 3], BGR.
    """
    stream = b"".join(hashlib.sha256(f"edgesdk:{seed}:{i}".encode()).digest() for i in range(16 * 16 * 3 // 32))
    blocks = np.frombuffer(stream, np.uint8).reshape(16, 16, 3)
    rows, columns = np.arange(height) * 16 // height, np.arange(width) * 16 // width
    return np.ascontiguousarray(blocks[rows][:, columns])


def code_bytes(seed: int, height: int, width: int, channels: int) -> Pixels:
    """A code any language can make again, with 128 added: 0 mostly, at most 3, from the picture's bytes of `seed`.

    Returns:
        uint8 [height, width, channels].
    """
    blocks = blocks_frame(seed, 16, 16).reshape(-1)
    order = np.arange(height * width * channels)
    small = blocks[order % 768] ^ blocks[order // 768 % 768]
    return np.where(small < 32, 125 + small % 7, 128).astype(np.uint8).reshape(height, width, channels)


def normal_bytes(seed: int, height: int, width: int, channels: int) -> Pixels:
    """A code any language can make again, about normal with mean 128 and deviation 32: sums of four of `seed`'s bytes.

    Returns:
        uint8 [height, width, channels].
    """
    entries = height * width * channels
    stream = b"".join(hashlib.sha256(f"edgesdk:{seed}:{i}".encode()).digest() for i in range(-(-entries // 8)))
    sums = np.frombuffer(stream, np.uint8).reshape(-1, 4).sum(1, dtype=np.int32)[:entries]
    code: Pixels = (128 + (sums - 510) * 32 // 148).clip(0, 255).astype(np.uint8)
    return code.reshape(height, width, channels)
