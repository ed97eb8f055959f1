"""A folder of photos, as if a camera had seen them one after another."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from edgesdk.errors import DataError, SourceError
from edgesdk.preprocess import read_photo
from edgesdk_device.cameras.frame import Frame, Notice, OnNotice
from edgesdk_device.cameras.opencv import import_opencv
from edgesdk_device.cameras.options import CaptureOptions

PHOTO_ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}


class FolderSource:
    """The photos of a folder and its subfolders in the order of their names, or one photo.

    Attributes:
        skipped: photos that could not be decoded so far.

    Raises:
        SourceError: if the folder holds no photo.
    """

    live = False
    dropped = 0
    fps = 0.0

    def __init__(self, path: Path | str, *, on_notice: OnNotice | None = None) -> None:
        self.path = Path(path)
        found = [self.path] if self.path.is_file() else sorted(self.path.rglob("*"))
        self._files = [file for file in found if file.is_file() and self.is_photo(file)]
        self._on_notice = on_notice
        self.skipped: list[Path] = []
        self.corrupt = 0
        self._closed = False
        if not self._files:
            raise SourceError(f"{self.path} holds no photos, expected files such as .jpg or .png")

    @staticmethod
    def is_photo(path: Path) -> bool:
        """Whether the file's ending is a photo's."""
        return path.suffix.lower() in PHOTO_ENDINGS

    def __iter__(self) -> Iterator[Frame]:
        import_opencv(CaptureOptions())  # quietly
        index = 0
        for file in self._files:
            if self._closed:
                return
            start = time.monotonic()
            try:
                image = read_photo(file)
            except DataError as error:
                self.skipped.append(file)
                self.corrupt += 1
                if self._on_notice is not None:
                    self._on_notice(Notice(kind="corrupt", text=f"{error}; left out", at=time.monotonic()))
                continue
            name = str(file.relative_to(self.path)) if self.path.is_dir() else file.name
            now = time.monotonic()
            yield Frame(image=image, index=index, captured_at=now, name=name, capture_ms=(now - start) * 1e3)
            index += 1

    def close(self) -> None:
        """End an iteration; there is nothing to let go."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
