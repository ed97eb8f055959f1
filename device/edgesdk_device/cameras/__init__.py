"""Where frames come from, one kind a file: `open_source` picks it by what the user named."""

from contextlib import suppress
from pathlib import Path

from edgesdk.errors import SourceError
from edgesdk_device.cameras.folder import FolderSource
from edgesdk_device.cameras.frame import Frame, Notice, OnNotice, Source
from edgesdk_device.cameras.live import READ_GRACE_S, LiveSource, Reader
from edgesdk_device.cameras.opencv import Camera, VideoFile, VideoReader, has_gstreamer, is_pipeline, source_name
from edgesdk_device.cameras.options import CaptureOptions
from edgesdk_device.cameras.paced import Recording, play
from edgesdk_device.cameras.picamera import PicameraReader
from edgesdk_device.cameras.synthetic import SyntheticSource

__all__ = [
    "Camera",
    "CaptureOptions",
    "FolderSource",
    "Frame",
    "LiveSource",
    "Notice",
    "OnNotice",
    "Source",
    "SyntheticSource",
    "VideoFile",
    "open_source",
]

LONGEST_NUMBER = 9


def open_source(
    source: str | int | Path, *, options: CaptureOptions | None = None, on_notice: OnNotice | None = None
) -> Source:
    """Open a source of frames.

    Cameras, URLs and whatever is `paced` are live: see `LiveSource`. Files, folders and the synthetic source wait.

    Args:
        source: a camera's index (0), "picamera", a video file, a URL (http, https, rtsp, udp), a folder of photos, one
            photo, "synthetic", or a GStreamer pipeline where OpenCV has GStreamer.
        options: size and rate of a camera, time limits, pace.
        on_notice: gets what happens to a source that goes on all the same, at once and on the thread that found it.

    Raises:
        SourceError: if it is missing or cannot be opened.
        ValueError: if something live is to be paced.
    """
    options = options or CaptureOptions()
    text = str(source)
    is_live = text.isdecimal() or text == "picamera" or "://" in text or is_pipeline(text)
    if is_live and options.paced:
        raise ValueError(f"{source_name(text)} has its own pace; only files, folders and synthetic can be paced")
    if text.isdecimal():
        if len(text) > LONGEST_NUMBER:  # OpenCV takes 31 bits
            raise SourceError(f"there is no camera {text[:20]}: expected its number, such as 0")
        return Camera(int(text), options=options, on_notice=on_notice)
    if is_live:
        return _open_live(text, options, on_notice)

    def opened() -> Recording:
        path = Path(text)
        if text == "synthetic":
            return SyntheticSource()
        if path.is_dir() or (path.is_file() and FolderSource.is_photo(path)):
            return FolderSource(path, on_notice=on_notice)
        if path.is_file():
            return VideoFile(path, options=options, on_notice=on_notice)
        raise SourceError(
            f"no source {text!r}: expected a camera's number, picamera, a video, a photo folder, a URL or synthetic"
        )

    return play(opened, text, options=options, on_notice=on_notice) if options.paced else opened()


def _open_live(text: str, options: CaptureOptions, on_notice: OnNotice | None) -> Source:
    if is_pipeline(text) and not has_gstreamer():
        raise SourceError(
            "this OpenCV has no GStreamer, which the pipeline needs: install your system's python3-opencv instead of "
            "the wheel, or name a camera's number or a URL"
        )

    def connect() -> Reader:
        if text == "picamera":
            return PicameraReader(options)
        if text.startswith(("http://", "https://")):
            from edgesdk_device.cameras.mjpeg import MjpegReader, OtherStreamError

            with suppress(OtherStreamError):
                return MjpegReader(text, options.stall_s + READ_GRACE_S)
        return VideoReader(text, options)

    first = connect()
    if isinstance(first, VideoReader) and first.length:  # a recording behind a URL
        first.close()
        return VideoFile(text, options=options, on_notice=on_notice)
    return LiveSource(connect, source_name(text), first=first, options=options, on_notice=on_notice)
