"""The images that a conversion learns on, is calibrated on and is judged on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgesdk.errors import DataError
from edgesdk.photos.data import Dataset, draw_evenly, load_images, remark_skipped, split_for_conversion
from edgesdk.preprocess import ImageInput, Pixels
from edgesdk.runfolder import Learning
from edgesdk_convert.compress import Lesson

CALIBRATION_PHOTOS = 100
MORE_CALIBRATION_PHOTOS = 500


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The images a conversion needs.

    Attributes:
        calibration: uint8 [n, height, width, channels], or None: generated pictures.
        more_calibration: gives up to five times as many, for a file that fails the gate.
        test: uint8 [n, height, width, channels] to judge on, or None: the file's accuracy stays unknown.
        truth: int32 [n], the classes of `test`.
        lesson: gives what pruning, clustering, shrinking and quantization-aware training learn on; None: nothing.
    """

    calibration: Pixels | None = None
    more_calibration: Callable[[], Pixels] | None = None
    test: Pixels | None = None
    truth: npt.NDArray[np.int32] | None = None
    lesson: Callable[[], Lesson] | None = None


def gather_evidence(
    dataset: Dataset,
    image_input: ImageInput,
    learning: Learning,
    folder: Path,
    *,
    labelled: bool = True,
    quiet: bool,
) -> Evidence:
    """The images of a data set for a conversion; decoded now are those that every conversion needs."""
    calibration, test = split_for_conversion(dataset, CALIBRATION_PHOTOS)
    if labelled and len({photo.label for photo in calibration}) < 2:
        raise DataError(
            f"the {len(calibration)} photos of {dataset.name} to calibrate on are all of one class, expected photos "
            "of every class: add some"
        )
    seen, judged = load_images(calibration, image_input), load_images(test, image_input, quiet=quiet)
    remark_skipped((*seen.skipped, *judged.skipped), quiet=quiet)
    by_split = {
        split: [photo for photo in dataset.photos if photo.split == split] for split in ("train", "val", "test")
    }

    def lesson() -> Lesson:
        return Lesson(
            train=load_images(by_split["train"], image_input, quiet=quiet),
            val=load_images(by_split["val"], image_input, quiet=quiet),
            folder=folder,
            batch=learning.batch,
            seed=learning.seed,
            flip=learning.flip,
        )

    def more() -> Pixels:
        return np.asarray(load_images(draw_evenly(by_split["train"], MORE_CALIBRATION_PHOTOS), image_input).pixels)

    return Evidence(
        calibration=np.asarray(seen.pixels),  # few enough for any memory
        more_calibration=more if len(by_split["train"]) > CALIBRATION_PHOTOS else None,
        test=judged.pixels,
        truth=judged.labels if labelled else None,
        lesson=lesson if by_split["train"] and by_split["val"] else None,
    )
