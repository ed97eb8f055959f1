"""A picture of any size through networks of one size: mirrored at its borders, cut with margins, laid together.

The networks' convolutions have no padding, so that what a tile's inside gives depends on what lies around it in the
picture and not on where the tile was cut: no seam can show.
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from edgesdk.codecs.context import Code
from edgesdk.preprocess import Pixels

Run = Callable[[npt.NDArray[np.int8]], npt.NDArray[np.int8]]


def encode_tiles(pixels: Pixels, run: Run, *, block: int, margin: int, tile: tuple[int, int], channels: int) -> Code:
    """A picture -> its code.

    Args:
        pixels: uint8 [height, width, 3], each byte an int8 value's bits.
        run: int8 [(rows + 2 margin) * block, (columns + 2 margin) * block, 3] -> [rows, columns, channels].
        block: pixels a side of one position.
        margin: positions that `run` sees around those it gives.
        tile: rows and columns that it gives.
        channels: of the code.

    Returns:
        int8 [ceil(height / block), ceil(width / block), channels].
    """
    import cv2

    height, width = -(-pixels.shape[0] // block), -(-pixels.shape[1] // block)
    edge = margin * block
    below = _filled(height, tile[0]) * block + edge - pixels.shape[0]
    right = _filled(width, tile[1]) * block + edge - pixels.shape[1]
    wide = cv2.copyMakeBorder(pixels, edge, below, edge, right, cv2.BORDER_REFLECT)
    code = np.empty((height, width, channels), np.int8)
    tall, broad = ((size + 2 * margin) * block for size in tile)
    for top, left in _corners(height, width, tile):
        cut = wide[top * block : top * block + tall, left * block : left * block + broad]
        inside = code[top : top + tile[0], left : left + tile[1]]
        inside[:] = run(np.ascontiguousarray(cut).view(np.int8))[: inside.shape[0], : inside.shape[1]]
    return code


def decode_tiles(
    code: Code,
    run: Run,
    *,
    mirrored: npt.NDArray[np.int8],
    block: int,
    margin: int,
    tile: tuple[int, int],
    height: int,
    width: int,
) -> Pixels:
    """The way back.

    Args:
        code: int8 [h, w, channels].
        run: int8 [rows + 2 margin, columns + 2 margin, channels] -> [rows * block, columns * block, 3].
        mirrored: 1 or -1, int8 [2, channels]: what a value becomes where the code is mirrored vertically, horizontally.
        block, margin, tile: as above.
        height, width: of the picture.

    Returns:
        uint8 [height, width, 3], each byte an int8 value's bits.
    """
    rows, columns = (_mirror(size, margin, _filled(size, t)) for size, t in zip(code.shape, tile, strict=False))
    pixels = np.empty((height, width, 3), np.uint8)
    tall, broad = (size + 2 * margin for size in tile)
    for top, left in _corners(code.shape[0], code.shape[1], tile):
        cut = code[rows[top : top + tall, None], columns[left : left + broad]]
        for axis, start, size in ((0, top - margin, code.shape[0]), (1, left - margin, code.shape[1])):
            place = np.arange(start, start + cut.shape[axis])
            over = np.flatnonzero(place // size % 2)
            if over.size:
                where = over if axis == 0 else (slice(None), over)
                cut[where] = np.maximum(cut[where], -127) * mirrored[axis]
        inside = pixels[top * block : (top + tile[0]) * block, left * block : (left + tile[1]) * block]
        inside[:] = run(cut).view(np.uint8)[: inside.shape[0], : inside.shape[1]]
    return pixels


def _corners(height: int, width: int, tile: tuple[int, int]) -> Iterator[tuple[int, int]]:
    for top in range(0, height, tile[0]):
        for left in range(0, width, tile[1]):
            yield top, left


def _filled(size: int, tile: int) -> int:
    return -(-size // tile) * tile


def _mirror(size: int, margin: int, filled: int) -> npt.NDArray[np.intp]:
    """Indices -margin to filled + margin - 1, mirrored into 0 to size - 1, the border itself repeated."""
    index = np.arange(-margin, filled + margin) % (2 * size)
    return np.minimum(index, 2 * size - 1 - index)
