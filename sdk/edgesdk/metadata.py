"""The standard TFLite metadata table, so that MediaPipe Tasks, ML Kit and Android Studio read our files too.

Tables, fields and enum values: TensorFlow Lite metadata schema 1.x (metadata_schema.fbs, file identifier M001).
"""

from collections.abc import Sequence
from typing import Any

from edgesdk.contract import Contract
from edgesdk.modelfile import CONTRACT_FILE, LABELS_FILE

_TENSOR_AXIS_LABELS = 2  # AssociatedFileType
_FEATURE, _IMAGE = 1, 2  # ContentProperties
_RGB, _GRAYSCALE = 1, 2  # ColorSpaceType
_NORMALIZATION = 1  # ProcessUnitOptions


def build_metadata(contract: Contract) -> bytes:
    """The ModelMetadata flatbuffer: name, colour space, normalization, value ranges and the labels file.

    A float model's normalization is (byte - mean) / std. A uint8 model takes the bytes as they are: its input's scale
    and zero point contain the normalization already, and MediaPipe then ignores this one.
    """
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    image, output = contract.input, contract.output

    if image.color == "latent":
        name, described_as = "code", "a picture's code"
        content = _content(builder, _FEATURE, _table(builder, {}))
    else:
        name, described_as = "image", f"{image.color} picture, {image.resize}"
        color_space = _RGB if image.color == "rgb" else _GRAYSCALE
        content = _content(builder, _IMAGE, _table(builder, {0: ("uint8", color_space)}))
    normalization = _table(builder, {0: _floats(builder, [image.mean]), 1: _floats(builder, [image.std])})
    unit = _table(builder, {0: ("uint8", _NORMALIZATION), 1: normalization})
    low, high = (0 - image.mean) / image.std, (255 - image.mean) / image.std
    stats = _table(builder, {0: _floats(builder, [high]), 1: _floats(builder, [low])})
    input_tensor = _table(
        builder,
        {0: name, 1: described_as, 3: content, 4: _offsets(builder, [unit]), 5: stats},
    )

    files = []
    if output.labels:
        files.append(_table(builder, {0: LABELS_FILE, 1: "one label a line", 2: ("uint8", _TENSOR_AXIS_LABELS)}))
    described = {0: output.kind, 3: _content(builder, _FEATURE, _table(builder, {})), 6: _offsets(builder, files)}
    if output.kind == "probabilities":
        described[5] = _table(builder, {0: _floats(builder, [1.0]), 1: _floats(builder, [0.0])})
    output_tensor = _table(builder, described)
    subgraph = _table(builder, {2: _offsets(builder, [input_tensor]), 3: _offsets(builder, [output_tensor])})
    own = _table(builder, {0: CONTRACT_FILE, 1: "the edgesdk contract"})
    model = _table(
        builder,
        {
            0: contract.name,
            1: contract.source.paper,
            3: _offsets(builder, [subgraph]),
            4: "edgesdk",
            6: _offsets(builder, [own]),
            7: "1.0.0",
        },
    )
    builder.Finish(model, file_identifier=b"M001")
    return bytes(builder.Output())


def _content(builder: Any, kind: int, properties: int) -> int:
    return _table(builder, {0: ("uint8", kind), 1: properties})


def _table(builder: Any, slots: dict[int, Any]) -> int:
    """Write a table: slot -> text, ("uint8", value) or the offset of something written before."""
    ready = {slot: builder.CreateString(value) if isinstance(value, str) else value for slot, value in slots.items()}
    builder.StartObject(max(ready, default=-1) + 1)
    for slot, value in ready.items():
        if isinstance(value, tuple):
            builder.PrependUint8Slot(slot, value[1], 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, value, 0)
    return int(builder.EndObject())


def _floats(builder: Any, values: Sequence[float]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return int(builder.EndVector())


def _offsets(builder: Any, values: Sequence[int]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependUOffsetTRelative(value)
    return int(builder.EndVector())
