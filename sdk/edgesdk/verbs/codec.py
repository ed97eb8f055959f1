"""The codec's verbs: train one, compress photos with it, bring them back."""

import glob
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgesdk.atomic import check_writable, make_folder, write_bytes, write_text
from edgesdk.codecs.stream import unpack_head
from edgesdk.errors import DataError, RunError, StreamError
from edgesdk.occupied import occupied
from edgesdk.runfolder import CODEC_CHECKPOINT_FILE, check_seed, refuse_other_kind, refuse_second
from edgesdk.verbs.paths import Paths, each

CODECS = ("compressor", "thumbnail")
SUFFIX = ".edc"
HISTORY_FILE = "history.json"
#: steps of the optimizer, crops a step, pixels a side, and the contrast of quality 1
PHOTO_LESSON = (5000, 2, 256, 1.5e-4, 0.1)
THUMBNAIL_LESSON = (8000, 32, 64, 3e-4, 0.3)
CAMERA_LESSON = (900, 2, 256, 1e-4, 0.3)
CAMERA_WIDTH = 320


@dataclass(frozen=True, kw_only=True)
class TrainedCodec:
    """A codec that was learned and exported.

    Attributes:
        path: its folder, with encoder.tflite, decoder.tflite and history.json.
        id: eight hexadecimal digits that its streams carry.
        history: {step, gain, bits_per_pixel, psnr_db} on held-out photos, estimated while it learned.
    """

    path: Path
    id: str
    history: tuple[dict[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class CompressedFile:
    """One photo that was compressed.

    Attributes:
        source, path: the photo, and its stream.
        height, width: in pixels.
        size_bytes: of the whole stream.
        quality: 1 to 100.
        psnr_db: of what comes back, where it was asked for.
    """

    source: Path
    path: Path
    height: int
    width: int
    size_bytes: int
    quality: int
    psnr_db: float | None = None

    @property
    def bits_per_pixel(self) -> float:
        """Of the whole stream."""
        return 8 * self.size_bytes / (self.height * self.width)


def train_codec(
    data: Path | str = "",
    *,
    arch: str = "compressor",
    camera: Path | str | None = None,
    init_from: Path | str | None = None,
    res: int = 0,
    steps: int = 0,
    seed: int = 0,
    resume: bool = False,
    out: Path | str | None = None,
    quiet: bool = True,
) -> TrainedCodec:
    """Learn a codec and write its two proved halves.

    Args:
        data: a folder of photos; without it a camera's video.
        arch: "compressor" for photos of any size, "thumbnail" for whole photos of 64x64 pixels.
        camera: a video of a fixed camera: learn the difference of its frames from its background.
        init_from: a codec to go on from; the photo codec that comes with edgesdk for a camera, else nothing.
        res: width of a camera's frames, 320 if 0; a thumbnail's side, 64.
        steps: of learning; 0 chooses.
        resume: go on from what was interrupted in the folder.
        out: the codec's folder.

    Raises:
        EdgeSDKError, ValueError: one sentence each.
    """
    if arch not in CODECS:
        raise ValueError(f"arch is {arch!r}, expected one of {', '.join(CODECS)}")
    if arch == "thumbnail" and res not in (0, 64):
        raise ValueError(f"res is {res}, expected 64: thumbnails have 64x64 pixels")
    if steps < 0:
        raise ValueError(f"steps is {steps}, expected 0 to choose by kind, or more")
    check_seed(seed)
    if bool(data) == (camera is not None):
        found = "both" if data else "neither"
        raise ValueError(f"{found} were named of a folder of photos and --camera VIDEO: name one of them")
    kind = arch if camera is None else "camera"
    name = Path(str(data) if camera is None else str(camera)).resolve().stem
    folder = Path(out) if out is not None else Path(f"{kind}_{name}.codec")
    if (folder / "decoder.tflite").exists():
        raise RunError(f"{folder} holds a finished codec: name another folder with -o")
    refuse_other_kind(folder, CODEC_CHECKPOINT_FILE)
    if not resume and (folder / CODEC_CHECKPOINT_FILE).is_file():
        refuse_second(folder, finished=False)
    if camera is not None and (arch != "compressor" or not Path(camera).is_file()):
        raise ValueError(f"--camera is {camera} and --arch {arch}, expected a video file and compressor")
    from edgesdk_convert.codec import export_codec
    from edgesdk_device.codec import find_codec
    from edgesdk_train import compression
    from edgesdk_train.ratedistortion import Lesson

    chosen = {"compressor": PHOTO_LESSON, "thumbnail": THUMBNAIL_LESSON, "camera": CAMERA_LESSON}[kind]
    length, batch, side, rate, lowest = chosen
    lesson = Lesson(steps=steps or length, batch=batch, side=side, rate=rate, gains=(lowest, 1.0), seed=seed)
    start = None if init_from is None and camera is None else find_codec(init_from or "photo")
    with occupied(folder, wait=False, quiet=quiet):
        if camera is not None:
            assert start is not None
            width = res or CAMERA_WIDTH
            learned = compression.learn_camera(
                camera, width, folder, lesson, init_from=start, resume=resume, quiet=quiet
            )
        elif arch == "thumbnail":
            learned = compression.learn_thumbnails(data, folder, lesson, resume=resume, quiet=quiet)
        else:
            learned = compression.learn_photos(data, folder, lesson, init_from=start, resume=resume, quiet=quiet)
        contract, _ = export_codec(learned, folder, name=f"{kind} {name}", quiet=quiet)
        write_text(folder / HISTORY_FILE, json.dumps(learned.history, indent=1))
        (folder / CODEC_CHECKPOINT_FILE).unlink(missing_ok=True)
    assert contract.codec is not None
    return TrainedCodec(path=folder, id=contract.codec.id, history=tuple(learned.history))


def compress(
    sources: Paths,
    *,
    codec: Path | str = "photo",
    quality: int = 50,
    target_bytes: int | None = None,
    psnr: float | None = None,
    out: Path | str | None = None,
    backend: str = "auto",
    threads: int = 1,
) -> Iterator[CompressedFile]:
    """Compress photos, one stream a photo.

    Args:
        sources: photos, folders and patterns such as "shots/*.png".
        codec: "photo", "thumbnail" or a codec's folder.
        quality: 1 to 100; `target_bytes` (at most so many a photo) or `psnr` (at least so many dB) choose it instead.
        out: a folder; beside each photo if None.

    Returns:
        An iterator that compresses the next photo when it is asked for it: nothing is written before.

    Raises:
        DataError: if there is no such photo, or one is unreadable.
        EdgeSDKError, ValueError: one sentence each.
    """
    if target_bytes is not None and psnr is not None:
        raise ValueError("name either target_bytes or psnr, not both")
    photos = find_files(sources, "photo")
    folder = None if out is None else Path(out)
    paths = [(folder or photo.parent) / f"{photo.stem}{SUFFIX}" for photo in photos]
    _prepare(folder, paths, photos)
    from edgesdk_device import codec as device

    def made() -> Iterator[CompressedFile]:
        with device.Codec(codec, backend=backend, threads=threads) as opened:
            for photo, path in zip(photos, paths, strict=True):
                frame, _ = device.as_frame(photo)
                if target_bytes is not None:
                    done = device.compress_within(opened, frame, target_bytes)
                elif psnr is not None:
                    done = device.compress_to_psnr(opened, frame, psnr)
                else:
                    done = device.Compressed(data=opened.compress(frame, quality), quality=quality)
                write_bytes(path, done.data)
                yield CompressedFile(
                    source=photo,
                    path=path,
                    height=frame.shape[0],
                    width=frame.shape[1],
                    size_bytes=len(done.data),
                    quality=done.quality,
                    psnr_db=done.psnr_db,
                )

    return made()


def decompress(
    sources: Paths,
    *,
    codec: Path | str | None = None,
    out: Path | str | None = None,
    backend: str = "auto",
    threads: int = 1,
) -> Iterator[Path]:
    """Bring compressed photos back as PNG files; of a session's file NAME its frames as NAME_00000.png and so on.

    Args:
        sources: streams, folders of .edc files, and patterns.
        codec: as in `compress`; found by the stream's id among those that come with edgesdk if None.
        out: a folder, or the name of one .png; beside each stream if None.

    Returns:
        An iterator that writes the next picture when it is asked for it.

    Raises:
        StreamError: if a stream is damaged or of a codec that is not here.
        EdgeSDKError, ValueError: one sentence each.
    """
    streams = find_files(sources, "stream", SUFFIX)
    single = out is not None and Path(out).suffix.lower() == ".png"
    if single and len(streams) > 1:
        raise ValueError(f"{len(streams)} streams cannot all become {out}: name a folder")
    folder = None if out is None or single else Path(out)
    paths = [Path(str(out)) if single else (folder or stream.parent) / f"{stream.stem}.png" for stream in streams]
    _prepare(folder, paths, streams)

    def made() -> Iterator[Path]:
        import cv2

        from edgesdk_device.codec import Codec, codec_of
        from edgesdk_device.recording import replay

        opened: dict[Path | str, Codec] = {}
        try:
            for stream, path in zip(streams, paths, strict=True):
                data = _read(stream)
                try:
                    name = codec_of(data) if codec is None else codec
                    if name not in opened:
                        opened[name] = Codec(name, backend=backend, threads=threads)
                    if unpack_head(data)[0].session is None:
                        frames = iter([(path, opened[name].decompress(data))])
                    else:
                        numbered = enumerate(replay(data, opened[name]))
                        frames = ((path.with_stem(f"{path.stem}_{index:05}"), frame) for index, frame in numbered)
                    for target, frame in frames:
                        encoded, png = cv2.imencode(".png", frame)
                        assert encoded
                        yield write_bytes(target, png.tobytes())
                except StreamError as error:
                    raise StreamError(f"{stream}: {error}") from error
        finally:
            for one in opened.values():
                one.close()

    return made()


def find_files(sources: Paths, kind: str, suffix: str = "") -> list[Path]:
    """The files that are named: themselves, those in a folder (of the suffix, photos if ""), those a pattern finds.

    Raises:
        DataError: if a name finds nothing.
    """
    photos = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm")
    found: list[Path] = []
    for source in each(sources):
        path = Path(source)
        if path.is_dir():
            wanted = (suffix,) if suffix else photos
            inside = sorted(item for item in path.iterdir() if item.suffix.lower() in wanted)
        else:
            inside = [path] if path.is_file() else sorted(Path(name) for name in glob.glob(str(source)))  # noqa: PTH207
            inside = [item for item in inside if item.is_file()]
        if not inside:
            raise DataError(
                f"{source} names no {kind}: expected a file, a folder that holds some itself, or a pattern such as "
                f"'{path if path.is_dir() else 'photos'}/*/*'"
            )
        found += inside
    return found


def _prepare(folder: Path | None, paths: Sequence[Path], sources: Sequence[Path]) -> None:
    """Make the folder once it is sure that each source has a name of its own and can be written."""
    taken: dict[Path, Path] = {}
    for path, source in zip(paths, sources, strict=True):
        if path in taken:
            raise ValueError(
                f"{taken[path]} and {source} would both become {path}: take them one after the other, with another "
                "folder for -o"
            )
        taken[path] = source
    if folder is not None:
        make_folder(folder)
    for path in {path.parent: path for path in paths}.values():
        check_writable(path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
