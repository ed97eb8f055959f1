"""Everything of ours that reads bytes from outside, each with whole inputs to begin from; `fuzz.py` damages them."""

import base64
import csv
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgesdk import modelfile
from edgesdk.baseline import read_baseline
from edgesdk.codecs.stream import write_varint
from edgesdk.contract import blocks_frame, from_json
from edgesdk.errors import DataError, EdgeSDKError
from edgesdk.generation import read_generated
from edgesdk.metadata import build_metadata
from edgesdk.photos.data import read_dataset, read_labels
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

TOML_APP = b"""source = "synthetic"
serve = 8000
events = "events.jsonl"
mqtt = "mqtt://camera@broker.local:1883/house"
[decisions]
threshold = 0.6
window = 9
votes = 5
cooldowns_s = { cat = 3.5 }
region = [0.25, 0.0, 0.75, 1.0]
[capture]
fps = 30.0
loop = true
paced = true
"""
TOML_FLEET = b"""[devices.kitchen]
on = "pi@kitchen"
[devices.door]
on = "pi@door"
command = "/opt/edgesdk/bin/edgesdk"
backends = ["litert"]
threads = [1, 4]
"""
LOG = b"""STARTING!
Num threads: [2]
Graph: [model.tflite]
count=50 first=812 curr=700 min=690 max=1402 avg=730.2 std=20
count=200 first=705 curr=701 min=688 max=950 avg=704.5 std=11
Inference timings in us: Init: 1203, First inference: 812, Warmup (avg): 730.2, Inference (avg): 704.5
Peak memory footprint (MB): init=2.1 overall=5.2
"""


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
        Target(name="photo", read=_photo, seeds=tuple(_photos())),
        Target(name="camera stream", read=_camera, seeds=(_multipart(),)),
        Target(name="run.json", read=_in_folder(folder / "run", "run.json", read_run), seeds=(_run(),), text=True),
        Target(
            name="generative.json",
            read=_in_folder(folder / "gan", "generative.json", read_generated),
            seeds=(_generative(),),
            text=True,
        ),
        Target(name="app.toml", read=_by_path(folder / "app.toml", _app), seeds=(TOML_APP,), text=True),
        Target(name="fleet.toml", read=_by_path(folder / "fleet.toml", read_fleet), seeds=(TOML_FLEET,), text=True),
        Target(name="report.json", read=_by_path(folder / "b.json", read_baseline), seeds=(_report(),), text=True),
        Target(name="benchmark log", read=_by_path(folder / "b.log", read_log), seeds=(LOG,), text=True),
        Target(name="labels.txt", read=_by_path(folder / "l.txt", read_labels), seeds=(b"cat\ndog\nowl\n",), text=True),
        Target(name="npz", read=_by_path(folder / "d.npz", _dataset), seeds=(_npz(),)),
        Target(name="tar", read=_by_path(folder / "d.tar", _dataset), seeds=(_tar(""), _tar("gz"), _tar("xz"))),
        Target(name="labels.csv", read=_labels_csv(folder / "listed"), seeds=(_csv(),), text=True),
        Target(name="Keras file", read=_by_path(folder / "k.keras", _keras), seeds=(_keras_zip(),)),
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


def _photos() -> Iterator[bytes]:
    frame = blocks_frame(1, 48, 64)
    alpha = np.dstack([frame, np.full((48, 64), 100, np.uint8)])
    for ending, picture in ((".jpg", frame), (".png", frame), (".png", alpha), (".webp", frame), (".bmp", frame)):
        yield cv2.imencode(ending, picture)[1].tobytes()
    yield cv2.imencode(".tiff", frame)[1].tobytes()
    yield cv2.imencode(".ppm", frame)[1].tobytes()


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


def _multipart() -> bytes:
    jpeg = cv2.imencode(".jpg", blocks_frame(0, 16, 16))[1].tobytes()
    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
    return (head + jpeg + b"\r\n") * 2 + b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg + b"\r\n--frame--"


