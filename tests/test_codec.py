"""Codec, sessions and commands, with the photo codec that comes with edgesdk."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgesdk
from edgesdk import cli, modelfile
from edgesdk.contract import blocks_frame, code_bytes
from edgesdk.converted import Converted
from edgesdk.errors import DataError, ModelFileError, StreamError, WriteError
from edgesdk.preprocess import Pixels
from edgesdk.verbs import codec as codecverbs
from edgesdk_device.codec import (
    DECODER_FILE,
    ENCODER_FILE,
    Codec,
    compress_to_psnr,
    compress_within,
    find_codec,
    psnr,
    shipped_codecs,
)
from edgesdk_device.recording import record, replay
from edgesdk_device.session import Receiver, Sender


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    with Codec("photo") as opened:
        yield opened


def scene(height: int, width: int) -> Pixels:
    """A smooth picture with an edge and some texture, BGR."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    planes = [128 + 80 * np.sin(x / 19 + k) * np.cos(y / 23) + 40 * (x > width / 2) for k in range(3)]
    texture = 12 * np.sin(x * 1.3) * np.sin(y * 0.9)
    return np.clip(np.stack(planes, 2) + texture[..., None], 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (9, 3), (64, 64), (70, 131), (300, 270)])
def test_any_size_comes_back(codec: Codec, size: tuple[int, int]) -> None:
    frame = scene(*size)
    back = codec.decompress(codec.compress(frame, 90))
    assert back.shape == frame.shape
    assert psnr(frame, back) > 28


def test_twenty_megapixels_come_back(codec: Codec) -> None:
    frame = np.tile(scene(486, 648), (8, 8, 1))
    assert frame.shape[0] * frame.shape[1] > 20_000_000
    data = codec.compress(frame, 40)
    back = codec.decompress(data)
    assert back.shape == frame.shape
    assert psnr(frame, back) > 28


def test_more_quality_is_more_bytes_and_less_error(codec: Codec) -> None:
    frame = scene(128, 160)
    streams = [codec.compress(frame, quality) for quality in (1, 40, 100)]
    errors = [psnr(frame, codec.decompress(data)) for data in streams]
    assert len(streams[0]) < len(streams[1]) < len(streams[2])
    assert errors[0] < errors[1] < errors[2]


def test_grey_stays_grey_and_strange_frames_are_refused(codec: Codec) -> None:
    grey = scene(40, 50)[..., 0]
    back = codec.decompress(codec.compress(grey, 90))
    assert back.shape == grey.shape
    for wrong in (
        grey.astype(np.uint16),
        grey.astype(np.float32),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
    ):
        with pytest.raises(ValueError, match="expected"):
            codec.compress(wrong)
    with pytest.raises(ValueError, match="quality"):
        codec.compress(grey, 0)


def test_no_seam_shows_where_tiles_meet(codec: Codec) -> None:
    """A tile gives the same pixels wherever it was cut: shifting a picture by whole blocks shifts what comes back."""
    frame = scene(600, 344)
    one = codec.encode(frame, 60)
    other = codec.encode(np.ascontiguousarray(frame[80:]), 60)
    assert np.abs(one[16:].astype(int) - other[6:]).max() <= 1


def test_every_flipped_bit_is_detected_or_harmless(codec: Codec) -> None:
    data = codec.compress(scene(24, 16), 30)
    good = codec.decompress(data)
    assert len(data) < 150
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 0x80 >> bit % 8
        try:
            back = codec.decompress(bytes(damaged))
        except StreamError:
            continue
        assert np.array_equal(back, good), bit


def test_a_stream_cut_or_lengthened_is_refused(codec: Codec) -> None:
    data = codec.compress(scene(24, 16), 30)
    for end in range(len(data)):
        with pytest.raises(StreamError):
            codec.decompress(data[:end])
    with pytest.raises(StreamError):
        codec.decompress(data + b"\x01\x02")
    with pytest.raises(StreamError, match="no picture"):
        codec.decompress(b"\xff\xd8 a JPEG of somebody")


