"""A camera's JPEG to a frame, on the fastest decoder that is installed."""

from edgesdk.preprocess import MOST_PIXELS, Pixels, decode_photo
from edgesdk_device.cameras.live import CorruptFrameError

try:
    import simplejpeg
except ImportError:
    simplejpeg = None


def decode_jpeg(data: bytes) -> Pixels:
    """One JPEG as a frame, uint8 [height, width, 3] BGR.

    simplejpeg gives OpenCV's very bytes, faster, and finds every damage that libjpeg knows of. OpenCV alone finds a
    frame that is cut short; where a damaged one has its end, libjpeg fills in and says so on stderr. Decoding at half
    size would be faster still and give the model other bytes than its contract promises.

    Raises:
        CorruptFrameError: if it is damaged.
    """
    if simplejpeg is not None and b"Exif\0" not in data[:64]:  # only OpenCV turns a picture by its EXIF
        try:
            height, width, *_ = simplejpeg.decode_jpeg_header(data)
            if height * width > MOST_PIXELS:
                raise CorruptFrameError(f"it says that it has {width}x{height} pixels")
            return simplejpeg.decode_jpeg(data, colorspace="BGR", strict=True)  # type: ignore[no-any-return]
        except ValueError as error:
            raise CorruptFrameError(str(error)) from error
    frame = decode_photo(data)
    if frame is None:
        raise CorruptFrameError(f"its {len(data)} bytes are no whole JPEG")
    return frame
