"""Everything of ours that reads bytes from outside, each with whole inputs to begin from; `fuzz.py` damages them."""

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
from fuzzseeds import (
    LOG,
    SHARD_FILE,
    TOML_APP,
    TOML_FLEET,
    generative_json,
    keras_zip,
    labels_csv,
    multipart,
    npz,
    packed_folder,
    photos,
    report_json,
    run_json,
    tar_of,
)

from edgesdk import modelfile
from edgesdk.baseline import read_baseline
from edgesdk.codecs.stream import write_varint
from edgesdk.contract import blocks_frame, from_json
from edgesdk.errors import DataError, EdgeSDKError
from edgesdk.generation import read_generated
from edgesdk.metadata import build_metadata
from edgesdk.photos.data import read_dataset, read_labels
from edgesdk.photos.shards import INDEX_FILE, MANIFEST_FILE
from edgesdk.preprocess import decode_photo, value_table
from edgesdk.reports.benchlog import read_log
from edgesdk.runfolder import read_run
from edgesdk_convert.coverage import guess_coverage
from edgesdk_convert.foreign import _network_config as network_config  # what guards Keras is not public
from edgesdk_convert.foreign import find_kind
from edgesdk_convert.inspect import read_graph
from edgesdk_convert.opversions import too_new
from edgesdk_device.app.settings import parse_address, parse_broker, read_app
from edgesdk_device.cameras.live import CorruptFrameError
from edgesdk_device.cameras.mjpeg import MjpegReader
from edgesdk_device.codec import Codec
from edgesdk_device.fleet import read_fleet
from edgesdk_device.recording import replay
from edgesdk_device.session import Sender


@dataclass(frozen=True, kw_only=True)
class Target:
    """One way in.

    Attributes:
        read: bytes -> what was understood, or an EdgeSDKError; anything else that it raises is a defect.
        seeds: whole inputs.
        sealed: whether checksums hold it together: a damaged input is refused or understood as the whole one (of a
            session's frames, each as one of the whole one's: messages may be lost, or come twice).
        text: whether it is made of words and numbers.
    """

    name: str
    read: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    sealed: bool = False
    text: bool = False


def make_targets(model: Path, folder: Path) -> dict[str, Target]:
    """All of them.

    Args:
        model: a converted .tflite with labels and golden outputs.
        folder: for what is read by its path.
    """
    file = modelfile.read(model)
    contract = file.required_contract()
    found = [
        Target(
            name="tflite",
            read=_by_path(folder / "m.tflite", _model),
            seeds=(model.read_bytes(),),
            sealed=True,
        ),
        Target(name="tflite graph", read=_graph, seeds=(file.content,)),
        Target(name="contract", read=_contract, seeds=(contract.to_json().encode(),), text=True),
        *_codec_targets(),
        Target(name="photo", read=_photo, seeds=tuple(photos())),
        Target(name="camera stream", read=_camera, seeds=(multipart(),)),
        Target(name="run.json", read=_in_folder(folder / "run", "run.json", read_run), seeds=(run_json(),), text=True),
        Target(
            name="generative.json",
            read=_in_folder(folder / "gan", "generative.json", read_generated),
            seeds=(generative_json(),),
            text=True,
        ),
        Target(name="app.toml", read=_by_path(folder / "app.toml", _app), seeds=(TOML_APP,), text=True),
        Target(name="fleet.toml", read=_by_path(folder / "fleet.toml", read_fleet), seeds=(TOML_FLEET,), text=True),
        Target(name="report.json", read=_by_path(folder / "b.json", read_baseline), seeds=(report_json(),), text=True),
        Target(name="benchmark log", read=_by_path(folder / "b.log", read_log), seeds=(LOG,), text=True),
        Target(name="labels.txt", read=_by_path(folder / "l.txt", read_labels), seeds=(b"cat\ndog\nowl\n",), text=True),
        Target(name="npz", read=_by_path(folder / "d.npz", _dataset), seeds=(npz(),)),
        Target(name="tar", read=_by_path(folder / "d.tar", _dataset), seeds=(tar_of(""), tar_of("gz"), tar_of("xz"))),
        Target(name="labels.csv", read=_labels_csv(folder / "listed"), seeds=(labels_csv(),), text=True),
        *_packed_targets(folder / "packed"),
        Target(name="Keras file", read=_by_path(folder / "k.keras", _keras), seeds=(keras_zip(),)),
    ]
    return {target.name: target for target in found}


