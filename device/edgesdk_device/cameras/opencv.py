"""Cameras, video files and URLs through OpenCV."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from edgesdk.errors import SourceError
from edgesdk.quiet import captured_output
from edgesdk_device.cameras.frame import Frame


class Camera:
    """A camera by index, a video file by path or a stream by URL.

        with Camera(0) as camera:
            for frame in camera: ...

    Args:
        source: index, path, or URL (http, https, rtsp, udp).

    Raises:
        SourceError: if there is no such file, or OpenCV cannot open it.
    """

    def __init__(self, source: int | str = 0) -> None:
        import cv2

        self.source = source
        is_url = isinstance(source, str) and "://" in source
        if isinstance(source, str) and not is_url and not Path(source).is_file():
            raise SourceError(
                f"no source {source!r}: expected a camera's number, a video file, a photo folder, a URL or synthetic"
            )
        with captured_output():  # FFmpeg and V4L2 say on stderr what the exception below says in one sentence
            self._capture = cv2.VideoCapture(source)
        if not self._capture.isOpened():
            raise SourceError(f"cannot open {self._named()}: {self._way_out(is_url)}")

    def _named(self) -> str:
        return f"camera {self.source}" if isinstance(self.source, int) else str(self.source)

    def _way_out(self, is_url: bool) -> str:
        if isinstance(self.source, int):
            return "is one plugged in, and free? `edgesdk doctor` lists the cameras here"
        if is_url:
            return "check that the address answers, with `ffplay` for example"
        return "OpenCV does not know it as a video; expected MP4, AVI, MKV or the like"

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while True:
            ok, image = self._capture.read()
            if not ok:
                return
            yield Frame(image=image, index=index, captured_at=time.monotonic())
            index += 1

    def close(self) -> None:
        """Let the camera go."""
        self._capture.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
