"""A small convolutional autoencoder whose int8 code is a picture's compressed form.

After J. Balle, V. Laparra, E. Simoncelli, End-to-end Optimized Image Compression, arXiv 1611.01704, and J. Balle et
al., Variational Image Compression with a Scale Hyperprior, arXiv 1802.01436, with shallow transforms as in Y. Yang and
S. Mandt, Computationally-Efficient Neural Image Compression with Shallow Decoders, arXiv 2304.06244. It differs from
them: one linear 3x3 convolution over 8x8 blocks, begun as their principal components, beside a narrow ReLU branch; no
GDN; and every quality is one network, because the picture's contrast is scaled before it and back after it, so that the
quantization step is always 1 and an int8 tensor is the code.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

PAPER = "End-to-end Optimized Image Compression (arXiv 1611.01704), shallow transforms (arXiv 2304.06244)"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The sizes of a compressor.

    Attributes:
        block: pixels a side that one position of the code stands for.
        latents: channels of the code.
        inner: channels of the encoder's ReLU branch.
        outer: channels of each ReLU layer of the decoder's branch.
        step: grey levels of the first principal components that one step of the code stands for.
    """

    block: int = 8
    latents: int = 96
    inner: int = 48
    outer: tuple[int, ...] = (64, 64)
    step: float = 22.0

    @property
    def pixels(self) -> int:
        """Values in a block, three colours."""
        return 3 * self.block**2

    @property
    def encoder_margin(self) -> int:
        """Positions on each side that the encoder sees beyond those it gives."""
        return 2

    @property
    def decoder_margin(self) -> int:
        """Positions on each side that the decoder sees beyond those it gives."""
        return len(self.outer) + 1


class Compressor(tf.Module):  # type: ignore[misc]
    """Encoder and decoder, both of which fake-quantize all that an int8 file will round.

    What goes in and comes out are scaled pixels, gain * (byte - 128), gain in (0, 1]; see `Shape` for the sizes.
    Convolutions are without padding: a position of the code depends on what is around it and on nothing else, so that
    a picture of any size can be worked through in tiles of one size, and no seam can show.
    """

    def __init__(self, shape: Shape, components: npt.NDArray[np.float32], seed: int = 0) -> None:
        """Begin as a lapped transform.

        Args:
            shape: sizes.
            components: float32 [3 * block^2, latents], orthonormal columns in order of variance, of lapped blocks.
            seed: of the branches' random weights.
        """
        super().__init__(name="compressor")
        self.shape = shape
        rng = np.random.default_rng(seed)
        n, blocks = shape.latents, shape.pixels

        def weights(name: str, inputs: int, outputs: int, spread: float, size: int = 3) -> Any:
            values = rng.normal(0, spread, (size, size, inputs, outputs)).astype(np.float32)
            return tf.Variable(values, name=name)

        # Trained are unit-sized values: Adam's step is the same for all of them.
        self.inner = weights("inner", blocks, shape.inner, np.sqrt(1 / (9 * blocks)))
        #: +1 or -1 of each channel [vertical, horizontal]: its value in a mirrored block; nearly true of components
        self.parity = tf.Variable(_parity(components, shape.block), trainable=False, name="parity")
        before, after = lapping(shape.block)
        code = np.zeros((3, 3, blocks + shape.inner, n), np.float32)
        code[:, :, :blocks] = np.einsum("abio,on->abin", _two_dimensional(before), components)
        self.code = tf.Variable(code, name="code")
        sizes = (n, *shape.outer)
        self.outer = [
            weights(f"outer{i}", before, after, np.sqrt(2 / (9 * before)))
            for i, (before, after) in enumerate(itertools.pairwise(sizes))
        ]
        picture = np.zeros((3, 3, n + shape.outer[-1], blocks), np.float32)
        picture[:, :, :n] = np.einsum("abio,in->abno", _two_dimensional(after), components)
        self.picture = tf.Variable(picture, name="picture")
        self.inner_bias = tf.Variable(tf.zeros(shape.inner), name="inner_bias")
        self.code_bias = tf.Variable(tf.zeros(n), name="code_bias")
        self.outer_biases = [tf.Variable(tf.zeros(k), name=f"outer_bias{i}") for i, k in enumerate(shape.outer)]
        self.picture_bias = tf.Variable(tf.zeros(blocks), name="picture_bias")

    def encode(self, pixels: Any) -> Any:
        """Scaled pixels [b, h, w, 3] -> the code before rounding, [b, h/block - 4, w/block - 4, latents]."""
        blocks = tf.nn.space_to_depth(int8(pixels), self.shape.block)
        branch = int8(tf.nn.relu(convolve(blocks, self.inner, self.inner_bias)))
        seen = tf.concat([blocks[:, 1:-1, 1:-1], branch], -1)
        return convolve(seen, self.code / self.shape.step, self.code_bias)

    def decode(self, code: Any) -> Any:
        """A code [b, h, w, latents] -> scaled pixels [b, block * (h - 2 margin), block * (w - 2 margin), 3]."""
        branch = code = int8(code)
        gains = (4.0, *[1.0] * (len(self.outer) - 1))  # the code's values are small beside the branch's range
        for weights, bias, gain in zip(self.outer, self.outer_biases, gains, strict=True):
            branch = int8(tf.nn.relu(convolve(branch, gain * weights, bias)))
        cut = len(self.outer)
        seen = tf.concat([code[:, cut:-cut, cut:-cut], branch], -1)
        n = self.shape.latents
        gain = tf.concat([tf.fill([n], self.shape.step), tf.ones([self.shape.outer[-1]])], 0)
        blocks = convolve(seen, self.picture * gain[:, None], self.picture_bias)
        return int8(tf.nn.depth_to_space(blocks, self.shape.block))


