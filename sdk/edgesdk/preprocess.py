"""From a frame to the model's input: the one path that training, calibration and the device share.

A frame is what OpenCV gives: uint8 [height, width, 3], BGR (grey [height, width] and BGRA are taken too). `fit_frame`
brings it to the model's size and colour order, still as bytes; a 256-entry `value_table` then maps each byte to the
tensor's value. Integer models whose bytes need no change skip the table, so that nothing is computed in float.
"""

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgesdk.errors import DataError
from edgesdk.frozen import frozen
from edgesdk.spec import ModelSpec, shown

Pixels = npt.NDArray[np.uint8]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
LARGEST_PHOTO_BYTES = 256 * 2**20
MOST_VALUES = 2**26
LAID_ROWS = 64
MOST_PIXELS = 2**28  # of a photo: decoded, it takes 0.8 GB

# OpenCV looks at this once, when it is loaded; its own limit is four times as high.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MOST_PIXELS))


Resize = Literal["crop", "squash", "letterbox"]

#: The value table of an int8 model that takes bytes less 128.
_SHIFT = np.arange(-128, 128, dtype=np.int8)


@frozen
class ImageInput:
    """How a frame becomes the model's input.

    Attributes:
        height, width: of the input tensor, in pixels.
        channels: 3 for "rgb", 1 for "gray", any for "latent".
        color: channel order of the input tensor; "latent" is a code, which comes as bytes: those of a
            codec have 128 added, those of a generator are value * std + mean.
        resize: "crop" takes the largest centred part of the input's shape, "squash" ignores the frame's shape,
            "letterbox" shows the whole frame and fills the rest with the mean.
        interpolation: "linear" (frames over 4 times too large are box-averaged by a whole factor first) or "nearest".
        mean, std: the network sees (byte - mean) / std.
    """

    height: int
    width: int
    channels: int = 3
    color: Literal["rgb", "gray", "latent"] = "rgb"
    resize: Resize = "crop"
    interpolation: Literal["linear", "nearest"] = "linear"
    mean: float = 128.0
    std: float = 128.0

    def __post_init__(self) -> None:
        if not (1 <= self.height <= 4096 and 1 <= self.width <= 4096):
            raise ValueError(f"input size is {self.height}x{self.width}, expected 1 to 4096 pixels a side")
        if self.channels != {"rgb": 3, "gray": 1}.get(self.color, self.channels):
            raise ValueError(f"{self.color} input with {self.channels} channels, expected rgb with 3 or gray with 1")
        if not 1 <= self.height * self.width * self.channels <= MOST_VALUES:
            raise ValueError(f"the input is {self.shape}, expected at most {MOST_VALUES >> 20} million values")
        if not self.std > 0:
            raise ValueError(f"std is {self.std}, expected a number above 0")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.height, self.width, self.channels


def input_of(spec: ModelSpec, resize: Resize = "crop") -> ImageInput:
    """The input of a network that edgesdk builds: its resolution, in the colours that its architecture is shown."""
    color = shown(spec.arch).color
    return ImageInput(
        height=spec.res, width=spec.res, channels={"rgb": 3, "gray": 1}[color], color=color, resize=resize
    )


def read_photo(path: Path | str) -> Pixels:
    """A photo file as a frame: upright (EXIF), alpha laid on white, grey and CMYK brought to colour.

    Returns:
        uint8 [height, width, 3], BGR.

    Raises:
        DataError: if the file is missing, cut short or not an image.
    """
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST_PHOTO_BYTES:
            raise DataError(f"{path} is larger than {LARGEST_PHOTO_BYTES >> 20} MiB, too large for a photo")
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    frame = decode_photo(data)
    if frame is None:
        raise DataError(f"{path} is not an image that OpenCV can decode, or it is cut short; replace or remove it")
    return frame


def decode_photo(data: bytes) -> Pixels | None:
    """As `read_photo`, from the file's bytes; None where they are not a whole image."""
    import cv2

    # libjpeg fills what is missing with grey and reports success: a photo without its end marker is damaged.
    if data[:2] == b"\xff\xd8" and data.rfind(b"\xff\xd9") < len(data) // 2:
        return None
    if data[:8] == PNG_SIGNATURE and not _png_ends(data):
        return None
    with_alpha = data[:8] == PNG_SIGNATURE and len(data) > 25 and data[25] in (4, 6)
    try:
        encoded = np.frombuffer(data, np.uint8)
        frame = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED if with_alpha else cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    if frame is None:
        return None
    return _on_white(frame) if with_alpha else np.asarray(frame, np.uint8)