def test_a_claim_of_many_pixels_costs_nothing(codec: Codec) -> None:
    data = bytearray(codec.compress(scene(24, 16), 30))
    bomb = bytes(data[:8]) + b"\xff\xff\x03" + b"\xff\x7f" + bytes(data[10:])
    with pytest.raises(StreamError):
        codec.decompress(bomb)


def test_another_codecs_stream_is_refused_by_name(codec: Codec) -> None:
    data = bytearray(codec.compress(scene(24, 16), 30))
    data[3] ^= 0xFF
    with pytest.raises(StreamError, match=f"made by the codec .*, this one is .*{codec.id}"):
        codec.decompress(bytes(data))


def test_targets(codec: Codec) -> None:
    frame = scene(96, 128)
    within = compress_within(codec, frame, 1200)
    assert len(within.data) <= 1200
    assert within.quality == 100 or len(codec.compress(frame, within.quality + 1)) > 1200
    enough = compress_to_psnr(codec, frame, 30)
    assert enough.psnr_db is not None
    assert enough.psnr_db >= 30
    with pytest.raises(ValueError, match="need"):
        compress_within(codec, frame, 20)
    with pytest.raises(ValueError, match="gives"):
        compress_to_psnr(codec, frame, 90)


def test_a_session_comes_back_and_keeps_to_itself(codec: Codec) -> None:
    first, second = (Sender(codec, 48, 64, quality=50, number=number) for number in (1, 2))
    receiver = Receiver(codec, first.start)
    still, moved = scene(48, 64), scene(48, 64)
    moved[10:40, 10:50] = blocks_frame(3, 30, 40)
    for _ in range(8):
        sent = first.compress(still)
        assert np.array_equal(receiver.decompress(sent.data), codec.decompress(codec.compress(still, 50)))
    assert sent.activity == 1
    assert first.compress(moved).activity > 1.3
    with pytest.raises(StreamError, match="another session"):
        receiver.decompress(second.compress(still).data)
    for start in (first.start[:-1], first.start[:-1] + b"\0"):
        with pytest.raises(StreamError):
            Receiver(codec, start)
    with pytest.raises(StreamError, match="one picture"):
        Receiver(codec, codec.compress(still))
    with pytest.raises(StreamError, match="begins a session"):
        codec.decompress(first.start)
    with pytest.raises(ValueError, match="expected 48x64"):
        first.compress(scene(40, 64))


def test_every_flipped_bit_of_a_sessions_message_is_detected_or_harmless(codec: Codec) -> None:
    sender = Sender(codec, 24, 16, quality=30)
    receiver, data = Receiver(codec, sender.start), sender.compress(scene(24, 16)).data
    good = receiver.decompress(data)
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 0x80 >> bit % 8
        try:
            back = receiver.decompress(bytes(damaged))
        except StreamError:
            continue
        assert np.array_equal(back, good), bit


def test_both_runtimes_decode_to_the_same_integers(codec: Codec, tmp_path: Path) -> None:
    pytest.importorskip("tflite_runtime")
    stream = tmp_path / "scene.edc"
    stream.write_bytes(codec.compress(scene(64, 64), 60))
    # tflite-runtime fails beside TensorFlow, which other tests load: it gets a process of its own.
    job = (
        "import sys, warnings; warnings.simplefilter('ignore')\n"
        "from edgesdk_device.codec import Codec, unpack_head\n"
        "data = open(sys.argv[1], 'rb').read(); codec = Codec('photo', backend=sys.argv[2])\n"
        "head, end = unpack_head(data); code, _ = codec.unpack(data[end + 2:], head)\n"
        "codec.decompress(data); import hashlib; print(hashlib.sha256(code.tobytes()).hexdigest())"
    )
    codes = {
        subprocess.run([sys.executable, "-c", job, stream, name], capture_output=True, text=True, check=True).stdout
        for name in ("litert", "tflite-runtime")
    }
    assert len(codes) == 1


