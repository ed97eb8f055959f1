"""Frames kept as photos: a folder of class folders, as `edgesdk train` takes it."""

import unicodedata
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesdk.atomic import make_folder, write_bytes
from edgesdk.errors import WriteError

LONGEST_LABEL_BYTES = 100
#: `edgesdk train` reads these folders as parts of the data, not as classes.
TAKEN = {"train", "val", "test", "images"}
FORBIDDEN = set('/\\:*?"<>|')  # separators here, and what a memory card's file system refuses


def check_label(text: str) -> str:
    """A label that can name a folder, tidied: composed letters, no space around it.

    Raises:
        ValueError: if it cannot.
    """
    label = " ".join(unicodedata.normalize("NFC", text).split())
    if not label or len(label.encode(errors="replace")) > LONGEST_LABEL_BYTES:
        raise ValueError(f"a label has 1 to {LONGEST_LABEL_BYTES} bytes")
    if not label.isprintable() or FORBIDDEN & set(label) or label.startswith(".") or label.endswith("."):
        raise ValueError('a label names a folder: no dot at its ends, and none of / \\ : * ? " < > |')
    if label.lower() in TAKEN:
        raise ValueError(f"the label {label!r} names a part of the data to edgesdk train: choose another word")
    return label


def save_frame(folder: Path | str, label: str, image: npt.NDArray[Any]) -> Path:
    """Write a frame (uint8 [h, w, 3], BGR) as FOLDER/label/<time>.jpg, whole or not at all.

    Returns:
        Its path.

    Raises:
        ValueError: if the label cannot name a folder.
        WriteError: if the file cannot be written, or the class folder leads out of `folder`.
    """
    home = make_folder(folder).resolve()
    place = make_folder(home / check_label(label))
    if place.resolve() != place:
        raise WriteError(f"{place} leads out of {home}: remove that link")
    return write_bytes(free_name(place), encode_photo(image))


def free_name(folder: Path, note: str = "") -> Path:
    """A file name of the present time that is not taken."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S-%f")[:-3]
    for count in range(1000):
        path = folder / f"{stamp}{f'-{count}' if count else ''}{note}.jpg"
        if not path.exists():
            return path
    raise WriteError(f"{folder} holds a thousand frames of this millisecond")


def encode_photo(image: npt.NDArray[Any], quality: int = 95) -> bytes:
    """A frame as JPEG."""
    import cv2

    done, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return np.asarray(encoded).tobytes()
