"""Cameras, video files and URLs through OpenCV."""

import math
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from edgesdk.errors import SourceError
from edgesdk_device.cameras.address import without_password
from edgesdk_device.cameras.frame import Frame, Notice, OnNotice
from edgesdk_device.cameras.live import READ_GRACE_S, CorruptFrameError, LiveSource
from edgesdk_device.cameras.memory import FrameMemory
from edgesdk_device.cameras.options import CaptureOptions


class VideoReader:
    """One connection to a camera (index), a URL (rtsp, udp, http, ...) or a GStreamer pipeline; see `live.Reader`.

    A URL waits `stall_s` for its answer and for each frame at most. FFmpeg decodes on one thread: with more it would
    hold back a frame for each.

    Raises:
        SourceError: if it cannot be opened.
    """

    def __init__(self, source: int | str, options: CaptureOptions) -> None:
        cv2 = import_opencv(options)
        self._named = source_name(source)
        open_ms, read_ms = (math.ceil(limit_s * 1000) for limit_s in (options.stall_s, options.stall_s + READ_GRACE_S))
        if isinstance(source, int):
            self._capture = cv2.VideoCapture(source)
            self._choose(cv2, options)
            way_out = "is one plugged in, and free? `edgesdk doctor` lists the cameras here"
        elif is_pipeline(source):
            self._capture = cv2.VideoCapture(source, cv2.CAP_GSTREAMER)
            way_out = "try the pipeline with gst-launch-1.0; it must end in `! videoconvert ! appsink`"
        else:
            wanted = (
                *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, open_ms),
                *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, read_ms),
                *(cv2.CAP_PROP_N_THREADS, 1),
            )
            self._capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, wanted)
            way_out = "check that the address answers, with `ffplay` for example"
        if not self._capture.isOpened():
            raise SourceError(f"cannot open {self._named}: {way_out}")
        self._stamped = isinstance(source, int)
        self._memory = FrameMemory()
        self._position = cv2.CAP_PROP_POS_MSEC
        #: of a recording behind a URL; 0 where no end is known.
        self.length = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))) if isinstance(source, str) else 0

    def _choose(self, cv2: Any, options: CaptureOptions) -> None:
        if options.fourcc is not None:  # before the size: it decides which sizes there are
            self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*options.fourcc))
        for name, value in (("WIDTH", options.width), ("HEIGHT", options.height)):
            if value is not None:
                self._capture.set(getattr(cv2, f"CAP_PROP_FRAME_{name}"), value)
        if options.fps is not None:
            self._capture.set(cv2.CAP_PROP_FPS, options.fps)
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)

    def read(self) -> Frame:
        """The next frame."""
        if not self._capture.grab():
            raise SourceError(f"{self._named} gives no more frames")
        arrived = time.monotonic()
        if self._stamped:
            # V4L2 stamps a buffer with the same clock when its first byte arrives; other systems do not.
            stamp = self._capture.get(self._position) / 1e3
            arrived = stamp if 0 <= arrived - stamp < 1 else arrived
        ok, image = self._capture.retrieve(self._memory.spare())
        if not ok:
            raise CorruptFrameError("it does not decode")
        captured_at = time.monotonic()
        return Frame(
            image=self._memory.keep(image), index=0, captured_at=captured_at, capture_ms=(captured_at - arrived) * 1e3
        )

    def interrupt(self) -> None:
        """OpenCV cannot be woken: the read ends at its timeout."""

    def close(self) -> None:
        """Let it go."""
        self._capture.release()


class Camera(LiveSource):
    """A camera by its number; `open_source` takes everything else too.

        with Camera(0) as camera:
            for frame in camera: ...

    Raises:
        SourceError: if there is none, or it is in use.
    """

    def __init__(
        self, index: int = 0, *, options: CaptureOptions | None = None, on_notice: OnNotice | None = None
    ) -> None:
        options = options or CaptureOptions()
        super().__init__(lambda: VideoReader(index, options), source_name(index), options=options, on_notice=on_notice)


class VideoFile:
    """Every frame of a video, each when it is asked for.

    Args:
        source: a path, or the URL of a recording.
        on_notice: told at the end if frames were missing.

    Raises:
        SourceError: if there is no such file, or OpenCV cannot open it.
    """

    live = False

    def __init__(
        self, source: Path | str, *, options: CaptureOptions | None = None, on_notice: OnNotice | None = None
    ) -> None:
        self.dropped = self.corrupt = 0
        self._on_notice = on_notice
        self._lock = threading.Lock()  # releasing a capture inside its read would crash the process
        cv2 = import_opencv(options or CaptureOptions())
        self._named = source_name(str(source))
        self._capture = cv2.VideoCapture(str(source), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise SourceError(
                f"cannot open {self._named}: OpenCV does not know it as a video; expected MP4, AVI, MKV or the like"
            )
        self._length = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        #: frames a second, as the file says; 0 where it does not.
        self.fps: float = fps if 0 < fps < 1000 else 0.0
        self._closed = False

    def __iter__(self) -> Iterator[Frame]:
        index, memory = 0, FrameMemory()
        while True:
            start = time.monotonic()
            with self._lock:
                if self._closed or not self._capture.grab():
                    break
                ok, image = self._capture.retrieve(memory.spare())
            if not ok:
                self.corrupt += 1
                continue
            captured_at, image = time.monotonic(), memory.keep(image)
            yield Frame(image=image, index=index, captured_at=captured_at, capture_ms=(captured_at - start) * 1e3)
            del image  # or it would not be spare when the caller has let it go
            index += 1
        if not self._closed:
            self._say_what_is_missing(index)

    def _say_what_is_missing(self, found: int) -> None:
        # Containers without an index only estimate the length: a frame or a fiftieth less is no damage.
        if self._on_notice is not None and self._length - found > max(1, self._length // 50):
            text = f"{self._named} ends after {found} of {self._length} frames: the rest is damaged or missing"
            self._on_notice(Notice(kind="corrupt", text=text, at=time.monotonic()))

    def close(self) -> None:
        """Let the file go."""
        with self._lock:
            self._closed = True
            self._capture.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def source_name(source: int | str) -> str:
    """What a person calls a source: "camera 0", or the path or address without its password."""
    return f"camera {source}" if isinstance(source, int) else without_password(source)


def is_pipeline(source: str) -> bool:
    """Whether a source is a GStreamer pipeline: elements with an exclamation mark between them."""
    return " ! " in source


def has_gstreamer() -> bool:
    """Whether this OpenCV can run GStreamer pipelines; the wheel from PyPI cannot."""
    import cv2

    line = next((line for line in cv2.getBuildInformation().splitlines() if "GStreamer:" in line), "")
    return "YES" in line


def import_opencv(options: CaptureOptions) -> Any:
    """The module, set up by the environment variables it reads, unless the user has set them.

    Its own and FFmpeg's log lines are off: they come from reading threads at any time, and what matters of them is said
    in errors and notices.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    # RTP over UDP, which FFmpeg asks for first, smears the picture with every packet that is lost.
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")
    # Whole seconds, read when a camera is opened: V4L2 would wait 10 for a frame.
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(math.ceil(options.stall_s)))
    import cv2

    if "OPENCV_LOG_LEVEL" not in os.environ:
        cv2.setLogLevel(0)
    return cv2
