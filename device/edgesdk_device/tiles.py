"""A picture of any size through networks of one size: mirrored at its borders, cut with margins, laid together.

The networks' convolutions have no padding, so that what a tile's inside gives depends on what lies around it in the
picture and not on where the tile was cut: no seam can show.
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from edgesdk.codecontext import Code
from edgesdk.preprocess import Pixels

Run = Callable[[npt.NDArray[np.int8]], npt.NDArray[np.int8]]


def encode_tiles(pixels: Pixels, run: Run, *, block: int, margin: int, tile: int, channels: int) -> Code:
    """A picture -> its code.

    Args:
        pixels: uint8 [height, width, 3], each byte an int8 value's bits.
        run: tile -> code, int8 [(tile + 2 margin) * block, same, 3] -> [tile, tile, channels].
        block: pixels a side of one position.
        margin: positions that `run` sees around those it gives.
        tile: positions a side that it gives.
        channels: of the code.

    Returns:
        int8 [ceil(height / block), ceil(width / block), channels].
    """
    import cv2

    height, width = -(-pixels.shape[0] // block), -(-pixels.shape[1] // block)
    edge = margin * block
    below, right = (-(-n // tile) * tile * block + edge - m for n, m in zip((height, width), pixels.shape, strict=False))
    wide = cv2.copyMakeBorder(pixels, edge, below, edge, right, cv2.BORDER_REFLECT)
    code = np.empty((height, width, channels), np.int8)
    side = (tile + 2 * margin) * block
    for top, left in _corners(height, width, tile):
        cut = wide[top * block : top * block + side, left * block : left * block + side]
        inside = code[top : top + tile, left : left + tile]
        inside[:] = run(np.ascontiguousarray(cut).view(np.int8))[: inside.shape[0], : inside.shape[1]]
    return code


def decode_tiles(code: Code, run: Run, *, block: int, margin: int, tile: int, height: int, width: int) -> Pixels:
    """The way back.

    Args:
        code: int8 [h, w, channels].
        run: int8 [tile + 2 margin, same, channels] -> [tile * block, same, 3].
        block, margin, tile: as above.
        height, width: of the picture.

    Returns:
        uint8 [height, width, 3], each byte an int8 value's bits.
    """
    rows, columns = (_mirror(n, margin, -(-n // tile) * tile) for n in code.shape[:2])
    pixels = np.empty((height, width, 3), np.uint8)
    side = tile + 2 * margin
    for top, left in _corners(*code.shape[:2], tile):
        cut = code[rows[top : top + side, None], columns[left : left + side]]
        inside = pixels[top * block : (top + tile) * block, left * block : (left + tile) * block]
        inside[:] = run(cut).view(np.uint8)[: inside.shape[0], : inside.shape[1]]
    return pixels


def _corners(height: int, width: int, tile: int) -> Iterator[tuple[int, int]]:
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            yield top, left


def _mirror(size: int, margin: int, filled: int) -> npt.NDArray[np.intp]:
    """Indices -margin to filled + margin - 1, mirrored into 0 to size - 1, the border itself repeated."""
    index = np.arange(-margin, filled + margin) % (2 * size)
    return np.minimum(index, 2 * size - 1 - index)
