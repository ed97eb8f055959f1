"""Whole inputs of every kind that `fuzztargets.py` reads, for `fuzz.py` to damage."""

import base64
import csv
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from edgesdk.contract import blocks_frame
from edgesdk.photos.data import Dataset
from edgesdk.photos.shards import Shard, write_manifest

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


SHARD_FILE = "train-00000-of-00001.tfrecord"


def photos() -> Iterator[bytes]:
    """Pictures of every format that is read."""
    frame = blocks_frame(1, 48, 64)
    alpha = np.dstack([frame, np.full((48, 64), 100, np.uint8)])
    for ending, picture in ((".jpg", frame), (".png", frame), (".png", alpha), (".webp", frame), (".bmp", frame)):
        yield cv2.imencode(ending, picture)[1].tobytes()
    yield cv2.imencode(".tiff", frame)[1].tobytes()
    yield cv2.imencode(".ppm", frame)[1].tobytes()


def multipart() -> bytes:
    """Three pictures of a network camera."""
    jpeg = cv2.imencode(".jpg", blocks_frame(0, 16, 16))[1].tobytes()
    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
    return (head + jpeg + b"\r\n") * 2 + b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg + b"\r\n--frame--"


def run_json() -> bytes:
    """What `train` notes."""
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


def generative_json() -> bytes:
    """What `train` notes of a network that generates."""
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


def report_json() -> bytes:
    """One measurement of `bench`."""
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


def npz() -> bytes:
    """Twelve pictures as arrays."""
    buffer = io.BytesIO()
    x = np.random.default_rng(0).integers(0, 256, (12, 6, 6)).astype(np.uint8)
    np.savez_compressed(buffer, x_train=x, y_train=np.arange(12) % 3, classes=np.array(["a", "b", "c"]))
    return buffer.getvalue()


def tar_of(kind: str) -> bytes:
    """An archive of three photos, packed as `kind` says."""
    buffer = io.BytesIO()
    png = cv2.imencode(".png", blocks_frame(0, 8, 8))[1].tobytes()
    with tarfile.open(fileobj=buffer, mode=f"w:{kind}") as tar:  # type: ignore[call-overload]
        for name in ("a/1.png", "a/2.png", "b/1.png", "notes.txt"):
            item = tarfile.TarInfo(name)
            item.size = len(png)
            tar.addfile(item, io.BytesIO(png))
    return buffer.getvalue()


def labels_csv() -> bytes:
    """A table of three photos."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(("file", "class_index", "label", "split"))
    rows.writerows((f"{index}.png", index, name, "train") for index, name in enumerate(("cat", "dog", "owl")))
    return text.getvalue().encode()


def keras_zip() -> bytes:
    """A Keras file, as far as it is looked at before Keras sees it."""
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


def packed_folder(folder: Path) -> Path:
    """A data set of six photos in two shards as `pack` writes it, but that nobody looks at the heads of its records."""
    folder.mkdir(parents=True)
    rows, shards = [], []
    for number, split in enumerate(("train", "test")):
        name, content = f"{split}-00000-of-00001.tfrecord", b""
        for index in range(3):
            png = cv2.imencode(".png", blocks_frame(3 * number + index, 8, 8))[1].tobytes()
            check = hashlib.sha256(png).hexdigest()[:16]
            about = {"photo": f"{'ab'[index % 2]}/{number}{index}.png", "label": index % 2, "split": split}
            about |= {"digest": check, "shard": number, "offset": len(content) + 12, "size": len(png)}
            rows.append(about | {"check": check, "whole": 1})
            content += bytes(12) + png + bytes(4)
        (folder / name).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        shards.append(Shard(file=name, size_bytes=len(content), sha256=digest, photos=3))
    dataset = Dataset(name="packed", classes=("a", "b"), photos=(), fingerprint=hashlib.sha256(b"").hexdigest())
    write_manifest(folder, dataset, rows, shards)
    return folder
