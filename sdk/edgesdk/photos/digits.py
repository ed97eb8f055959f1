"""The embedded data set: real handwritten digits, so that everything works without a network and without photos."""

import os
import shutil
from pathlib import Path

from edgesdk.atomic import make_folder
from edgesdk.cache import cache_folder
from edgesdk.errors import MissingPackageError, WriteError

NAME = "digits"


def digits_folder() -> Path:
    """The 1,797 digits as 8x8 PNG files in class folders, written into the cache on first use.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI (CC BY 4.0), the test half that
    scikit-learn ships. Every fifth digit of a class is for testing.

    Returns:
        A folder with train/<digit>/ and test/<digit>/.

    Raises:
        MissingPackageError: if scikit-learn is not installed.
        WriteError: if the cache folder cannot be written.
    """
    folder = cache_folder() / NAME
    if folder.is_dir():
        return folder
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingPackageError("scikit-learn", "train", "the embedded data set `digits`") from error
    import cv2

    data = load_digits()
    aside = make_folder(cache_folder() / f".{NAME}.{os.getpid()}.part")
    seen = dict.fromkeys(range(10), 0)
    try:
        for image, label in zip(data.images, data.target.tolist(), strict=True):
            split = "test" if seen[label] % 5 == 4 else "train"
            path = make_folder(aside / split / str(label)) / f"{label}_{seen[label]:03d}.png"
            png = cv2.imencode(".png", (image * (255 / 16)).round().astype("uint8"))[1]
            path.write_bytes(png.tobytes())  # cv2.imwrite is content with a full disk
            seen[label] += 1
        if not folder.is_dir():  # else another process was faster
            aside.rename(folder)
    except OSError as error:
        if not folder.is_dir():
            raise WriteError(
                f"cannot write {folder}: {error.strerror or error}; make room, or name another cache folder with "
                "EDGESDK_CACHE"
            ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


if __name__ == "__main__":
    print(digits_folder())
