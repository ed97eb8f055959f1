"""How often a file is right, what it mixes up, and whether its probabilities mean what they say."""

import base64
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgesdk.errors import DataError
from edgesdk.measurement import Confusion, Judged
from edgesdk.photos.data import Dataset, Images, distinct_names, load_images, places_of, read_dataset, split_dataset
from edgesdk.preprocess import ImageInput, Pixels
from edgesdk.stats import wilson_interval
from edgesdk_device.classifier import Model

BINS = 15  # of confidence, as in the paper
CONFUSIONS, PHOTOS = 20, 6
PHOTO_SIDE = 112  # pixels


def judge(model: Model, data: str) -> Judged:
    """A classifier's answers to the test photos of a data set.

    Where it has no splits: to those that were held out while the file's network learned these very photos, else to all.

    Raises:
        DataError: if the data cannot be read.
    """
    dataset = read_dataset(data)
    proved = model.contract.measured.accuracy
    same = model.contract.source.fingerprint == dataset.fingerprint
    images = None
    if same and proved is not None:
        images = _held_out(dataset, model.contract.input, proved.n)
    if images is None:
        photos = [photo for photo in dataset.photos if photo.split == "test"] or list(dataset.photos)
        images = load_images(photos, model.contract.input)
    outputs = np.stack([model.infer(pixels) for pixels in images.pixels])
    if model.contract.output.kind == "logits":
        outputs = np.exp(outputs - outputs.max(1, keepdims=True))
        outputs /= outputs.sum(1, keepdims=True)
    labels = model.contract.output.labels
    known = places_of(dataset.classes, labels)
    return judge_outputs(
        outputs,
        np.array([known[index] for index in images.labels], np.int64),
        labels,
        images.pixels,
        float_top1=proved.float if same and proved is not None else None,
    )


def _held_out(dataset: Dataset, image_input: ImageInput, n: int) -> Images | None:
    """The photos that `train` holds out of the data set to judge on, if they are the `n` that a file was judged on."""
    try:
        split = split_dataset(dataset)
    except DataError:  # nothing can have been learned from so few
        return None
    images = load_images([photo for photo in split.photos if photo.split == "test"], image_input)
    return images if len(images.labels) == n else None


def judge_outputs(
    probabilities: npt.NDArray[np.float32],
    truth: npt.NDArray[np.int64],
    labels: Sequence[str],
    pixels: Pixels,
    *,
    float_top1: float | None = None,
) -> Judged:
    """What these answers are worth.

    Args:
        probabilities: [n, classes].
        truth: [n], indices of the right classes.
        labels: of the classes.
        pixels: uint8 [n, height, width, channels] RGB or grey, what was shown.
        float_top1: handed on.
    """
    answers = probabilities.argmax(1)
    right = answers == truth
    best = np.argpartition(-probabilities, min(5, probabilities.shape[1]) - 1, 1)[:, :5]
    wrong = Counter(zip(truth[~right].tolist(), answers[~right].tolist(), strict=True)).most_common(CONFUSIONS)
    confusions, names = [], distinct_names(labels)
    for rank, ((true, answered), count) in enumerate(wrong):
        shown = np.flatnonzero((truth == true) & (answers == answered))[0]
        photo = _thumbnail(pixels[shown]) if rank < PHOTOS else ""
        confusions.append(Confusion(true=names[true], answered=names[answered], count=count, photo=photo))
    return Judged(
        top1=float(right.mean()),
        top5=float((best == truth[:, None]).any(1).mean()),
        n=len(truth),
        ci95=wilson_interval(int(right.sum()), len(truth)),
        ece=calibration_error(probabilities.max(1), right),
        per_class={names[index]: float(right[truth == index].mean()) for index in np.unique(truth)},
        confusions=tuple(confusions),
        float_top1=float_top1,
    )


def calibration_error(confidence: npt.NDArray[np.float32], right: npt.NDArray[np.bool_]) -> float:
    """The expected calibration error, 0 to 1: how far confidence lies from the share that is right.

    C. Guo et al., On Calibration of Modern Neural Networks, arXiv 1706.04599, equation 3, 15 bins of equal width.

    Args:
        confidence: [n], the probability of each answer.
        right: [n].
    """
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs(float(confidence[bins == b].sum()) - float(right[bins == b].sum())) for b in np.unique(bins)]
    return sum(gaps) / len(right)


def _thumbnail(pixels: npt.NDArray[np.uint8]) -> str:
    import cv2

    side = PHOTO_SIDE / max(pixels.shape[:2])
    small = cv2.resize(pixels, None, fx=side, fy=side, interpolation=cv2.INTER_AREA)
    ok, data = cv2.imencode(".jpg", small[..., ::-1] if small.ndim == 3 else small, [cv2.IMWRITE_JPEG_QUALITY, 80])
    assert ok
    return base64.b64encode(data.tobytes()).decode()
