"""What the contract of a codec's half holds beside what every contract holds."""

import math
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from edgesdk.codecs.context import Tables
from edgesdk.errors import ModelFileError
from edgesdk.frozen import frozen

QUALITIES = 100


@frozen
class CodecPart:
    """One half of a codec.

    Attributes:
        id: eight hexadecimal digits that both halves and every stream of the codec carry.
        half: which one.
        block: pixels a side that one position of the code stands for.
        margin: positions of the code on each side that the half sees beyond those it gives.
        lowest_gain: contrast of quality 1; quality 100 has contrast 1, those between divide the range evenly in the
            logarithm.
        parity: a digit a channel: what becomes of its value in a mirrored block; 1 = turned over if mirrored
            vertically, 2 = horizontally, 3 = both.
        whole: whether a picture is one tile, brought to the tile's size whatever its own, as thumbnails are.
        tables: of the entropy coder.
        background: base64 of a PNG that frames are coded as half their difference from; "" for none.
    """

    id: str
    half: Literal["encoder", "decoder"]
    block: int
    margin: int
    lowest_gain: float
    tables: Tables
    parity: str
    whole: bool = False
    background: str = ""

    def __post_init__(self) -> None:
        if len(self.id) != 8 or set(self.id) - set("0123456789abcdef"):
            raise ModelFileError(
                f"the codec's id is {self.id[:20]!r}, expected 8 hexadecimal digits: the file is damaged"
            )
        if len(self.parity) != self.tables.channels or set(self.parity) - set("0123"):
            raise ModelFileError("the codec's parity does not fit its channels: the file is damaged")
        if not (1 <= self.block <= 64 and 0 <= self.margin <= 16 and 0 < self.lowest_gain <= 1):
            raise ModelFileError("the codec's sizes are out of range: the file is damaged")

    @cached_property
    def mirrored(self) -> npt.NDArray[np.int8]:
        """+1 or -1 of each channel in a block that is mirrored [vertically, horizontally], int8 [2, channels]."""
        digits = np.array([int(digit) for digit in self.parity])
        signs: npt.NDArray[np.int8] = np.stack([1 - 2 * (digits & 1), 1 - (digits & 2)]).astype(np.int8)
        return signs

    def gain(self, quality: int) -> float:
        """The contrast of a quality, 1 to 100.

        Raises:
            ValueError: if it is none.
        """
        return gain_of(quality, self.lowest_gain)

    def level(self, quality: int) -> int:
        """Which of the tables' expectations belong to a quality."""
        return level_of(quality, self.tables.levels)


def gain_of(quality: int, lowest_gain: float) -> float:
    """The contrast of a quality: 1 at 100, `lowest_gain` at 1, evenly in the logarithm between.

    Raises:
        ValueError: if the quality is not from 1 to 100.
    """
    if not 1 <= quality <= QUALITIES:
        raise ValueError(f"quality is {quality}, expected 1 to {QUALITIES}")
    return math.exp(math.log(lowest_gain) * (QUALITIES - quality) / (QUALITIES - 1))


def level_of(quality: int, levels: int) -> int:
    """The nearest of so many levels, 0 to levels - 1."""
    return ((quality - 1) * (levels - 1) * 2 + QUALITIES - 1) // (2 * (QUALITIES - 1))
