import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edgesdk.errors import DataError
from edgesdk.preprocess import ImageInput, decode_photo, fit_frame, read_photo, to_tensor, value_table

SMALL = ImageInput(height=2, width=2, interpolation="nearest")


def test_crop_takes_the_centre_and_turns_bgr_into_rgb() -> None:
    frame = np.zeros((2, 4, 3), np.uint8)
    frame[:, 1:3] = (10, 20, 30)
    assert fit_frame(frame, SMALL).tolist() == [[[30, 20, 10]] * 2] * 2


def test_squash_shows_the_whole_frame() -> None:
    frame = np.zeros((2, 4, 3), np.uint8)
    frame[:, 2:] = 9
    squash = ImageInput(height=2, width=2, resize="squash", interpolation="nearest")
    assert fit_frame(frame, squash)[0, :, 0].tolist() == [0, 9]


def test_letterbox_fills_with_the_mean() -> None:
    letterbox = ImageInput(height=4, width=4, resize="letterbox", interpolation="nearest")
    fitted = fit_frame(np.full((2, 4, 3), 7, np.uint8), letterbox)
    assert fitted[:, 0, 0].tolist() == [128, 7, 7, 128]


def test_gray_input_and_gray_frames() -> None:
    gray = ImageInput(height=2, width=2, channels=1, color="gray")
    assert fit_frame(np.full((2, 2), 77, np.uint8), gray).tolist() == [[[77], [77]]] * 2
    assert fit_frame(np.full((2, 2, 3), 77, np.uint8), gray).shape == (2, 2, 1)
    assert fit_frame(np.full((2, 2), 77, np.uint8), SMALL).tolist() == [[[77] * 3] * 2] * 2


def test_a_large_photo_is_averaged_not_sampled() -> None:
    """Black and white columns of one pixel: bilinear alone would pick columns, the average is grey."""
    stripes = np.zeros((1600, 1600, 3), np.uint8)
    stripes[:, ::2] = 255
    fitted = fit_frame(stripes, ImageInput(height=160, width=160))
    assert abs(fitted.astype(int) - 128).max() <= 1


@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    resize=st.sampled_from(("crop", "squash", "letterbox")),
    kind=st.sampled_from(((), (1,), (3,), (4,))),
)
def test_every_frame_comes_out_in_the_inputs_shape(height: int, width: int, resize: str, kind: tuple[int, ...]) -> None:
    frame = np.full((height, width, *kind), 200, np.uint8)
    fitted = fit_frame(frame, ImageInput(height=32, width=48, resize=resize))  # type: ignore[arg-type]
    assert fitted.shape == (32, 48, 3)
    assert fitted.dtype == np.uint8
    assert fitted.flags.c_contiguous


def by_definition(frame: np.ndarray, image_input: ImageInput) -> np.ndarray:  # type: ignore[type-arg]
    """What the contract promises, in OpenCV's plainest words, for BGR frames that fit the shape without a crop."""
    height, width = image_input.height, image_input.width
    if image_input.resize == "letterbox":
        scale = min(height / frame.shape[0], width / frame.shape[1])
        inner = max(1, round(frame.shape[0] * scale)), max(1, round(frame.shape[1] * scale))
        fitted = np.full((height, width, 3), 128, np.uint8)
        top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
        fitted[top : top + inner[0], left : left + inner[1]] = scaled(frame, *inner, image_input)
    else:
        if image_input.resize == "crop":
            h, w = frame.shape[:2]
            tall = h * width > w * height
            h, w = (max(1, round(w * height / width)), w) if tall else (h, max(1, round(h * width / height)))
            top, left = (frame.shape[0] - h) // 2, (frame.shape[1] - w) // 2
            frame = frame[top : top + h, left : left + w]
        fitted = scaled(frame, height, width, image_input)
    if image_input.color == "gray":
        return cv2.cvtColor(fitted, cv2.COLOR_BGR2GRAY)[..., None]
    return np.ascontiguousarray(fitted[..., ::-1])


def scaled(frame: np.ndarray, height: int, width: int, image_input: ImageInput) -> np.ndarray:  # type: ignore[type-arg]
    frame = np.ascontiguousarray(frame)
    if image_input.interpolation == "nearest":
        return cv2.resize(frame, (width, height), interpolation=cv2.INTER_NEAREST)
    factor = min(frame.shape[0] // height, frame.shape[1] // width) // 2
    if factor >= 2:
        h, w = frame.shape[0] // factor, frame.shape[1] // factor
        frame = cv2.resize(frame[: h * factor, : w * factor], (w, h), interpolation=cv2.INTER_AREA)
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)


SIZES = [(480, 640), (96, 96), (96, 160), (160, 96), (97, 131), (33, 32), (32, 32), (31, 47), (320, 480), (288, 240)]