def _png_ends(data: bytes) -> bool:
    """Whether a PNG's parts fit into it, up to the last: OpenCV takes memory for what they say, up to 2 GB."""
    at = len(PNG_SIGNATURE)
    while at + 12 <= len(data):
        if data[at + 4 : at + 8] == b"IEND":
            return True
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return False


def fit_frame(frame: npt.NDArray[Any], image_input: ImageInput, out: Pixels | None = None) -> Pixels:
    """Bring a frame to the model's size and colour order.

    Args:
        frame: uint8 [h, w, 3] BGR, [h, w, 4] BGRA or [h, w] grey; any size.
        image_input: from the contract.
        out: contiguous, of the result's shape, to be written and returned instead of new memory.

    Returns:
        uint8 [height, width, channels], contiguous.

    Raises:
        ValueError: if the frame is not uint8 or not of one of those shapes.
    """
    import cv2

    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8:
        found = frame.dtype if isinstance(frame, np.ndarray) else type(frame).__name__
        raise ValueError(f"frame is {found}, expected a uint8 array with values 0 to 255, as OpenCV gives it")
    if frame.ndim == 3 and frame.shape[2] == 1:
        frame = frame[..., 0]
    if frame.size == 0 or frame.ndim not in (2, 3) or (frame.ndim == 3 and frame.shape[2] not in (3, 4)):
        raise ValueError(f"frame has shape {frame.shape}, expected [height, width, 3] in BGR order, or grey [h, w]")

    height, width = image_input.height, image_input.width
    if image_input.color == "latent":
        raise ValueError("the model takes a code, not a frame: a codec's with Codec.decode, others with Generator")
    if image_input.resize == "crop":
        frame = _center_crop(frame, height, width)
    if image_input.resize == "letterbox":
        scale = min(height / frame.shape[0], width / frame.shape[1])
        inner = max(1, round(frame.shape[0] * scale)), max(1, round(frame.shape[1] * scale))
        top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
        edges = top, height - inner[0] - top, left, width - inner[1] - left
        fill = [round(image_input.mean)] * 3
        frame = cv2.copyMakeBorder(_resize(frame, *inner, image_input), *edges, cv2.BORDER_CONSTANT, value=fill)
    else:
        frame = _resize(frame, height, width, image_input)
    return _recolor(frame, image_input.color, out)


def value_table(
    image_input: ImageInput, dtype: npt.DTypeLike, scale: float, zero_point: int
) -> npt.NDArray[Any] | None:
    """What each byte becomes in the input tensor.

    Args:
        image_input: gives mean and std.
        dtype: of the input tensor: float32, uint8 or int8.
        scale, zero_point: the input tensor's quantization; unused for float32.

    Returns:
        [256] of `dtype`, or None where every byte stays as it is.
    """
    real = ((np.arange(256) - image_input.mean) / image_input.std).astype(np.float32)
    if np.dtype(dtype) == np.float32:
        return real
    limits = np.iinfo(np.dtype(dtype))
    table = np.clip(np.round(real / scale) + zero_point, limits.min, limits.max).astype(dtype)
    if np.array_equal(table, _SHIFT):
        return _SHIFT  # `to_tensor` knows it
    return None if np.array_equal(table, np.arange(256)) else table


def to_tensor(
    pixels: Pixels, table: npt.NDArray[Any] | None, values: npt.NDArray[Any] | None = None
) -> npt.NDArray[Any]:
    """Bytes [..., height, width, channels] -> the tensor's values, same shape, through `value_table`.

    Args:
        values: written and returned instead of new memory.
    """
    if table is None:
        if values is None or values is pixels:
            return pixels
        np.copyto(values, pixels)
        return values
    if table is _SHIFT:  # one bit, without looking anything up
        bits = np.bitwise_xor(pixels, 128, out=None if values is None else values.view(np.uint8))
        return bits.view(np.int8) if values is None else values
    if pixels.ndim != 3:
        return np.take(table, pixels, out=values, mode="clip")  # "raise" would write by way of a copy
    import cv2

    mapped = cv2.LUT(pixels, table, dst=values)  # a third of numpy's time
    if values is None:
        return mapped.reshape(pixels.shape)
    if mapped is not values:  # a single channel loses its dimension in OpenCV
        np.copyto(values, mapped.reshape(pixels.shape))
    return values


