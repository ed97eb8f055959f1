"""Which network: a value with one canonical name."""

import math
from dataclasses import dataclass

#: The names in `edgesdk_train.models.MODELS`, for who must not import TensorFlow.
ARCHITECTURES = (
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "mobilenet_v3_small_minimalistic",
    "mobilenet_v3_large_minimalistic",
)
SMALLEST_RES = 32
LARGEST_RES = 2048


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """An architecture with its two multipliers and its number of classes.

    Attributes:
        arch: name in `edgesdk_train.models.MODELS`, such as "mobilenet_v1".
        width: width multiplier alpha, > 0; every layer's channels are scaled by it.
        res: input height and width in pixels, 32 to 2048.
        classes: number of outputs, >= 2.

    Raises:
        ValueError: if a field is outside its range.
    """

    arch: str = "mobilenet_v1"
    width: float = 1.0
    res: int = 224
    classes: int = 1000

    def __post_init__(self) -> None:
        if not (isinstance(self.width, int | float) and math.isfinite(self.width) and 0 < self.width <= 4):
            raise ValueError(f"width is {self.width!r}, expected a number above 0 and up to 4, such as 0.5")
        if isinstance(self.res, bool) or not isinstance(self.res, int):
            raise ValueError(f"res is {self.res!r}, expected a whole number of pixels, such as 160")
        if not SMALLEST_RES <= self.res <= LARGEST_RES:
            raise ValueError(f"res is {self.res}, expected {SMALLEST_RES} to {LARGEST_RES} pixels, such as 160")
        if self.classes < 2:
            raise ValueError(f"classes is {self.classes}, expected at least 2")

    @property
    def name(self) -> str:
        """The canonical name, such as `mobilenet_v1_0.5_160`."""
        return f"{self.arch}_{self.width:g}_{self.res}"