def int8(values: Any) -> Any:
    """Rounded to whole numbers from -128 to 127, with a gradient: what an int8 tensor of scale 1 holds."""
    return tf.quantization.fake_quant_with_min_max_args(values, -128.0, 127.0)


def convolve(values: Any, weights: Any, bias: Any, padding: str = "VALID") -> Any:
    """A convolution whose weights are rounded to int8, each output channel on a scale of its own."""
    largest = tf.stop_gradient(tf.reduce_max(tf.abs(weights), (0, 1, 2)) + 1e-9)
    rounded = tf.quantization.fake_quant_with_min_max_vars_per_channel(weights, -largest, largest, narrow_range=True)
    return tf.nn.bias_add(tf.nn.conv2d(values, rounded, 1, padding), bias)


def lapping(block: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """A filter across the edges between blocks before a block transform, and its inverse after it.

    T. Tran, J. Liang, C. Tu, Lapped transform via time-domain pre- and post-filtering (IEEE TSP 51, 2003), with one
    scaling of 8/5: blocks overlap by half, which saves bits and shows no edges.

    Returns:
        Both [block, 3 * block]: a block from itself and the ones beside it.
    """
    half = block // 2
    k = np.arange(half)
    second = np.sqrt(2 / half) * np.cos(np.pi * np.outer(k, k + 0.5) / half)
    second[0] /= np.sqrt(2)
    fourth = np.sqrt(2 / half) * np.cos(np.pi * np.outer(k + 0.5, k + 0.5) / half)
    scaling = np.diag([1.6, *[1.0] * (half - 1)])
    inner = (second.T @ scaling @ fourth)[::-1, ::-1]
    butterfly = np.block([[np.eye(half), np.eye(half)[::-1]], [np.eye(half)[::-1], -np.eye(half)]])
    middle = np.zeros((block, block))
    middle[:half, :half], middle[half:, half:] = np.eye(half), inner
    edge = butterfly @ middle @ butterfly / 2
    whole = np.eye(3 * block)
    for start in (half, half + block):
        whole[start : start + block, start : start + block] = edge
    return whole[block : 2 * block], np.linalg.inv(whole)[block : 2 * block]


def _parity(components: npt.NDArray[np.float32], block: int) -> npt.NDArray[np.float32]:
    patterns = components.reshape(block, block, 3, -1)
    overlaps = [(patterns * patterns[::-1]).sum((0, 1, 2)), (patterns * patterns[:, ::-1]).sum((0, 1, 2))]
    return np.where(np.stack(overlaps) < 0, -1, 1).astype(np.float32)


def _two_dimensional(filter_: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A filter along both axes as convolution weights between blocks, [3, 3, pixels in, pixels out]."""
    block = len(filter_)
    parts = filter_.reshape(block, 3, block)  # [out, which block, in]
    weights = np.einsum("yap,xbq->abpqyx", parts, parts)
    whole = np.einsum("abpqyx,cd->abpqcyxd", weights, np.eye(3))
    filters: npt.NDArray[np.float64] = whole.reshape(3, 3, 3 * block**2, 3 * block**2)
    return filters


def principal_components(
    crop: Callable[[int], npt.NDArray[np.uint8]], shape: Shape, crops: int = 200, *, lapped: bool = True
) -> npt.NDArray[np.float32]:
    """The strongest directions of a picture's blocks, float32 [3 * block^2, latents].

    Args:
        crop: index -> a picture, uint8 [height, width, 3], RGB.
        shape: block and number of latents.
        crops: how many to look at.
        lapped: of blocks after `lapping`.
    """
    total = np.zeros((shape.pixels, shape.pixels))
    weights = _two_dimensional(lapping(shape.block)[0]).astype(np.float32)
    for index in range(crops):
        values = crop(index).astype(np.float32) - 128
        blocks = tf.nn.space_to_depth(values[None], shape.block)
        if lapped:
            blocks = tf.nn.conv2d(blocks, weights, 1, "VALID")
        blocks = blocks.numpy().reshape(-1, shape.pixels)
        total += blocks.T @ blocks / len(blocks)
    _, directions = np.linalg.eigh(total)
    components = directions[:, ::-1][:, : shape.latents]
    # Averages of the three colours first: they are what neighbours tell of, and the prior knows it.
    flat = np.linalg.norm(components.reshape(-1, 3, shape.latents).sum(0), axis=0)
    first = np.sort(np.argsort(-flat)[:3])
    components = np.concatenate([components[:, first], np.delete(components, first, 1)], 1)
    return np.ascontiguousarray(components * np.sign(components.sum(0) + 1e-9), np.float32)


def reorder(model: Compressor, order: npt.NDArray[np.intp]) -> None:
    """Put the code's channels into another order, in place; what comes out stays the same."""
    n = model.shape.latents
    model.code.assign(model.code.numpy()[..., order])
    model.code_bias.assign(model.code_bias.numpy()[order])
    model.parity.assign(model.parity.numpy()[:, order])
    model.outer[0].assign(model.outer[0].numpy()[:, :, order])
    picture = model.picture.numpy()
    picture[:, :, :n] = picture[:, :, order]
    model.picture.assign(picture)