def _on_white(frame: npt.NDArray[Any]) -> Pixels:
    """Lay a decoded PNG with alpha on white; 16-bit channels become 8-bit ones."""
    laid = np.empty((*frame.shape[:2], 3), np.uint8)
    for top in range(0, len(frame), LAID_ROWS):  # in between, a row takes many times its bytes
        laid[top : top + LAID_ROWS] = _rows_on_white(frame[top : top + LAID_ROWS])
    return laid


def _rows_on_white(frame: npt.NDArray[Any]) -> Pixels:
    wide = (frame // 257 if frame.dtype == np.uint16 else frame).astype(np.uint16)
    if wide.ndim == 2:  # grey with alpha, from which this build of OpenCV drops the alpha
        return np.dstack([wide] * 3).astype(np.uint8)
    color, alpha = (wide[..., :3], wide[..., 3:]) if wide.shape[2] == 4 else (wide[..., :1], wide[..., 1:])
    laid = (color * alpha + 255 * (255 - alpha) + 127) // 255
    return np.repeat(laid, 3 // color.shape[2], axis=2).astype(np.uint8)


def _center_crop(frame: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[Any]:
    h, w = frame.shape[:2]
    if h * width > w * height:
        keep_h, keep_w = max(1, round(w * height / width)), w
    else:
        keep_h, keep_w = h, max(1, round(h * width / height))
    top, left = (h - keep_h) // 2, (w - keep_w) // 2
    return frame[top : top + keep_h, left : left + keep_w]


def _resize(frame: npt.NDArray[Any], height: int, width: int, image_input: ImageInput) -> npt.NDArray[Any]:
    import cv2

    h, w = frame.shape[:2]
    if (h, w) == (height, width):
        return frame
    if image_input.interpolation == "nearest":
        return cv2.resize(frame, (width, height), interpolation=cv2.INTER_NEAREST)
    # Bilinear looks at 2x2 pixels only: on a 12-megapixel photo that is noise. Averaging whole blocks first costs
    # one pass, and camera frames up to 4 times the input's size are not touched by it.
    factor = min(h // height, w // width) // 2
    if factor >= 2:
        h, w = h // factor, w // factor
        frame = cv2.resize(frame[: h * factor, : w * factor], (w, h), interpolation=cv2.INTER_AREA)
    # Where 3, 5, ... rows become one, bilinear gives the middle one its whole weight: the other rows need not come into
    # the cache. The same for columns. Tests hold that no byte changes.
    rows, columns = _odd_multiple(h, height), _odd_multiple(w, width)
    # Copied first, rows that are not in cache come in half the time; where none is skipped a copy only costs.
    middle = frame if rows == 1 else np.ascontiguousarray(frame[rows // 2 :: rows])
    if columns == 1 or len(middle) != height:
        return cv2.resize(middle, (width, height), interpolation=cv2.INTER_LINEAR)
    channels = frame.shape[2] if frame.ndim == 3 else 1
    first = columns // 2 * channels
    blocks = middle.reshape(height, width, columns * channels)
    if channels == 1:
        return np.ascontiguousarray(blocks[..., first])
    # Four bytes at once, as one number: a pixel's colour, and what is beside it as an alpha that nobody looks at.
    pixels = np.ascontiguousarray(blocks[..., first : first + 4].view(np.uint32))
    return pixels.view(np.uint8)


def _odd_multiple(source: int, target: int) -> int:
    """How many times the target fits into the source, if exactly and an odd number of times; else 1."""
    factor, rest = divmod(source, target)
    return factor if not rest and factor % 2 else 1


def _recolor(frame: npt.NDArray[Any], color: str, out: Pixels | None) -> Pixels:
    import cv2

    source = "GRAY" if frame.ndim == 2 else {3: "BGR", 4: "BGRA"}[frame.shape[2]]
    if color == "gray":
        grey = frame if source == "GRAY" else cv2.cvtColor(frame, getattr(cv2, f"COLOR_{source}2GRAY"))
        fitted = np.ascontiguousarray(grey[..., None], dtype=np.uint8)
    else:
        fitted = np.asarray(cv2.cvtColor(frame, getattr(cv2, f"COLOR_{source}2RGB"), dst=out), dtype=np.uint8)
    if out is None or fitted is out:
        return fitted
    np.copyto(out, fitted)
    return out
