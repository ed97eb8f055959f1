"""A source that does not wait: only its newest frame is kept, and when it goes away it is opened again."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal, Protocol, Self

from edgesdk.errors import SourceError
from edgesdk_device.cameras.frame import Frame, Notice, OnNotice
from edgesdk_device.cameras.options import CaptureOptions

READ_GRACE_S = 0.5  # a reader's own time limit lies so far behind `stall_s`: the watch speaks first
CORRUPT_NOTICE_S = 1.0  # a camera with a loose cable would say it thirty times a second


class CorruptFrameError(Exception):
    """A frame that cannot be decoded; the ones after it may be well."""


class EndOfSource(Exception):  # noqa: N818 - an end, no error
    """No frame will come any more, as planned."""


class Reader(Protocol):
    """One connection to something live, used by one thread."""

    def read(self) -> Frame:
        """Wait for the next frame.

        Raises:
            CorruptFrameError: if this frame is damaged.
            SourceError: if the connection is gone.
            EndOfSource: if it is over.
        """

    def interrupt(self) -> None:
        """From another thread: let a `read` that waits return early, where that can be done."""

    def close(self) -> None:
        """Let it go."""


class LiveSource:
    """The newest frame of what `connect` opens, over and over.

    A thread reads all the time, so that nothing old gathers in buffers; a frame that is not fetched before the next one
    arrives is dropped and counted. A connection that ends is tried again after a growing pause, one that gives nothing
    for `stall_s` is given up and replaced, both said as a `Notice`. Until the first frame arrived nothing is tried
    again: a wrong address is an error at once.

    Args:
        connect: opens a new connection or raises SourceError.
        first: a connection that is open already; None to open one.
        named: what a person calls it.
        options: `stall_s` and the two backoffs are used here.
        on_notice: see `OnNotice`.

    Raises:
        SourceError: if the first `connect` fails; while iterating, if not even one frame arrives.
    """

    live = True

    def __init__(
        self,
        connect: Callable[[], Reader],
        named: str,
        *,
        first: Reader | None = None,
        options: CaptureOptions,
        on_notice: OnNotice | None = None,
    ) -> None:
        self.dropped = self.corrupt = 0
        self._connect, self._named, self._options, self._on_notice = connect, named, options, on_notice
        self._changed = threading.Condition()
        self._newest: Frame | None = None
        self._count = 0  # frames that arrived
        self._watched = False  # somebody iterates: what is overtaken now is lost for him
        self._error: BaseException | None = None
        self._over = False
        self._down_since: float | None = None
        self._corrupt_said_at = float("-inf")
        self._threads: list[threading.Thread] = []
        self._begin(connect() if first is None else first)

    def __iter__(self) -> Iterator[Frame]:
        while (frame := self._next()) is not None:
            yield frame

    def close(self) -> None:
        """Let the source go; an iteration that waits on another thread ends."""
        with self._changed:
            self._over, self._turn, reader = True, None, self._reader
            self._changed.notify_all()
        if reader is not None:
            reader.interrupt()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(
                    self._options.stall_s + 2 * READ_GRACE_S
                )  # a driver that never returns must not hold the process

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next(self) -> Frame | None:
        stall_s = self._options.stall_s
        while True:
            with self._changed:
                self._watched = True
                frame, self._newest = self._newest, None
                now = time.monotonic()
                if self._over and (frame is None or self._turn is None):
                    return None
                if frame is not None:
                    if now - frame.captured_at < stall_s:
                        return frame
                    self.dropped += 1  # nobody fetched it for so long that it shows the past
                    continue
                if self._error is not None:
                    raise self._error
                left = None if self._reader is None else self._alive_at + stall_s - now
                if left is None or left > 0:
                    self._changed.wait(left)
                    continue
                reader, known = self._reader, self._down_since is not None
                text = f"{self._named} is open and gave no frame for {stall_s:g} s"
                if self._count:
                    self._down_since = self._down_since or self._alive_at
                    self._begin(None)
                else:
                    self._error, self._turn = SourceError(f"{text}: is anything sending there?"), None
                    self._changed.notify_all()
            if reader is not None:
                reader.interrupt()
            if self._count and not known:
                self._say("stalled", f"{text}; opening it anew")

    def _begin(self, reader: Reader | None) -> None:
        """Start a thread that reads; it alone has the turn from now on."""
        self._turn = turn = object()
        self._reader, self._alive_at = reader, time.monotonic()
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        # A daemon: a driver that hangs in a read must not keep the process from ending.
        thread = threading.Thread(target=self._work, args=(turn, reader), name=f"read {self._named}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self, turn: object, reader: Reader | None) -> None:
        pause_s = self._options.backoff_s
        try:
            while self._turn is turn:
                try:
                    if reader is None:
                        with self._changed:
                            self._changed.wait_for(lambda: self._turn is not turn, pause_s)
                        pause_s = min(2 * pause_s, self._options.longest_backoff_s)
                        if self._turn is not turn:
                            return
                        reader = self._connect()
                        with self._changed:
                            if self._turn is turn:
                                self._reader, self._alive_at = reader, time.monotonic()
                                self._changed.notify_all()
                    self._keep(turn, reader.read())
                    pause_s = self._options.backoff_s
                except CorruptFrameError as error:
                    self._damaged(turn, str(error))
                except SourceError as error:
                    if reader is not None:
                        reader.close()
                        reader = None
                    self._lost(turn, error)
        except EndOfSource:
            self._finish(turn, None)
        except BaseException as error:  # of a caller's on_notice too: it surfaces where the frames are fetched
            self._finish(turn, error)
        finally:
            if reader is not None:
                reader.close()

    def _keep(self, turn: object, frame: Frame) -> None:
        with self._changed:
            if self._turn is not turn:
                return
            if self._newest is not None and self._watched:
                self.dropped += 1
            self._newest = replace(frame, index=self._count)
            self._count += 1
            self._alive_at = frame.captured_at
            down_since, self._down_since = self._down_since, None
            self._changed.notify_all()
        if down_since is not None:
            self._say("recovered", f"{self._named} gives frames again after {frame.captured_at - down_since:.1f} s")

    def _damaged(self, turn: object, reason: str) -> None:
        with self._changed:
            if self._turn is not turn:
                return
            self.corrupt += 1
            now = time.monotonic()
            silent = now - self._corrupt_said_at < CORRUPT_NOTICE_S
            if not silent:
                self._corrupt_said_at = now
        if not silent:
            self._say("corrupt", f"{self._named} sent a damaged frame ({reason}), {self.corrupt} so far")

    def _lost(self, turn: object, error: SourceError) -> None:
        with self._changed:
            if self._turn is not turn:
                return
            self._reader = None
            if not self._count:
                self._error, self._turn = error, None
                self._changed.notify_all()
                return
            known = self._down_since is not None
            self._down_since = self._down_since or self._alive_at
        if not known:
            self._say("lost", f"{error}; trying again")

    def _finish(self, turn: object, error: BaseException | None) -> None:
        with self._changed:
            if self._turn is turn:
                self._reader, self._over, self._error = None, error is None, error
                self._changed.notify_all()

    def _say(self, kind: Literal["lost", "stalled", "recovered", "corrupt"], text: str) -> None:
        if self._on_notice is not None:
            self._on_notice(Notice(kind=kind, text=text, at=time.monotonic()))