def test_halves_of_two_codecs_are_refused(codec: Codec, tmp_path: Path) -> None:
    folder = find_codec("photo")
    (tmp_path / ENCODER_FILE).write_bytes((folder / DECODER_FILE).read_bytes())
    with pytest.raises(ModelFileError, match="no codec's encoder"):
        _ = Codec(tmp_path).encoder
    with pytest.raises(ModelFileError, match="expected"):
        Codec(tmp_path / "nothing")


def test_the_shipped_codecs_are_small_proved_and_not_trained_on_kodak() -> None:
    assert "photo" in shipped_codecs()
    total = 0
    for name in shipped_codecs():
        for file in (ENCODER_FILE, DECODER_FILE):
            read = modelfile.read(find_codec(name) / file)
            total += read.path.stat().st_size
            contract = read.required_contract()
            assert any(row.runtime == "litert" and row.ok for row in contract.ran)
            assert contract.source.trained
            assert "kodak" not in contract.source.dataset
    assert total < 1_000_000
    encoder = modelfile.read(find_codec("photo") / ENCODER_FILE)
    assert len(encoder.content) <= 300_000
    assert encoder.required_contract().measured.macs <= 5000 * 256 * 256


def test_golden_codes_are_the_same_everywhere() -> None:
    made = code_bytes(0, 3, 4, 5)
    assert made.shape == (3, 4, 5)
    assert 125 <= made.min() <= made.max() <= 131