def _app(path: Path) -> object:
    settings = read_app(path)
    return (
        settings,
        settings.serve and parse_address(settings.serve),
        settings.mqtt and parse_broker(settings.mqtt),
    )


def _run() -> bytes:
    from edgesdk.contract import Source
    from edgesdk.preprocess import ImageInput
    from edgesdk.runfolder import Learning, Run
    from edgesdk.spec import make_spec

    run = Run(
        spec=make_spec("mobilenet_v1", 0.25, 48),
        classes=("cat", "dog"),
        input=ImageInput(height=48, width=48),
        source=Source(dataset="photos"),
        learning=Learning(epochs=3),
        data="photos",
        top1=0.9,
        top1_n=20,
        confusions=(("cat", "dog", "2"),),
    )
    return json.dumps(asdict(run), indent=1).encode()


def _generative() -> bytes:
    from edgesdk.contract import Source
    from edgesdk.generation import Generated, Generation
    from edgesdk.preprocess import ImageInput
    from edgesdk.spec import ModelSpec

    run = Generated(
        spec=ModelSpec(arch="vae", width=1.0, res=28, classes=2),
        classes=("0", "1"),
        input=ImageInput(height=28, width=28, channels=1, color="gray"),
        source=Source(dataset="digits"),
        generation=Generation(),
        data="digits",
        results={"elbo": -80.5},
    )
    return json.dumps(asdict(run), indent=1).encode()


def _report() -> bytes:
    from edgesdk.measurement import Measurement, Percentiles

    times = Percentiles(p50=1.0, p90=1.2, p99=1.5, max=2.0, n=6)
    row = Measurement(
        model="m",
        path="m.tflite",
        sha256="0" * 64,
        size_bytes=9,
        backend="litert",
        threads=1,
        nodes=3,
        delegated_nodes=3,
        cpu_over_wall=1.0,
        load_ms=1.0,
        first_invoke_ms=1.0,
        invoke_ms=times,
        frame_ms=times,
        peak_rss_bytes=1000,
        samples_ms=(1.0, 1.1, 1.0, 1.2, 1.1, 1.0),
        blocks=(3, 3),
        yardstick_ms=(1.0, 1.0),
    )
    return json.dumps([asdict(row)], indent=1).encode()


def _npz() -> bytes:
    buffer = io.BytesIO()
    x = np.random.default_rng(0).integers(0, 256, (12, 6, 6)).astype(np.uint8)
    np.savez_compressed(buffer, x_train=x, y_train=np.arange(12) % 3, classes=np.array(["a", "b", "c"]))
    return buffer.getvalue()


def _tar(kind: str) -> bytes:
    buffer = io.BytesIO()
    png = cv2.imencode(".png", blocks_frame(0, 8, 8))[1].tobytes()
    with tarfile.open(fileobj=buffer, mode=f"w:{kind}") as tar:  # type: ignore[call-overload]
        for name in ("a/1.png", "a/2.png", "b/1.png", "notes.txt"):
            item = tarfile.TarInfo(name)
            item.size = len(png)
            tar.addfile(item, io.BytesIO(png))
    return buffer.getvalue()


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


def _csv() -> bytes:
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(("file", "class_index", "label", "split"))
    rows.writerows((f"{index}.png", index, name, "train") for index, name in enumerate(("cat", "dog", "owl")))
    return text.getvalue().encode()


def _keras(path: Path) -> object:
    """What is looked at before Keras sees a file."""
    return find_kind(path), repr(network_config(path, trust=False))


def _keras_zip() -> bytes:
    buffer = io.BytesIO()
    config = {
        "class_name": "Functional",
        "config": {
            "name": "m",
            "layers": [{"class_name": "Dense", "module": "keras.layers", "config": {"name": "d", "units": 3}}],
        },
    }
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.9.0"}))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", base64.b64decode("iUhERg0KGgo="))
    return buffer.getvalue()
