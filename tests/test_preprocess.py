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
