"""A picture in, its code out; a code in, a picture out."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgesdk.atomic import make_folder, write_bytes
from edgesdk.errors import ModelFileError
from edgesdk.preprocess import Pixels, fit_frame, read_photo
from edgesdk_device.classifier import Model


class Encoder(Model):
    """Gives the code of what a frame shows.

        with Encoder("vae_encoder.tflite") as encode:
            print(encode(frame))

    Args, errors: as `Model`.
    """

    def _require_kind(self, path: Path | str) -> None:
        if self.contract.output.kind != "latent" or self.contract.input.color == "latent":
            raise ModelFileError(f"{path} is no encoder: its output is {self.contract.output.kind}")

    def __call__(self, frame: npt.NDArray[Any] | Path | str) -> npt.NDArray[np.float32]:
        """The code float32 [latent] of a frame (uint8 [h, w, 3] BGR, grey [h, w]) or of a photo's path.

        Raises:
            ValueError: if the frame is of another dtype or shape.
            DataError: if the photo cannot be read.
        """
        if isinstance(frame, str | Path):
            frame = read_photo(frame)
        return self.infer(fit_frame(frame, self.contract.input))


class Generator(Model):
    """Makes a picture of a code: a decoder's or a GAN's file.

        with Generator("vae_decoder.tflite") as make:
            cv2.imshow("made", make(make.draw(seed=7)))

    Args, errors: as `Model`.
    """

    def _require_kind(self, path: Path | str) -> None:
        if self.contract.output.kind != "image" or self.contract.input.color != "latent":
            raise ModelFileError(f"{path} makes no pictures of codes: its output is {self.contract.output.kind}")

    @property
    def latent(self) -> int:
        """Entries of a code."""
        return self.contract.input.channels

    def __call__(self, code: npt.ArrayLike) -> Pixels:
        """The picture of a code, float [latent], as uint8 [height, width, 3] BGR, or [height, width] grey.

        Each entry is rounded to the steps of the file's input, 1/32 within -4 to 4.

        Raises:
            ValueError: if the code has another number of entries, or they are not finite.
        """
        values = np.asarray(code, np.float32).reshape(-1)
        if values.size != self.latent or not np.isfinite(values).all():
            raise ValueError(f"the code has {values.size} entries, expected {self.latent} finite numbers")
        image, output = self.contract.input, self.contract.output
        coded = np.clip(np.rint(values * image.std + image.mean), 0, 255).astype(np.uint8).reshape(image.shape)
        made = self.infer(coded) * output.std + output.mean
        pixels = np.clip(np.rint(made), 0, 255).astype(np.uint8).reshape(self.backend.output.shape[1:])
        return pixels[..., 0] if pixels.shape[2] == 1 else np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), np.uint8)

    def draw(self, seed: int) -> npt.NDArray[np.float32]:
        """A code from a unit Gaussian, float32 [latent]."""
        return np.random.default_rng(seed).standard_normal(self.latent).astype(np.float32)


def write_pictures(path: Path, folder: Path, count: int, seed: int) -> None:
    """So many pictures of random codes, one PNG each, by a decoder's or a GAN's file.

    Raises:
        ModelFileError, BackendError: as `Generator`.
    """
    with Generator(path) as make:
        make_folder(folder)
        for index in range(count):
            encoded, png = cv2.imencode(".png", make(make.draw(seed + index)))
            assert encoded
            write_bytes(folder / f"{index:05d}.png", png.tobytes())
