"""One labelled photo, wherever it lies."""

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np

from edgesdk.errors import DataError
from edgesdk.preprocess import Pixels, decode_photo, read_photo


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A photo, the index of its class, the split it belongs to ("" if none yet) and the start of its sha256.

    Attributes:
        path: the file, or the archive's path and the photo's place in it.
        content: of a photo in an archive, its file's bytes, or its pixels: uint8 [h, w] grey or [h, w, 3] RGB.
    """

    path: Path
    label: int
    split: str = ""
    digest: str = ""
    content: bytes | Pixels | None = field(default=None, repr=False, compare=False)

    def frame(self) -> Pixels:
        """The picture, uint8 [height, width, 3] BGR, or [height, width] grey where it is kept as grey pixels.

        Raises:
            DataError: if it is missing or no whole image.
        """
        if self.content is None:
            return read_photo(self.path)
        if isinstance(self.content, np.ndarray):
            return self.content[..., ::-1] if self.content.ndim == 3 else self.content
        frame = decode_photo(self.content)
        if frame is None:
            raise DataError(f"{self.path} is not an image that OpenCV can decode, or it is cut short")
        return frame

    def digested(self) -> Self:
        """The same photo with its digest.

        Raises:
            DataError: if its file cannot be read.
        """
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
