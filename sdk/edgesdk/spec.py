"""Which network: a value with one canonical name."""

import math
from typing import Literal

from edgesdk.frozen import frozen

Color = Literal["rgb", "gray"]


@frozen
class Shown:
    """The picture that an architecture's paper shows it.

    Attributes:
        res: height and width in pixels.
        color: "rgb", or "gray" with one channel.
        smallest: fewest pixels of which its strides leave something.
    """

    res: int = 224
    color: Color = "rgb"
    smallest: int = 32


#: The names in `edgesdk_train.models.MODELS`, for who must not import TensorFlow.
ARCHITECTURES: dict[str, Shown] = {
    "mobilenet_v1": Shown(),
    "mobilenet_v2": Shown(),
    "mobilenet_v3_small": Shown(),
    "mobilenet_v3_large": Shown(),
    "mobilenet_v3_small_minimalistic": Shown(),
    "mobilenet_v3_large_minimalistic": Shown(),
    "convnet": Shown(res=32),
    "lenet": Shown(res=32, color="gray"),
    "alexnet": Shown(res=227, smallest=67),
    "alexnet_lrn": Shown(res=227, smallest=67),
    "alexnet_one_tower": Shown(res=227, smallest=67),
    "vgg11": Shown(),
    "vgg11_lrn": Shown(),
    "vgg13": Shown(),
    "vgg16_c": Shown(),
    "vgg16": Shown(),
    "vgg19": Shown(),
    "googlenet": Shown(),
    "googlenet_a": Shown(),
    "resnet18": Shown(),
    "resnet34": Shown(),
    "resnet38": Shown(),
    "resnet50": Shown(),
    "resnet101": Shown(),
    "resnet152": Shown(),
    "autoencoder": Shown(res=28, color="gray", smallest=8),
    "autoencoder_dense": Shown(res=28, color="gray", smallest=8),
    "vae": Shown(res=28, color="gray", smallest=8),
    "gan": Shown(res=28, color="gray", smallest=8),
    "dcgan": Shown(res=28, color="gray", smallest=8),
}
DEFAULT_ARCH = "mobilenet_v1"
LARGEST_RES = 2048


def shown(arch: str) -> Shown:
    """What the architecture is shown; of an unknown one (a file of a newer edgesdk) what most are."""
    return ARCHITECTURES.get(arch, Shown())


@frozen
class ModelSpec:
    """An architecture with its two multipliers and its number of classes.

    Attributes:
        arch: name in `edgesdk_train.models.MODELS`, such as "mobilenet_v1".
        width: width multiplier alpha, > 0; every layer's channels are scaled by it.
        res: input height and width in pixels, 32 (67 for AlexNet, see `ARCHITECTURES`) to 2048.
        classes: number of outputs, >= 2.

    Raises:
        ValueError: if a field is outside its range.
    """

    arch: str = DEFAULT_ARCH
    width: float = 1.0
    res: int = 224
    classes: int = 1000

    def __post_init__(self) -> None:
        if not (isinstance(self.width, int | float) and math.isfinite(self.width) and 0 < self.width <= 4):
            raise ValueError(f"width is {self.width!r}, expected a number above 0 and up to 4, such as 0.5")
        if isinstance(self.res, bool) or not isinstance(self.res, int):
            raise ValueError(f"res is {self.res!r}, expected a whole number of pixels, such as 160")
        smallest = shown(self.arch).smallest
        if not smallest <= self.res <= LARGEST_RES:
            why = f": the strides of {self.arch} leave nothing of fewer" if self.res < smallest else ""
            raise ValueError(f"res is {self.res}, expected {smallest} to {LARGEST_RES} pixels{why}")
        if self.classes < 2:
            raise ValueError(f"classes is {self.classes}, expected at least 2")

    @property
    def name(self) -> str:
        """The canonical name, such as `mobilenet_v1_0.5_160`."""
        return f"{self.arch}_{self.width:g}_{self.res}"


def make_spec(arch: str | None, width: float | None, res: int | None, classes: int = 2) -> ModelSpec:
    """The spec of what was said; what was not said is MobileNet V1, width 1 and the architecture's own resolution.

    Raises:
        ValueError: if there is no such architecture, or a field is outside its range.
    """
    arch = DEFAULT_ARCH if arch is None else arch
    if arch not in ARCHITECTURES:
        raise ValueError(f"arch is {arch!r}, expected one of {', '.join(ARCHITECTURES)}")
    size = shown(arch).res if res is None else res
    return ModelSpec(arch=arch, width=1.0 if width is None else width, res=size, classes=classes)
