"""A window on the screen."""

import os
import subprocess
import sys

from edgesdk.errors import ServeError
from edgesdk_device.app.decisions import Event
from edgesdk_device.app.picture import LARGEST_SIDE
from edgesdk_device.app.seen import Seen

TRIAL = "import cv2; cv2.namedWindow('edgesdk'); cv2.destroyAllWindows()"
LEAVE = (ord("q"), 27)  # Escape


class Window:
    """Shows each frame with its label, until q, Escape or its close button.

    Attributes:
        closed: whether the user closed it.

    Raises:
        ServeError: if this OpenCV or this session has no windows.
    """

    def __init__(self, title: str) -> None:
        self.closed = False
        self._title = f"edgesdk: {title}"
        self._opened = False
        # Without a display OpenCV's Qt ends the whole process: it is tried in another one.
        done = subprocess.run([sys.executable, "-c", TRIAL], capture_output=True, check=False, env=os.environ)
        if done.returncode:
            raise ServeError(
                "no window can be opened here: it needs a screen, and opencv-python rather than "
                "opencv-python-headless; use --serve 8000 instead and watch in a browser"
            )

    def take(self, seen: Seen) -> None:
        """Draw a frame."""
        import cv2

        image = seen.answer.frame.image.copy()
        if not self._opened:
            self._opened = True
            cv2.namedWindow(self._title, cv2.WINDOW_NORMAL)
            height, width = image.shape[:2]
            scale = LARGEST_SIDE / max(height, width)
            cv2.resizeWindow(self._title, round(width * scale), round(height * scale))
        text = f"{seen.label or '-'}  ({seen.answer.label} {100 * seen.answer.score:.0f} %)"
        size = max(image.shape[:2]) / 800
        for color, thickness in (((0, 0, 0), 4), ((255, 255, 255), 1)):  # readable on anything
            cv2.putText(
                image,
                text,
                (round(10 * size), round(32 * size)),
                cv2.FONT_HERSHEY_SIMPLEX,
                size,
                color,
                max(1, round(thickness * size)),
                cv2.LINE_AA,
            )
        cv2.imshow(self._title, image)
        self.closed = cv2.waitKey(1) & 0xFF in LEAVE or cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1

    def tell(self, event: Event) -> None:
        """Events are not drawn."""

    def close(self) -> None:
        """Take the window away."""
        import cv2

        if self._opened:
            self._opened = False
            cv2.destroyWindow(self._title)
            cv2.waitKey(1)  # the toolkit works only while it is asked
