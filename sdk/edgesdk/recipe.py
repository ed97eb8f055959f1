"""How a trained network becomes a file: the value, and the recipes that have a name."""

import math
from collections.abc import Callable
from typing import Literal, get_args

from edgesdk.frozen import frozen

Precision = Literal["float32", "float16", "dynamic", "int8", "int16x8"]
Io = Literal["float32", "uint8", "int8"]
#: What mends int8 without labels: see `edgesdk_convert.equalize` and `edgesdk_convert.biascorrect`.
Repair = Literal["equalize", "correct_biases"]
Quantizer = Literal["tensorflow", "ai-edge"]

#: Precisions whose activations need ranges.
CALIBRATED = ("int8", "int16x8")


@frozen
class Recipe:
    """What is asked for, and in a contract also what was done.

    Attributes:
        precision: "float32"; "float16" weights; "dynamic" (int8 weights, float activations); "int8" weights and
            activations; "int16x8" (int8 weights, int16 activations).
        io: type of the input and output tensors.
        quantizer: who makes int8; "ai-edge" needs no TensorFlow, but repairs nothing.
        shrink: multiply-adds to keep, as a share of the network's, by removing channels; None: all.
        prune: share of zeros among the weights of the dense layers and convolutions, but depthwise ones; 0: none.
        cluster: how many distinct values those layers' weights may have; 0: any.
        qat: quantization-aware training, int8 only.
        max_drop: points of top-1 that may be lost against the float network; None: any.
        min_snr: signal to noise that the outputs before the softmax must keep, in dB; None: any.
        repairs: those that int8 may get where they help.
        calibration: number of images that set the activations' ranges, anchors included.
        steps: what was done, in order, in words.

    Raises:
        ValueError: if a field is outside its range or contradicts another.
    """

    precision: Precision = "float32"
    io: Io = "float32"
    quantizer: Quantizer = "tensorflow"
    shrink: float | None = None
    prune: float = 0.0
    cluster: int = 0
    qat: bool = False
    max_drop: float | None = None
    min_snr: float | None = None
    repairs: tuple[Repair, ...] = ("equalize", "correct_biases")
    calibration: int = 0
    steps: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        named = (("precision", Precision), ("io", Io), ("quantizer", Quantizer))
        for name, known in named:
            if (found := getattr(self, name)) not in get_args(known):
                raise ValueError(f"{name} is {found!r}, expected one of {', '.join(get_args(known))}")
        if self.precision != "int8" and self.io != "float32":
            raise ValueError(f"io is {self.io!r} for a {self.precision} model, expected float32")
        if self.quantizer == "ai-edge" and (self.precision, self.io) != ("int8", "int8"):
            raise ValueError(f"ai-edge makes int8 files with int8 input, not {self.precision} with {self.io}")
        if self.quantizer == "ai-edge" and self.qat:
            raise ValueError("ai-edge quantizes a trained network, it does not train one: leave out --qat")
        if self.qat and self.precision != "int8":
            raise ValueError(f"quantization-aware training makes int8 files, but the precision is {self.precision}")
        if self.shrink is not None and not 0 < self.shrink < 1:
            raise ValueError(f"shrink is {self.shrink}, expected the share of multiply-adds to keep, such as 0.5")
        if not 0 <= self.prune < 1:
            raise ValueError(f"prune is {self.prune}, expected a share of zeros from 0 to below 1, such as 0.8")
        if self.cluster != 0 and not 2 <= self.cluster <= 256:
            raise ValueError(f"cluster is {self.cluster}, expected 2 to 256 distinct weights, such as 16")
        if self.max_drop is not None and not 0 <= self.max_drop < math.inf:
            raise ValueError(f"max_drop is {self.max_drop}, expected points of top-1 from 0 up, such as 1")
        if self.min_snr is not None and not math.isfinite(self.min_snr):
            raise ValueError(f"min_snr is {self.min_snr}, expected dB such as 30")

    @property
    def learns(self) -> bool:
        """Whether the network must learn again on the user's photos on its way."""
        return self.shrink is not None or self.prune > 0 or self.cluster > 0 or self.qat


def tiny() -> Recipe:
    """Fewest bytes to send: four of five weights zero, the rest int8. The file is as fast as without zeros.

    The bytes are saved once the file is compressed (an app package, HTTP with gzip, an update over the air).
    """
    return Recipe(precision="int8", io="uint8", prune=0.8)


def fast() -> Recipe:
    """Fewest milliseconds: half of the multiply-adds, taken out as whole channels, then int8."""
    return Recipe(precision="int8", io="uint8", shrink=0.5)


def accurate() -> Recipe:
    """At most half a point of top-1 lost: int8 where it can be repaired, else the cheapest precision that passes."""
    return Recipe(precision="int8", io="uint8", max_drop=0.5)


#: `--recipe` NAME -> the function that makes it.
RECIPES: dict[str, Callable[[], Recipe]] = {"tiny": tiny, "fast": fast, "accurate": accurate}
