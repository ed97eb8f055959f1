"""One labelled photo, wherever it lies."""

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np

from edgesdk.errors import DataError
from edgesdk.preprocess import LARGEST_PHOTO_BYTES, Pixels, decode_photo, read_photo


@dataclass(frozen=True, kw_only=True)
class Span:
    """Where the bytes of a photo's file lie in a shard.

    Attributes:
        path: the shard. number: of it among all; worker `number % workers` learns from it.
        offset, size: in bytes.
        check: the start of the bytes' sha256.
        whole: whether they could be decoded when they were packed.
    """

    path: Path
    number: int
    offset: int
    size: int
    check: str
    whole: bool

    def read(self) -> bytes:
        """The bytes, in one read of the shard.

        Raises:
            DataError: if the shard is missing or damaged there, or this is too large for a photo.
        """
        if self.size > LARGEST_PHOTO_BYTES:
            raise DataError(
                f"the {self.size} bytes at {self.offset} of {self.path} are more than {LARGEST_PHOTO_BYTES >> 20} MiB, "
                "too large for a photo"
            )
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                data = file.read(self.size)
        except OSError as error:
            raise DataError(f"cannot read the shard {self.path}: {error.strerror}; copy it here again") from error
        if hashlib.sha256(data).hexdigest()[: len(self.check)] != self.check:
            raise DataError(
                f"{self.path} is damaged: the {self.size} bytes at {self.offset} are not those that were packed; copy "
                "it again, or pack again"
            )
        return data


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A photo, the index of its class, the split it belongs to ("" if none yet) and the start of its sha256.

    Attributes:
        path: the file, or the archive's path and the photo's place in it.
        content: of a photo that is no file of its own: where its file's bytes lie in a shard, these bytes (in memory
            that processes share uint8 [n]), or its pixels: uint8 [h, w] grey or [h, w, 3] RGB.
    """

    path: Path
    label: int
    split: str = ""
    digest: str = ""
    content: bytes | Pixels | Span | None = field(default=None, repr=False, compare=False)

    def frame(self) -> Pixels:
        """The picture, uint8 [height, width, 3] BGR, or [height, width] grey where it is kept as grey pixels.

        Raises:
            DataError: if it is missing or no whole image.
        """
        if self.content is None:
            return read_photo(self.path)
        if isinstance(self.content, np.ndarray) and self.content.ndim > 1:
            return self.content[..., ::-1] if self.content.ndim == 3 else self.content
        frame = decode_photo(self.file_bytes())
        if frame is None:
            raise DataError(f"{self.path} is not an image that OpenCV can decode, or it is cut short")
        return frame

    def file_bytes(self) -> bytes:
        """What its file holds, or would hold: pixels are coded as PNG, which loses nothing.

        Raises:
            DataError: if it cannot be read.
        """
        if isinstance(self.content, Span):
            return self.content.read()
        if isinstance(self.content, bytes):
            return self.content
        if self.content is None:
            try:
                return self.path.read_bytes()
            except OSError as error:
                raise DataError(f"cannot read {self.path}: {error.strerror}") from error
        if self.content.ndim == 1:
            return self.content.tobytes()
        import cv2

        coded, png = cv2.imencode(".png", self.frame())
        assert coded
        return png.tobytes()

    def digested(self) -> Self:
        """The same photo with its digest.

        Raises:
            DataError: if its file cannot be read.
        """
        if isinstance(self.content, Span):
            return self  # its digest was packed with it
        if self.content is not None:
            content = self.content if isinstance(self.content, bytes) else self.content.tobytes()
            digest = hashlib.sha256(content)
        else:
            try:
                with self.path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256")
            except OSError as error:
                raise DataError(f"cannot read {self.path}: {error.strerror}") from error
        return replace(self, digest=digest.hexdigest()[:16])
