"""Codecs that are learned here, a few steps each: what comes out works, whatever it is worth."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow")

from edgesdk import cli
from edgesdk.codecs.context import earlier_groups
from edgesdk.contract import blocks_frame
from edgesdk.errors import DataError, RunError
from edgesdk.preprocess import Pixels
from edgesdk.verbs.codec import train_codec
from edgesdk_device.codec import Codec, codec_of, find_codec, psnr
from edgesdk_device.entropy import decode_code, encode_code
from edgesdk_device.session import Receiver, Sender
from edgesdk_train import codetables, compression, ratedistortion
from edgesdk_train.codetables import Example, fit_tables
from edgesdk_train.models.compressor import Shape, lapping, reorder


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of a few steps on a few codes."""
    monkeypatch.setattr(codetables, "STEPS", 10)
    monkeypatch.setattr(compression, "EXAMPLES", 12)
    monkeypatch.setattr(compression, "EXAMPLE_PLACES", 100)


def yard(moved: int) -> Pixels:
    """A camera's frame, 96x128: a slope, and a box somewhere."""
    y, x = np.mgrid[:96, :128]
    frame = np.stack([60 + x, 40 + y, 90 + x // 2 + y // 2], 2).astype(np.uint8)
    frame[30:60, moved : moved + 25] = (30, 200, 220)
    return frame


@pytest.mark.usefixtures("hasty")
def test_a_camera_is_learned_from_its_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = tmp_path / "yard.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 10, (128, 96))
    for index in range(30):
        writer.write(yard(3 * index))
    writer.release()
    folder = tmp_path / "yard.codec"
    asked = ["train", "--arch", "compressor", "--camera", str(video), "--res", "128", "--steps", "2", "-o", str(folder)]
    assert cli.main([*asked, "--quiet"]) == 0
    assert "bit/pixel at" in capsys.readouterr().out
    assert {path.name for path in folder.iterdir()} == {"encoder.tflite", "decoder.tflite", "history.json"}
    assert json.loads((folder / "history.json").read_text())[-1]["step"] == 2
    with Codec(folder) as codec:
        assert codec.part.background
        sender = Sender(codec, 96, 128, quality=90)
        receiver = Receiver(codec, sender.start)
        frame = yard(50)
        assert psnr(frame, receiver.decompress(sender.compress(frame).data)) > 28
    with pytest.raises(RunError, match="finished codec"):
        train_codec(camera=video, out=folder)
    with pytest.raises(DataError, match="gave 0 frames"):
        (tmp_path / "no.avi").write_bytes(b"no video")
        train_codec(camera=tmp_path / "no.avi", out=tmp_path / "no.codec")


def test_of_a_video_of_unknown_length_frames_are_taken_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "MOST_FRAMES", 40)
    frames = [np.full((64, 64, 3), 2 * index, np.uint8) for index in range(105)]
    (tmp_path / "bare.mjpeg").write_bytes(b"".join(cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames))
    found = compression.read_frames(tmp_path / "bare.mjpeg", 64)
    assert 20 <= len(found) <= 40
    steps = np.diff(found[:, 0, 0, 0].astype(int))
    assert np.abs(steps - steps.mean()).max() <= 2


def photos_of(folder: Path) -> Path:
    folder.mkdir()
    for seed in range(24):
        assert cv2.imwrite(str(folder / f"{seed}.png"), cv2.GaussianBlur(blocks_frame(seed, 140, 150), (9, 9), 2))
    return folder


@pytest.mark.usefixtures("hasty")
def test_a_seed_is_of_everything_also_of_what_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos, kept = photos_of(tmp_path / "photos"), tmp_path / "kept"
    one = train_codec(photos, arch="thumbnail", steps=3, out=tmp_path / "one")
    monkeypatch.setattr(ratedistortion, "CHECKPOINT_STEPS", 2)
    save = ratedistortion._save

    def save_and_stop(*arguments: Any) -> None:
        save(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(ratedistortion, "_save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        train_codec(photos, arch="thumbnail", steps=3, out=kept)
    monkeypatch.setattr(ratedistortion, "_save", save)
    assert train_codec(photos, arch="thumbnail", steps=3, out=kept, resume=True).id == one.id
    (photos / "0.png").unlink()
    assert train_codec(photos, arch="thumbnail", steps=3, out=tmp_path / "two").id != one.id


@pytest.mark.usefixtures("hasty")
def test_photos_and_thumbnails_are_learned_from_a_folder(tmp_path: Path) -> None:
    photos = photos_of(tmp_path / "photos")
    frame = np.asarray(cv2.imread(str(photos / "0.png")), np.uint8)
    for arch in ("compressor", "thumbnail"):
        made = train_codec(photos, arch=arch, steps=2, out=tmp_path / arch)
        with Codec(made.path) as codec:
            assert codec.id == made.id
            back = codec.decompress(codec.compress(frame, 100))
        assert back.shape == frame.shape
        assert psnr(frame, back) > (28 if arch == "compressor" else 15)
    with pytest.raises(DataError, match="too few"):
        train_codec(tmp_path / "compressor", steps=2, out=tmp_path / "none")


@pytest.mark.usefixtures("hasty")
def test_a_codec_goes_on_with_what_it_was_begun_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("photos", "others"):
        (tmp_path / name).mkdir()
        for seed in range(24):
            cv2.imwrite(str(tmp_path / name / f"{seed}.png"), blocks_frame(seed + len(name), 140, 150))
    photos, out = tmp_path / "photos", tmp_path / "own.codec"
    monkeypatch.setattr(ratedistortion, "CHECKPOINT_STEPS", 2)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(compression, "tables_of", interrupt)  # Ctrl-C after the last checkpoint
        train_codec(photos, arch="thumbnail", steps=4, out=out)
    with pytest.raises(RunError, match="an unfinished run: continue it with --resume"):
        train_codec(photos, arch="thumbnail", steps=4, out=out)
    for other, said in (({"steps": 2}, "steps 4, now it is 2"), ({"seed": 1}, "seed 0, now it is 1")):
        with pytest.raises(RunError, match=f"begun with {said}"):
            train_codec(photos, arch="thumbnail", out=out, resume=True, **{"steps": 4, **other})
    with pytest.raises(RunError, match="begun with dataset photos, now it is others"):
        train_codec(tmp_path / "others", arch="thumbnail", steps=4, out=out, resume=True)
    (photos / "0.png").unlink()
    with pytest.raises(RunError, match="begun with other photos than are there now"):
        train_codec(photos, arch="thumbnail", steps=4, out=out, resume=True)
    cv2.imwrite(str(photos / "0.png"), blocks_frame(len("photos"), 140, 150))
    done = train_codec(photos, arch="thumbnail", steps=4, out=out, resume=True)
    assert [row["step"] for row in done.history] == [2, 2, 4, 4]  # also what was shown before
    assert {path.name for path in out.iterdir()} == {"encoder.tflite", "decoder.tflite", "history.json"}


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_weights_come_back_from_the_shipped_files() -> None:
    model = compression.load_compressor(find_codec("photo"), Shape())
    frame = np.tile(blocks_frame(5, 64, 64), (1, 2, 1))
    values = (frame[None].astype(np.float32) - 128) * np.float32(0.5)
    code = compression.encode_mirrored(model, np.rint(values)).numpy()
    with Codec("photo") as codec:
        quality = next(q for q in range(1, 101) if codec.part.gain(q) > 0.5) - 1
        near = codec.encode(np.ascontiguousarray(frame[..., ::-1]), quality)
    assert np.mean(np.abs(np.rint(code[0]) - near)) < 0.2
    order = np.arange(96)[::-1]
    before = compression.encode_mirrored(model, values).numpy()
    reorder(model, order)
    assert np.allclose(compression.encode_mirrored(model, values).numpy(), before[..., order], atol=1e-4)


def test_lapping_is_undone_by_its_inverse() -> None:
    before, after = lapping(8)
    line = np.random.default_rng(0).normal(0, 50, 8 * 9)
    blocks = np.stack([before @ line[start : start + 24] for start in range(0, 48 + 1, 8)]).reshape(-1)
    back = np.stack([after @ blocks[start : start + 24] for start in range(0, 32 + 1, 8)]).reshape(-1)
    assert np.allclose(back, line[16:56])


def test_tables_learn_what_neighbours_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one channel tells how large another's values are, tables that know of it save bits."""
    monkeypatch.setattr(codetables, "STEPS", 150)
    rng = np.random.default_rng(1)

    def code(linked: bool) -> np.ndarray:  # type: ignore[type-arg]
        busy = rng.random((24, 24, 1)) < 0.2
        other = busy if linked else rng.random((24, 24, 1)) < 0.2
        loud = [np.where(where, rng.normal(0, 12, (24, 24, 2)), 0.1) for where in (busy, busy, other)]
        return np.rint(np.concatenate([np.zeros((24, 24, 1)), *loud], 2)).astype(np.int8)

    sizes, sent = [], code(linked=True)
    for linked in (True, False):
        tables = fit_tables([Example(code=code(linked), level=0) for _ in range(12)], predicted=1, levels=1)
        assert not tables.here[~earlier_groups(7, 1)].any()
        data, kept = encode_code(sent, tables, 0, lambda _: 0)
        assert np.array_equal(decode_code(data, sent.shape, tables, 0)[0], kept)
        sizes.append(len(data))
    assert sizes[0] < 0.95 * sizes[1]


def test_the_stream_names_its_codec() -> None:
    with Codec("thumbnail") as codec:
        assert codec_of(codec.compress(blocks_frame(1, 50, 60))) == "thumbnail"
