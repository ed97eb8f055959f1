"""Where frames come from, one kind a file: `open_source` picks it by what the user named."""

from pathlib import Path

from edgesdk_device.cameras.folder import FolderSource
from edgesdk_device.cameras.frame import Frame, Source
from edgesdk_device.cameras.opencv import Camera
from edgesdk_device.cameras.synthetic import SyntheticSource

__all__ = ["Camera", "FolderSource", "Frame", "Source", "SyntheticSource", "open_source"]


def open_source(source: str | int) -> Source:
    """Open a source of frames.

    Args:
        source: a camera's index (0), a video file, a URL (http, https, rtsp, udp), a folder of photos, one photo, or
            "synthetic".

    Raises:
        SourceError: if it is missing or cannot be opened.
    """
    text = str(source)
    if text == "synthetic":
        return SyntheticSource()
    path = Path(text)
    if path.is_dir() or (path.is_file() and FolderSource.is_photo(path)):
        return FolderSource(path)
    return Camera(int(text) if text.isdecimal() else text)
