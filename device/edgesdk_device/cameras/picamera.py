"""The Raspberry Pi's own camera, through picamera2. Not verified on hardware: tested with a stand-in for picamera2.

picamera2 comes from Debian, not from PyPI: `sudo apt install python3-picamera2`, and the virtual environment is made
with `python3 -m venv --system-site-packages`.
"""

import time
from contextlib import suppress

from edgesdk.errors import SourceError
from edgesdk_device.cameras.frame import Frame
from edgesdk_device.cameras.options import CaptureOptions

DEFAULT_WIDTH, DEFAULT_HEIGHT = 640, 480


class PicameraReader:
    """The first camera on the ribbon cable; see `live.Reader`.

    Raises:
        SourceError: if picamera2 is not installed, or there is no camera, or it is in use.
    """

    def __init__(self, options: CaptureOptions) -> None:
        try:
            from picamera2 import Picamera2
        except ImportError as error:
            raise SourceError(
                f"picamera2 does not load ({error}): sudo apt install python3-picamera2, and make the virtual "
                "environment with --system-site-packages"
            ) from error
        controls = {} if options.fps is None else {"FrameRate": options.fps}
        # libcamera names the order of a little-endian word: its RGB888 lies in memory as B, G, R.
        main = {
            "size": (options.width or DEFAULT_WIDTH, options.height or DEFAULT_HEIGHT),
            "format": "RGB888",
        }
        try:
            self._camera = Picamera2()
            try:
                self._camera.configure(self._camera.create_video_configuration(main=main, controls=controls))
                self._camera.start()
            except RuntimeError:
                self.close()  # or it would be in use at the next try
                raise
        except (IndexError, RuntimeError) as error:
            raise SourceError(
                f"cannot open the Pi's camera ({error}): is its cable in, and no other program using it? "
                "`rpicam-hello --list-cameras` lists what is there"
            ) from error

    def read(self) -> Frame:
        """The next frame."""
        try:
            request = self._camera.capture_request()
            try:
                image, stamp_ns = request.make_array("main"), request.get_metadata().get("SensorTimestamp", 0)
            finally:
                request.release()
        except RuntimeError as error:
            raise SourceError(f"the Pi's camera gives no more frames ({error})") from error
        age_ms = (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - stamp_ns) / 1e6
        return Frame(
            image=image, index=0, captured_at=time.monotonic(), capture_ms=age_ms if 0 <= age_ms < 1000 else 0.0
        )

    def interrupt(self) -> None:
        """Picamera2 cannot be woken; its next frame does it."""

    def close(self) -> None:
        """Let it go."""
        with suppress(RuntimeError):
            self._camera.close()