@pytest.mark.parametrize("resize", ["crop", "squash", "letterbox"])
@pytest.mark.parametrize("interpolation", ["linear", "nearest"])
@pytest.mark.parametrize("color", ["rgb", "gray"])
def test_the_fast_ways_give_the_contracts_bytes(resize: str, interpolation: str, color: str) -> None:
    """Rows and columns that are skipped, memory that is reused, tables: bit for bit the plain definition."""
    rng = np.random.default_rng(0)
    channels = {"rgb": 3, "gray": 1}[color]
    for height, width in ((32, 32), (160, 160), (32, 48), (31, 33)):
        image_input = ImageInput(
            height=height, width=width, channels=channels, color=color, resize=resize, interpolation=interpolation
        )  # type: ignore[arg-type]
        tables = [
            (np.uint8, value_table(image_input, np.uint8, 1 / 128, 128)),
            (np.uint8, value_table(image_input, np.uint8, 1 / 127, 127)),
            (np.int8, value_table(image_input, np.int8, 1 / 128, 0)),
            (np.int8, value_table(image_input, np.int8, 1 / 120, -3)),
            (np.float32, value_table(image_input, np.float32, 0.0, 0)),
        ]
        for size in SIZES:
            frame = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
            expected = by_definition(frame, image_input)
            room = np.empty(image_input.shape, np.uint8)
            assert np.array_equal(fit_frame(frame, image_input), expected)
            assert fit_frame(frame, image_input, room) is room
            assert np.array_equal(room, expected)
            assert np.array_equal(fit_frame(np.pad(frame, ((1, 2), (3, 4), (0, 0)))[1:-2, 3:-4], image_input), expected)
            for dtype, table in tables:
                mapped = expected if table is None else table[expected]
                values = np.empty(image_input.shape, dtype)
                assert to_tensor(expected, table, values) is values
                assert values.dtype == to_tensor(expected, table).dtype == dtype
                assert np.array_equal(values, mapped)
                assert np.array_equal(to_tensor(expected, table), mapped)
                assert np.array_equal(to_tensor(expected[None], table)[0], mapped)


@given(height=st.integers(1, 40), width=st.integers(1, 40), rows=st.integers(1, 5), columns=st.integers(1, 5))
def test_whole_multiples_of_the_inputs_size(height: int, width: int, rows: int, columns: int) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (height * rows, width * columns, 3)).astype(np.uint8)
    squash = ImageInput(height=height, width=width, resize="squash")
    assert np.array_equal(fit_frame(frame, squash), by_definition(frame, squash))


@pytest.mark.parametrize(
    ("frame", "found"),
    [
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((4, 4, 2), np.uint8), "(4, 4, 2)"),
        (np.zeros((4,), np.uint8), "(4,)"),
        (np.zeros((0, 4, 3), np.uint8), "(0, 4, 3)"),
        ([[1, 2]], "list"),
    ],
)
def test_a_wrong_frame_is_named(frame: object, found: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        fit_frame(frame, SMALL)  # type: ignore[arg-type]
    assert found in str(caught.value)


def test_bytes_pass_unchanged_into_a_uint8_model_and_shifted_into_int8() -> None:
    assert value_table(SMALL, np.uint8, 1 / 128, 128) is None
    shifted = value_table(SMALL, np.int8, 1 / 128, 0)
    assert shifted is not None
    assert shifted.tolist() == list(range(-128, 128))


def test_the_float_table_is_exact() -> None:
    table = value_table(SMALL, np.float32, 0.0, 0)
    assert table is not None
    assert table.dtype == np.float32
    assert [table[0], table[128], table[255]] == [-1.0, 0.0, 127 / 128]
    assert to_tensor(np.array([[0, 128]], np.uint8), table).tolist() == [[-1.0, 0.0]]


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "CMYK", "P", "1", "I;16"])
def test_every_kind_of_photo_becomes_bgr(mode: str) -> None:
    kind = {"CMYK": "JPEG"}.get(mode, "PNG")
    frame = decode_photo(_encoded(Image.new(mode, (6, 4)), kind))
    assert frame is not None
    assert frame.shape == (4, 6, 3)
    assert frame.dtype == np.uint8


def test_transparent_pixels_are_white() -> None:
    picture = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    picture.putpixel((1, 0), (0, 0, 0, 0))
    frame = decode_photo(_encoded(picture, "PNG"))
    assert frame is not None
    assert frame.tolist() == [[[0, 0, 255], [255, 255, 255]]]


def test_exif_turns_the_photo_upright(tmp_path: Path) -> None:
    picture = Image.new("RGB", (8, 4))
    exif = picture.getexif()
    exif[274] = 6  # shown rotated by 90 degrees
    (tmp_path / "turned.jpg").write_bytes(_encoded(picture, "JPEG", exif=exif))
    assert read_photo(tmp_path / "turned.jpg").shape == (8, 4, 3)


def test_a_photo_cut_short_or_of_text_is_refused(tmp_path: Path) -> None:
    whole = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8))[1].tobytes()
    (tmp_path / "short.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.jpg").write_bytes(b"")
    for name in ("short.jpg", "text.jpg", "empty.jpg", "missing.jpg"):
        with pytest.raises(DataError, match=name):
            read_photo(tmp_path / name)