def test_the_commands_go_there_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    alpha = np.dstack([scene(40, 50), np.full((40, 50), 128, np.uint8)])
    for name, frame in (
        ("plain.png", scene(40, 50)),
        ("grey.png", scene(40, 50)[..., 0]),
        ("alpha.png", alpha),
        ("deep.png", scene(40, 50).astype(np.uint16) * 257),
    ):
        assert cv2.imwrite(str(photos / name), frame)
    assert cli.main(["compress", str(photos), "--quality", "80", "-o", str(tmp_path / "small")]) == 0
    assert capsys.readouterr().out.count("bit/pixel") == 4
    assert cli.main(["decompress", str(tmp_path / "small" / "*.edc"), "-o", str(tmp_path / "back")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    grey = np.repeat(scene(40, 50)[..., :1], 3, 2)
    on_white = np.rint(scene(40, 50) * (128 / 255) + 127).astype(np.uint8)
    for name, given in (("plain", scene(40, 50)), ("alpha", on_white), ("deep", scene(40, 50)), ("grey", grey)):
        back = cv2.imread(str(tmp_path / "back" / f"{name}.png"))
        assert psnr(given, np.asarray(back, np.uint8)) > 28, name
    assert cli.main(["compress", str(tmp_path / "nothing")]) == 1
    assert "names no photo" in capsys.readouterr().err
    (tmp_path / "bad.edc").write_bytes(b"no stream")
    assert cli.main(["decompress", str(tmp_path / "bad.edc")]) == 1
    assert "bad.edc: the data begins with" in capsys.readouterr().err


def test_a_source_becomes_a_session_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shots = tmp_path / "shots"
    shots.mkdir()
    for index in range(7):
        frame = scene(48, 64)
        if index == 6:
            frame[10:40, 10:50] = blocks_frame(1, 30, 40)
        assert cv2.imwrite(str(shots / f"{index}.png"), frame)
    out, events = tmp_path / "session.eds", tmp_path / "events.jsonl"
    asked = ["run", "photo", "--compress", str(out), "--source", str(shots), "--events", str(events)]
    assert cli.main(asked) == 0
    assert "frame 6: " in capsys.readouterr().out
    activity = [json.loads(line)["activity"] for line in events.read_text().splitlines()]
    assert activity[:6] == [1.0] * 6
    assert activity[6] > 1.3
    with Codec("photo") as codec:
        frames = list(replay(out.read_bytes(), codec))
    assert len(frames) == 7
    assert psnr(frames[0], scene(48, 64)) > 25
    assert cli.main(["decompress", str(out), "-o", str(tmp_path / "back")]) == 0
    names = sorted(path.name for path in (tmp_path / "back").iterdir())
    assert names == [f"session_0000{index}.png" for index in range(7)]
    assert np.array_equal(cv2.imread(str(tmp_path / "back" / names[6])), frames[6])
    out.write_bytes(out.read_bytes()[:-3])
    assert cli.main(["decompress", str(out), "-o", str(tmp_path / "cut")]) == 1
    assert "cut short" in capsys.readouterr().err
    assert len(list((tmp_path / "cut").iterdir())) == 6


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """A larger file fails as on a full disk: the system refuses what is over the limit."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "one.png"), scene(80, 90))
    with files_of_at_most(100), pytest.raises(WriteError, match="File too large"):
        list(codecverbs.compress([tmp_path / "one.png"]))
    assert [path.name for path in tmp_path.iterdir()] == ["one.png"]


def test_a_recording_stays_where_the_next_one_cannot_begin(codec: Codec, tmp_path: Path) -> None:
    out = tmp_path / "yard.eds"
    out.write_bytes(b"of yesterday")
    with pytest.raises(WriteError, match="nowhere"):
        record("photo", out, source="synthetic", events=tmp_path / "nowhere" / "log")
    damaged = tmp_path / "damaged.codec"
    damaged.mkdir()
    for half in ("encoder", "decoder"):
        (damaged / f"{half}.tflite").write_bytes(b"damaged")
    with pytest.raises(ModelFileError):
        record(damaged, out, source="synthetic")
    assert out.read_bytes() == b"of yesterday"


def test_a_disk_that_fills_leaves_the_whole_messages_of_a_session(codec: Codec, tmp_path: Path) -> None:
    shots, out = tmp_path / "shots", tmp_path / "session.eds"
    shots.mkdir()
    for index in range(6):
        assert cv2.imwrite(str(shots / f"{index}.png"), scene(48, 64))
    message = len(Sender(codec, 48, 64).compress(scene(48, 64)).data)
    seen = []
    with files_of_at_most(16 + int(3.5 * message)), pytest.raises(WriteError, match="cannot write"):
        seen.extend(record("photo", out, source=str(shots)))
    frames = []
    with pytest.raises(StreamError, match="cut short"):
        frames.extend(replay(out.read_bytes(), codec))
    assert len(frames) == 3
    assert psnr(frames[2], scene(48, 64)) > 25


def test_wrong_wishes_are_one_sentence(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "one.png"), scene(40, 50))
    assert cv2.imwrite(str(tmp_path / "one.bmp"), scene(40, 50))
    with pytest.raises(ValueError, match="would both become"):
        codecverbs.compress([tmp_path])
    with pytest.raises(ValueError, match="not both"):
        codecverbs.compress([tmp_path / "one.png"], target_bytes=500, psnr=30)
    with pytest.raises(ValueError, match="arch"):
        codecverbs.train_codec(tmp_path, arch="vgg")
    with pytest.raises(DataError, match="names no photo"):
        codecverbs.find_files([tmp_path / "*.jpg"], "photo")
    (tmp_path / "classes" / "cat").mkdir(parents=True)
    assert cv2.imwrite(str(tmp_path / "classes" / "cat" / "one.png"), scene(40, 50))
    with pytest.raises(DataError, match=r"a folder that holds some itself, or a pattern such as '.*classes/\*/\*'"):
        codecverbs.find_files([tmp_path / "classes"], "photo")
    assert len(codecverbs.find_files([tmp_path / "classes/*/*"], "photo")) == 1


def test_one_path_is_no_sequence_of_letters(int8_file: Converted, tmp_path: Path) -> None:
    """As it is typed in a notebook: without a list around it."""
    assert cv2.imwrite(str(tmp_path / "a.png"), np.zeros((16, 16, 3), np.uint8))
    (made,) = edgesdk.compress(str(tmp_path / "a.png"))
    assert list(edgesdk.decompress(made.path, out=tmp_path / "back.png")) == [tmp_path / "back.png"]
    with pytest.raises(ModelFileError, match=r"cannot read b\.tflite"):
        edgesdk.bench("b.tflite")
    with pytest.raises(ValueError, match="backend is 'none'"):
        edgesdk.bench(int8_file.path, backends=["none"])
