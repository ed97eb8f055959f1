"""A whole picture of 64x64 pixels in some 70 bytes.

As `compressor`, for a picture that is one tile: 16x16 blocks, found in two steps of principal components (8x8, then 2x2
of those), and a decoder that is wider than the encoder, since at such rates most of a picture must be guessed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgesdk_train.models.compressor import Shape, convolve, int8, principal_components

HALF = 8  # pixels a side of the first step's blocks
MIDDLE_STEP = 16.0  # grey levels of its components: finer than the code's, as coarse as int8 allows


@dataclass(frozen=True, kw_only=True)
class ThumbnailShape:
    """The sizes of a thumbnail's network; as `Shape`, whose margins are none here.

    Attributes:
        middle: principal components of an 8x8 block that are kept.
        inner: channels of the decoder's two ReLU layers on the code.
        fine: channels of its ReLU layer on 8x8 blocks.
    """

    latents: int = 40
    middle: int = 32
    inner: int = 64
    fine: int = 48
    step: float = 90.0
    block: int = 2 * HALF
    encoder_margin: int = 0
    decoder_margin: int = 0


class Thumbnail(tf.Module):  # type: ignore[misc]
    """Encoder and decoder; see `Compressor`, whose methods and scales these are.

    Args:
        first: float32 [192, middle], second: float32 [4 * middle, latents]: orthonormal columns.
    """

    def __init__(
        self,
        shape: ThumbnailShape,
        first: npt.NDArray[np.float32],
        second: npt.NDArray[np.float32],
        seed: int = 0,
    ) -> None:
        super().__init__(name="thumbnail")
        self.shape = shape
        rng = np.random.default_rng(seed)
        n, middle, inner, fine = shape.latents, shape.middle, shape.inner, shape.fine

        def weights(name: str, values: npt.NDArray[Any]) -> Any:
            return tf.Variable(values.astype(np.float32), name=name)

        def centred(matrix: npt.NDArray[Any]) -> npt.NDArray[Any]:
            values = np.zeros((3, 3, *matrix.shape))
            values[1, 1] = matrix
            return values

        def random(size: int, inputs: int, outputs: int) -> npt.NDArray[Any]:
            return rng.normal(0, np.sqrt(2 / (size**2 * inputs)), (size, size, inputs, outputs))

        self.first = weights("first", first[None, None])
        self.second = weights("second", centred(second))
        self.inner = [weights("inner0", random(3, n, inner)), weights("inner1", random(3, inner, inner))]
        self.back = weights("back", centred(second.T))
        self.guess = weights("guess", np.zeros((1, 1, inner, 4 * middle)))
        self.fine = weights("fine", random(3, middle, fine))
        picture = np.concatenate([first.T, np.zeros((fine, 3 * HALF**2))])
        self.picture = weights("picture", picture[None, None])
        sizes = (middle, n, inner, inner, 4 * middle, 4 * middle, fine, 3 * HALF**2)
        self.biases = [tf.Variable(tf.zeros(size), name=f"bias{i}") for i, size in enumerate(sizes)]

    def encode(self, pixels: Any) -> Any:
        """Scaled pixels [b, 64, 64, 3] -> the code before rounding, [b, 4, 4, latents]."""
        blocks = tf.nn.space_to_depth(int8(pixels), HALF)
        middle = int8(convolve(blocks, self.first / MIDDLE_STEP, self.biases[0]))
        ratio = MIDDLE_STEP / self.shape.step
        return convolve(tf.nn.space_to_depth(middle, 2), ratio * self.second, self.biases[1], "SAME")

    def decode(self, code: Any) -> Any:
        """A code [b, 4, 4, latents] -> scaled pixels [b, 64, 64, 3]."""
        branch = code = int8(code)
        for weights, bias, gain in zip(self.inner, self.biases[2:4], (8.0, 1.0), strict=True):
            branch = int8(tf.nn.relu(convolve(branch, gain * weights, bias, "SAME")))
        middle = int8(convolve(code, self.shape.step / MIDDLE_STEP * self.back, self.biases[4], "SAME"))
        middle = int8(middle + int8(convolve(branch, self.guess, self.biases[5])))
        middle = tf.nn.depth_to_space(middle, 2)
        fine = int8(tf.nn.relu(convolve(middle, 2 * self.fine, self.biases[6], "SAME")))
        gain = tf.concat([tf.fill([self.shape.middle], MIDDLE_STEP), tf.ones([self.shape.fine])], 0)
        blocks = convolve(tf.concat([middle, fine], -1), self.picture * gain[:, None], self.biases[7])
        return int8(tf.nn.depth_to_space(blocks, HALF))


def begin_thumbnail(
    crop: Callable[[int], npt.NDArray[np.uint8]], shape: ThumbnailShape, crops: int = 400, seed: int = 0
) -> Thumbnail:
    """A network that is the principal components of pictures like these, uint8 [64, 64, 3] by index."""
    first = principal_components(crop, Shape(block=HALF, latents=shape.middle), crops, lapped=False)
    total = np.zeros((4 * shape.middle, 4 * shape.middle))
    for index in range(crops):
        blocks = tf.nn.space_to_depth(crop(index).astype(np.float32)[None] - 128, HALF).numpy() @ first
        pairs = tf.nn.space_to_depth(blocks, 2).numpy().reshape(-1, 4 * shape.middle)
        total += pairs.T @ pairs / len(pairs)
    _, directions = np.linalg.eigh(total)
    return Thumbnail(shape, first, np.ascontiguousarray(directions[:, ::-1][:, : shape.latents], np.float32), seed)


def reorder_thumbnail(model: Thumbnail, order: npt.NDArray[np.intp]) -> None:
    """Put the code's channels into another order, in place; what comes out stays the same."""
    model.second.assign(model.second.numpy()[..., order])
    model.biases[1].assign(model.biases[1].numpy()[order])
    for weights in (model.inner[0], model.back):
        weights.assign(weights.numpy()[:, :, order])
