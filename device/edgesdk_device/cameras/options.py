"""How a source is opened and watched."""

from edgesdk.frozen import frozen


@frozen
class CaptureOptions:
    """What to ask of a source; each kind of source takes what it knows and leaves the rest.

    Attributes:
        width, height, fps: of a camera's picture, None for its own; it takes the nearest it can. With `paced`, `fps` is
            the rate of what has none itself (30 if None).
        fourcc: a USB camera's pixel format, four letters such as "MJPG" or "YUYV".
        stall_s: a live source that gives no frame for so long is said to be stalled and is opened anew. Connecting may
            take as long.
        backoff_s, longest_backoff_s: a lost source is tried again after the first, then after twice as long each time,
            up to the second.
        paced: play a file, folder or the synthetic source in real time, as if it were a camera: what comes too late for
            the model is dropped.
        loop: a paced source begins again at its end.
    """

    width: int | None = None
    height: int | None = None
    fps: float | None = None
    fourcc: str | None = None
    stall_s: float = 5.0
    backoff_s: float = 0.5
    longest_backoff_s: float = 10.0
    paced: bool = False
    loop: bool = False

    def __post_init__(self) -> None:
        for name in ("width", "height", "fps"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1e6:
                raise ValueError(f"{name} is {value}, expected a number above 0, or None for the source's own")
        if self.fourcc is not None and (len(self.fourcc) != 4 or not self.fourcc.isascii()):
            raise ValueError(f"fourcc is {self.fourcc!r}, expected four letters such as MJPG")
        if not 0 < self.stall_s <= 3600:
            raise ValueError(f"stall_s is {self.stall_s}, expected seconds above 0, at most 3600")
        if not 0 < self.backoff_s <= self.longest_backoff_s <= 3600:
            raise ValueError(
                f"backoff_s is {self.backoff_s} and longest_backoff_s {self.longest_backoff_s}, expected seconds above "
                "0, the first not above the second"
            )
        if self.loop and not self.paced:
            raise ValueError("loop without paced: an endless file at full speed is no camera; set paced=True too")