def _by_path(path: Path, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    def reading(data: bytes) -> object:
        path.write_bytes(data)
        return read(path)

    return reading


def _in_folder(folder: Path, name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    folder.mkdir(exist_ok=True)

    def reading(data: bytes) -> object:
        (folder / name).write_bytes(data)
        return read(folder)

    return reading


def _model(path: Path) -> object:
    file = modelfile.read(path)
    return file.sha256, file.required_contract()


def _graph(data: bytes) -> object:
    graph = read_graph(data)
    return graph.table, too_new(graph), guess_coverage(graph)


def _contract(data: bytes) -> object:
    """As a device uses one that it believes, short of the model."""
    contract = from_json(data)
    assert from_json(contract.to_json()) == contract
    build_metadata(contract)
    for golden in contract.golden:
        golden.expected()
        golden.pixels(contract.input)
    value_table(contract.input, np.int8, 1 / 128, 0)
    return contract


def _codec_targets() -> Iterator[Target]:
    frame = blocks_frame(3, 40, 56)
    for name in ("photo", "thumbnail"):
        codec = Codec(name, backend="litert")
        yield Target(
            name=f"{name} stream",
            read=lambda data, codec=codec: _digest(codec.decompress(data)),
            seeds=(codec.compress(frame, 30), codec.compress(frame[..., 0], 80)),
            sealed=True,
        )
    codec = Codec("photo", backend="litert")
    sender = Sender(codec, 40, 56, quality=40, number=7)
    messages = [sender.compress(blocks_frame(seed, 40, 56)).data for seed in (3, 3, 4)]
    session = sender.start + b"".join(write_varint(len(data)) + data for data in messages)
    yield Target(
        name="session",
        read=lambda data: frozenset(_digest(frame) for frame in replay(data, codec)),
        seeds=(session,),
        sealed=True,
    )


def _digest(frame: Any) -> str:
    return hashlib.sha256(repr(frame.shape).encode() + frame.tobytes()).hexdigest()


def _photo(data: bytes) -> object:
    frame = decode_photo(data)
    if frame is None:
        raise DataError("no whole image")
    return _digest(frame)


class _Answer:
    """What the reader of a network camera holds of a connection, without one."""

    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)

    def read1(self, size: int) -> bytes:
        if self._stream.tell() > 0 and not self._stream.getbuffer()[self._stream.tell() :]:
            raise HTTPException("over")
        return self._stream.read(min(size, 700))


def _camera(data: bytes) -> object:
    reader = MjpegReader.__new__(MjpegReader)
    vars(reader).update(
        _named="camera",
        _timeout_s=10.0,
        _response=_Answer(data),
        _boundary=b"--frame",
        _buffer=bytearray(),
        _filled_at=0.0,
    )
    seen = []
    while True:
        try:
            seen.append(reader.read().image.shape)
        except CorruptFrameError:
            continue
        except EdgeSDKError:
            return tuple(seen)


def _app(path: Path) -> object:
    settings = read_app(path)
    return (
        settings,
        settings.serve and parse_address(settings.serve),
        settings.mqtt and parse_broker(settings.mqtt),
    )


def _dataset(path: Path) -> object:
    dataset = read_dataset(path)
    return dataset.classes, len(dataset.photos)


def _labels_csv(folder: Path) -> Callable[[bytes], object]:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for name in ("0.png", "1.png", "2.png"):
        (folder / "images" / name).write_bytes(b"not looked at")

    def reading(data: bytes) -> object:
        (folder / "labels.csv").write_bytes(data)
        return _dataset(folder)

    return reading


def _packed_targets(folder: Path) -> Iterator[Target]:
    """Each file of a packed data set, the others whole; the manifest names each index, damaged or not."""
    for name, file in ((MANIFEST_FILE, MANIFEST_FILE), (INDEX_FILE, INDEX_FILE), ("shard", SHARD_FILE)):
        path = packed_folder(folder / name) / file
        seed, manifest = path.read_bytes(), (path.parent / MANIFEST_FILE).read_bytes()

        def reading(data: bytes, path: Path = path, seed: bytes = seed, manifest: bytes = manifest) -> object:
            path.write_bytes(data)
            if path.name == INDEX_FILE:
                before, after = (hashlib.sha256(index).hexdigest().encode() for index in (seed, data))
                (path.parent / MANIFEST_FILE).write_bytes(manifest.replace(before, after))
            dataset = read_dataset(path.parent)
            return dataset, tuple(_digest(photo.frame()) for photo in dataset.photos)

        yield Target(name=name, read=reading, seeds=(seed,), sealed=name == "shard", text=name != "shard")


def _keras(path: Path) -> object:
    """What is looked at before Keras sees a file."""
    return find_kind(path), repr(network_config(path, trust=False))
