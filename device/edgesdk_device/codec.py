"""A frame to a few bytes and back."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

import edgesdk
from edgesdk import modelfile
from edgesdk.codecs.context import THRIFT_BITS, Code
from edgesdk.codecs.part import QUALITIES, CodecPart
from edgesdk.codecs.stream import CHECK_BYTES, Head, checksum, read_varint, unpack_head, write_varint
from edgesdk.errors import ModelFileError, StreamError
from edgesdk.preprocess import Pixels, read_photo
from edgesdk_device.classifier import Model
from edgesdk_device.entropy import decode_code, encode_code
from edgesdk_device.tiles import decode_tiles, encode_tiles

ENCODER_FILE, DECODER_FILE = "encoder.tflite", "decoder.tflite"
SHIPPED = Path(edgesdk.__file__).parent / "codecs"
BAND = 12288  # positions that are coded together at most: more would need memory, fewer would lose contexts


class Codec:
    """Compresses frames with a small autoencoder, and brings them back.

        with Codec("photo") as codec:
            data = codec.compress(frame, quality=40)
            frame = codec.decompress(data)

    Args:
        name: "photo" or "thumbnail", which come with edgesdk, or a folder with encoder.tflite and decoder.tflite.
        backend: "auto", "litert" or "tflite-runtime".
        threads: CPU threads.

    Raises:
        ModelFileError: if a half is missing, damaged, or belongs to another codec; at its first use.
        BackendError: if no runtime takes it; at its first use.
    """

    def __init__(self, name: Path | str = "photo", *, backend: str = "auto", threads: int = 1) -> None:
        self.folder, self._backend, self._threads = find_codec(name), backend, threads

    @cached_property
    def encoder(self) -> Model:
        """The half that makes codes."""
        return self._open(ENCODER_FILE, "encoder")

    @cached_property
    def decoder(self) -> Model:
        """The half that makes pictures."""
        return self._open(DECODER_FILE, "decoder")

    @cached_property
    def part(self) -> CodecPart:
        """What both halves' contracts hold, of whichever is loaded."""
        model = self.decoder if "decoder" in self.__dict__ or "encoder" not in self.__dict__ else self.encoder
        assert model.contract.codec is not None
        return model.contract.codec

    @property
    def id(self) -> str:
        """Eight hexadecimal digits that every stream of this codec carries."""
        return self.part.id

    def compress(self, frame: npt.NDArray[Any] | Path | str, quality: int = 50) -> bytes:
        """A frame -> a stream that `decompress` and `edgesdk decompress` read.

        Args:
            frame: uint8 [h, w, 3] BGR, grey [h, w], or the path of a photo.
            quality: 1 to 100.

        Raises:
            ValueError: if the frame is of another dtype or shape.
            DataError: if the photo cannot be read.
        """
        pixels, grey = as_frame(frame)
        return self.pack(self.encode(pixels, quality), quality, pixels.shape[:2], grey=grey)

    def decompress(self, data: bytes) -> Pixels:
        """The frame of a stream, uint8 [h, w, 3] BGR, or [h, w] where it was grey.

        Raises:
            StreamError: if the stream is damaged, cut short, of another codec or of a newer version.
        """
        head, end = unpack_head(data)
        if head.session is not None:
            raise StreamError("the data begins a session of frames, expected one picture: give it to a Receiver")
        self.expect(head)
        given = int.from_bytes(data[end : end + CHECK_BYTES], "big")
        code, low = self.unpack(data[end + CHECK_BYTES :], head)
        found = checksum(code.tobytes(), before=checksum(data[:end]))
        if found != given << 16 | low:
            raise StreamError("the stream's checksum does not match what it decodes to: it is damaged")
        return self.decode(code, head)

    def encode(self, frame: Pixels, quality: int) -> Code:
        """A frame's code, int8 [ceil(h / block), ceil(w / block), channels], before entropy coding.

        Args:
            frame: uint8 [h, w, 3], BGR.
            quality: 1 to 100.
        """
        import cv2

        part, size = self.encoder.contract.codec, self.encoder.contract.input
        assert part is not None
        if part.whole:
            frame = _resized(frame, size.height, size.width)
        contrast = np.rint((np.arange(256) - 128) * part.gain(quality)).astype(np.int8).view(np.uint8)
        pixels = cv2.LUT(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), contrast)
        rows, columns, channels = self.encoder.backend.output.shape[1:]
        run = self.encoder.backend.invoke
        if part.whole:
            return np.asarray(run(pixels.view(np.int8)), np.int8).reshape(rows, columns, channels)
        return encode_tiles(
            np.asarray(pixels, np.uint8),
            lambda cut: np.asarray(run(cut)[0], np.int8),
            block=part.block,
            margin=part.margin,
            tile=(rows, columns),
            channels=channels,
        )

    def decode(self, code: Code, head: Head) -> Pixels:
        """A code's frame, uint8 BGR, as its head says."""
        import cv2

        part = self.decoder.contract.codec
        assert part is not None
        run, given = self.decoder.backend.invoke, self.decoder.backend.output.shape
        if part.whole:
            pixels = np.asarray(run(code)[0], np.int8).view(np.uint8)
        else:
            pixels = decode_tiles(
                code,
                lambda cut: np.asarray(run(cut)[0], np.int8),
                mirrored=part.mirrored,
                block=part.block,
                margin=part.margin,
                tile=(given[1] // part.block, given[2] // part.block),
                height=head.height,
                width=head.width,
            )
        signed = np.arange(256).astype(np.uint8).view(np.int8)
        bytes_of = np.clip(np.rint(signed / part.gain(head.quality)) + 128, 0, 255).astype(np.uint8)
        frame = cv2.cvtColor(cv2.LUT(pixels, bytes_of), cv2.COLOR_RGB2BGR)
        if part.whole:
            frame = _resized(np.asarray(frame, np.uint8), head.height, head.width)
        return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) if head.grey else frame, np.uint8)

    def pack(self, code: Code, quality: int, size: tuple[int, ...], *, grey: bool = False) -> bytes:
        """A code -> the stream of a picture of this height and width."""
        start = Head(codec=self.id, quality=quality, height=size[0], width=size[1], grey=grey).pack()
        payload, check = self.pack_code(code, quality, start)
        return start + (check >> 16).to_bytes(CHECK_BYTES, "big") + payload

    def pack_code(self, code: Code, quality: int, start: bytes) -> tuple[bytes, int]:
        """A code -> its bytes, and the CRC-32 of `start` and the code that they stand for."""
        tables, level = self.part.tables, self.part.level(quality)
        rows, check = _bands(code.shape), checksum(start)
        parts: list[bytes] = []

        def low_bits(kept: Code) -> int:
            nonlocal check
            check = checksum(kept.tobytes(), before=check)
            return check & 0xFFFF if len(parts) == len(rows) - 1 else 0

        for band in rows:
            data, _ = encode_code(code[band], tables, level, low_bits, thrift=THRIFT_BITS)
            parts.append(data if len(parts) == len(rows) - 1 else write_varint(len(data)) + data)
        return b"".join(parts), check

    def unpack(self, data: bytes, head: Head) -> tuple[Code, int]:
        """The code in a picture's or a session frame's bytes, and the low 16 bits of its check."""
        part = self.part
        if part.whole:
            shape = self.decoder.contract.input.shape
        else:
            shape = (-(-head.height // part.block), -(-head.width // part.block), part.tables.channels)
        level, bands, low = part.level(head.quality), [], 0
        rows = _bands(shape)
        for band in rows:
            here = (band.stop - band.start, *shape[1:])
            piece = data
            if band is not rows[-1]:
                length, start = read_varint(data, 0)
                piece, data = data[start : start + length], data[start + length :]
            code, low = decode_code(piece, here, part.tables, level)
            if band is not rows[-1] and low:
                raise StreamError("the stream's bands are not in order: it is damaged")
            bands.append(code)
        return np.concatenate(bands), low

    def expect(self, head: Head) -> None:
        """Refuse a stream of another codec.

        Raises:
            StreamError: names both.
        """
        if head.codec != self.id:
            raise StreamError(
                f"the stream was made by the codec {head.codec}, this one is {self.decoder.contract.name} ({self.id}): "
                "open it with the codec that made it"
            )

    def _open(self, file: str, half: str) -> Model:
        model = Model(self.folder / file, backend=self._backend, threads=self._threads)
        part = model.contract.codec
        if part is None or part.half != half:
            model.close()
            raise ModelFileError(f"{self.folder / file} is no codec's {half}: make one with `edgesdk train`")
        other = self.__dict__.get("encoder" if half == "decoder" else "decoder")
        if other is not None and other.contract.codec.id != part.id:
            model.close()
            raise ModelFileError(
                f"{self.folder} holds halves of two codecs, {other.contract.codec.id} and {part.id}: copy both files "
                "of one"
            )
        return model

    def close(self) -> None:
        """Free the runtimes."""
        for half in ("encoder", "decoder"):
            if half in self.__dict__:
                self.__dict__[half].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, kw_only=True)
class Compressed:
    """A stream, the quality that was chosen for it and, where it was asked for, its PSNR in dB."""

    data: bytes
    quality: int
    psnr_db: float | None = None


def compress_within(codec: Codec, frame: npt.NDArray[Any] | Path | str, most_bytes: int) -> Compressed:
    """The best quality whose stream has at most so many bytes.

    Raises:
        ValueError: if even quality 1 has more.
    """
    frame = _loaded(frame)  # once, not at each try
    pixels, _ = as_frame(frame)
    best, low, high = None, 1, QUALITIES
    while low <= high:
        quality = (low + high) // 2
        data = codec.compress(frame, quality)
        if len(data) <= most_bytes:
            best, low = Compressed(data=data, quality=quality), quality + 1
        else:
            least, high = len(data), quality - 1
    if best is None:
        raise ValueError(
            f"the target is {most_bytes} bytes, but {pixels.shape[1]}x{pixels.shape[0]} pixels need {least}"
        )
    return best


def compress_to_psnr(codec: Codec, frame: npt.NDArray[Any] | Path | str, psnr_db: float) -> Compressed:
    """The lowest quality whose picture has at least this PSNR over all colours.

    Raises:
        ValueError: if even quality 100 has less.
    """
    frame = _loaded(frame)  # once, not at each try
    pixels, _ = as_frame(frame)
    best, low, high, most = None, 1, QUALITIES, 0.0
    while low <= high:
        quality = (low + high) // 2
        data = codec.compress(frame, quality)
        found = psnr(pixels, as_frame(codec.decompress(data))[0])
        most = max(most, found)
        if found >= psnr_db:
            best, high = Compressed(data=data, quality=quality, psnr_db=found), quality - 1
        else:
            low = quality + 1
    if best is None:
        raise ValueError(f"the target is {psnr_db:g} dB, but quality {QUALITIES} gives {most:.1f} dB here")
    return best


def psnr(one: Pixels, other: Pixels) -> float:
    """Peak signal to noise of two frames in dB, over all colours; infinite where they are equal."""
    error = np.mean((one.astype(np.float32) - other) ** 2, dtype=np.float64)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def shipped_codecs() -> list[str]:
    """Names of the codecs that come with edgesdk."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{DECODER_FILE}"))


def find_codec(name: Path | str) -> Path:
    """The folder of a codec: its own, or that of one that comes with edgesdk.

    Raises:
        ModelFileError: if there is no such codec.
    """
    known = shipped_codecs()
    if str(name) in known:
        return SHIPPED / str(name)
    folder = Path(name)
    if not any((folder / half).is_file() for half in (ENCODER_FILE, DECODER_FILE)):
        raise ModelFileError(
            f"there is no codec {str(name)!r}, expected {', '.join(known)} or a folder with {ENCODER_FILE} and "
            f"{DECODER_FILE}"
        )
    return folder


def codec_of(data: bytes) -> str:
    """The name of the codec that comes with edgesdk and made a stream.

    Raises:
        StreamError: if the stream is no picture of ours, or none of those codecs made it.
    """
    head, _ = unpack_head(data)
    ids = {}
    for name in shipped_codecs():
        part = modelfile.read(find_codec(name) / DECODER_FILE).required_contract().codec
        assert part is not None
        ids[part.id] = name
    if head.codec not in ids:
        known = ", ".join(f"{name} ({one})" for one, name in ids.items())
        raise StreamError(
            f"the stream was made by the codec {head.codec}, which does not come with edgesdk, only {known} do: name "
            "its folder"
        )
    return ids[head.codec]


def as_frame(frame: npt.NDArray[Any] | Path | str) -> tuple[Pixels, bool]:
    """A photo's path or a frame -> uint8 [h, w, 3] BGR, and whether it was grey.

    Raises:
        ValueError: if a frame is of another dtype or shape.
        DataError: if the photo cannot be read.
    """
    frame = _loaded(frame)
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8:
        found = frame.dtype if isinstance(frame, np.ndarray) else type(frame).__name__
        raise ValueError(f"frame is {found}, expected a uint8 array with values 0 to 255, as OpenCV gives it")
    if frame.size and (frame.ndim == 2 or (frame.ndim == 3 and frame.shape[2] == 1)):
        return np.repeat(frame.reshape(*frame.shape[:2], 1), 3, 2), True
    if not frame.size or frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError(f"frame has shape {frame.shape}, expected [height, width, 3] in BGR order, or grey [h, w]")
    return np.ascontiguousarray(frame), False


def _loaded(frame: npt.NDArray[Any] | Path | str) -> npt.NDArray[Any]:
    return read_photo(frame) if isinstance(frame, str | Path) else frame


def _resized(frame: Pixels, height: int, width: int) -> Pixels:
    import cv2

    if frame.shape[:2] == (height, width):
        return frame
    smaller = frame.shape[0] > height or frame.shape[1] > width
    interpolation = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(frame, (width, height), interpolation=interpolation), np.uint8)


def _bands(shape: tuple[int, ...]) -> list[slice]:
    """Rows of a code that are coded together."""
    rows = max(1, BAND // shape[1])
    return [slice(top, min(top + rows, shape[0])) for top in range(0, shape[0], rows)]
