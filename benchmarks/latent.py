"""What the photo codec's code knows of a picture: a linear probe, a map of two dimensions, a score of strangeness.

    python benchmarks/latent.py --shared DIR [--steps 300]

Features are the mean magnitude and the mean of each channel over a photo brought to 256 pixels, at quality 100: 192
numbers. The probe is a logistic regression on flowers5's training photos, judged on its 400 test photos; beside it, the
same probe on 8x8 thumbnails. The map is the first two principal components of the test photos' features. Strangeness is
the Mahalanobis distance from the training photos' features: does it tell cats and dogs from flowers?

`--init-from photo` is judged on apple leaves, which look unlike the photos it learned from: so many steps from the
photo codec and from principal components, with estimated bits and PSNR on held-out leaves at contrast 0.35.

Writes codec_latent.md and codec_latent.svg to benchmarks/results/<board>/.
"""

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from results import board_folder, save
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from edgesdk.atomic import write_text
from edgesdk.photos.data import read_dataset
from edgesdk.preprocess import read_photo
from edgesdk.verbs.codec import train_codec
from edgesdk_device.codec import Codec

COLOURS = ("#0b6bcb", "#c2410c", "#15803d", "#7e22ce", "#a16207")
Features = npt.NDArray[np.float64]


def describe(codec: Codec, paths: list[Path]) -> tuple[Features, Features]:
    """Features of the code [n, 192], and 8x8 thumbnails [n, 192]."""
    codes, small = [], []
    for path in paths:
        frame = np.asarray(cv2.resize(read_photo(path), (256, 256), interpolation=cv2.INTER_AREA), np.uint8)
        code = codec.encode(frame, 100).astype(np.float64).reshape(-1, 96)
        codes.append(np.concatenate([np.log1p(np.abs(code).mean(0)), code.mean(0)]))
        small.append(cv2.resize(frame, (8, 8), interpolation=cv2.INTER_AREA).reshape(-1) / 255)
    return np.array(codes), np.array(small)


def head_start(photos: Path, steps: int) -> list[str]:
    """Rows: what as many steps of learning give with `--init-from photo` and without."""
    rows = []
    for start in ("photo", None):
        with tempfile.TemporaryDirectory() as folder:
            made = train_codec(photos, init_from=start, steps=steps, out=Path(folder) / "leaves.codec")
        last = [row for row in made.history if row["gain"] < 1][-1]
        how = f"{steps} steps on apple leaves, {'--init-from photo' if start else 'from principal components'}"
        rows.append(f"| {how} | {last['bits_per_pixel']:.3f} bit/pixel at {last['psnr_db']:.1f} dB |")
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--shared", required=True, type=Path)
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()
    shared = options.shared / "datasets"
    flowers = read_dataset(shared / "flowers5")
    by_split = {name: [photo for photo in flowers.photos if photo.split == name] for name in ("train", "test")}
    labels = {name: np.array([photo.label for photo in photos]) for name, photos in by_split.items()}
    strangers = sorted((shared / "cats_dogs/test").rglob("*.jpg"))
    with Codec("photo") as codec:
        features = {name: describe(codec, [photo.path for photo in photos]) for name, photos in by_split.items()}
        strange, _ = describe(codec, strangers)
    right = []
    for which in (0, 1):
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, C=0.1))
        probe.fit(features["train"][which], labels["train"])
        right.append(float(probe.score(features["test"][which], labels["test"])))
    scaler = StandardScaler().fit(features["train"][0])
    known, unknown = scaler.transform(features["test"][0]), scaler.transform(strange)
    spread = np.linalg.inv(np.cov(scaler.transform(features["train"][0]).T) + 0.1 * np.eye(known.shape[1]))
    distances = [np.einsum("ni,ij,nj->n", values, spread, values) for values in (known, unknown)]
    auc = roc_auc_score(np.repeat([0, 1], [len(known), len(unknown)]), np.concatenate(distances))
    _, _, axes = np.linalg.svd(known - known.mean(0), full_matrices=False)
    points = (known - known.mean(0)) @ axes[:2].T
    points = 10 + 480 * (points - points.min(0)) / np.ptp(points, 0)
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLOURS[label]}" fill-opacity=".6"/>'
        for (x, y), label in zip(points, labels["test"], strict=True)
    )
    names = "".join(
        f'<text x="510" y="{20 + 18 * i}" fill="{COLOURS[i]}" font-family="sans-serif" font-size="13">{name}</text>'
        for i, name in enumerate(flowers.classes)
    )
    picture = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 620 500">{dots}{names}</svg>\n'
    write_text(board_folder() / "codec_latent.svg", picture)
    text = "\n".join(
        [
            "| on the photo codec's code | |",
            "| --- | --- |",
            f"| linear probe on flowers5, {len(known)} test photos | {100 * right[0]:.1f} % |",
            f"| the same on 8x8 thumbnails | {100 * right[1]:.1f} % |",
            f"| strangeness, {len(unknown)} photos of cats and dogs against flowers, area under the ROC | {auc:.3f} |",
            *head_start(shared / "apple_leaf/train", options.steps),
        ]
    )
    print(text)
    save("codec_latent.md", text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
