"""Watch a source: frame, label, decision, and everybody who wants to know."""

import contextlib
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from edgesdk import modelfile
from edgesdk_device.app.decisions import Decider, Event
from edgesdk_device.app.look import Look
from edgesdk_device.app.seen import Seen
from edgesdk_device.app.settings import AppSettings
from edgesdk_device.backends import check_backend
from edgesdk_device.cameras import Notice, Source, open_source
from edgesdk_device.classifier import Classifier
from edgesdk_device.stream import Answer, Stream

if TYPE_CHECKING:
    from edgesdk_device.app.window import Window


class Sink(Protocol):
    """Somebody who wants to know: a file, a page, a broker, a window. Neither call may wait for the world."""

    def take(self, seen: Seen) -> None:
        """Take what is said of a frame; called by the thread that iterates, frame after frame."""

    def tell(self, event: Event) -> None:
        """Take an event, at once; called by any thread, never by two at a time."""

    def close(self) -> None:
        """Let everything go."""


class CameraApp:
    """The camera app: iterate over it, or it does nothing.

        with CameraApp("model.tflite", AppSettings(source="0", serve="8000")) as app:
            for seen in app:
                print(seen.label, seen.answer.age_ms)

    Opening happens here, so that what is missing is said before the first frame is asked for. It ends with its source,
    or after `frames`, and closes itself then.

    Args:
        path: a .tflite that edgesdk wrote.
        settings: everything else.
        source: frames from here instead of `settings.source`.
        frames: stop after so many.
        quiet: no remarks on stderr.

    Attributes:
        address: of the web page, "" without one; holds the token where one is needed.

    Raises:
        EdgeSDKError: if the model, the source, a file or a port does not open.
        ValueError: if there is no such backend, or frames or threads are below 1.
    """

    def __init__(
        self,
        path: Path | str,
        settings: AppSettings,
        *,
        source: Source | None = None,
        frames: int | None = None,
        quiet: bool = True,
    ) -> None:
        if frames is not None and frames < 1:
            raise ValueError(f"frames is {frames}, expected at least 1")
        check_backend(settings.backend, settings.threads)
        if not Path(path).is_file():
            modelfile.read(path)  # says what is wrong with the name, before a camera is looked for
        self.address = ""
        self._frames = frames
        self._decider = Decider(settings.decisions)
        self._sinks: list[Sink] = []
        self._lock = threading.Lock()  # events come from the source's and the page's threads too
        self._since: deque[Event] = deque(maxlen=1000)
        self._window: Window | None = None
        self._look: Look | None = None  # the source may say something before it is there
        with contextlib.ExitStack() as opened:
            if source is None:  # first: what is missing is said before runtimes are measured
                source = open_source(settings.source, options=settings.capture, on_notice=self._notice)
            opened.enter_context(source)
            self._look = classify = opened.enter_context(Look(path, settings, quiet=quiet))
            sinks = opened.enter_context(contextlib.ExitStack())  # closed after the stream, which tells until then
            self._stream = opened.enter_context(Stream(source, classify))
            self._open_sinks(settings, classify, sinks, quiet)
            self._opened = opened.pop_all()

    def _open_sinks(
        self, settings: AppSettings, classify: Classifier, sinks: contextlib.ExitStack, quiet: bool
    ) -> None:
        def add(sink: Sink) -> None:
            self._sinks.append(sink)
            sinks.callback(sink.close)

        if settings.events is not None:
            from edgesdk_device.app.events import EventLog

            size = round(settings.events_mb * 1e6)
            add(EventLog(settings.events, largest_bytes=size, decided=settings.decided, quiet=quiet))
        if settings.save_uncertain is not None:
            from edgesdk_device.app.uncertain import UncertainFrames

            add(UncertainFrames(settings, quiet=quiet))
        if settings.mqtt is not None:
            from edgesdk_device.app.mqtt import Publisher

            add(Publisher(settings, model=classify.contract.name, quiet=quiet))
        if settings.serve is not None:
            from edgesdk_device.app.server import PageServer

            page = PageServer(settings, labels=classify.labels, model=classify.contract.name, tell=self._tell)
            self.address = page.address
            add(page)
        if settings.show:
            from edgesdk_device.app.window import Window

            self._window = Window(classify.contract.name)
            add(self._window)

    def __iter__(self) -> Iterator[Seen]:
        with self:
            for count, answer in enumerate(self._stream, 1):
                yield self._take(answer)
                if count == self._frames or (self._window is not None and self._window.closed):
                    return

    def close(self) -> None:
        """Stop the threads and close everything; twice is once."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, answer: Answer) -> Seen:
        frame, found = answer.frame, answer.classification
        with self._lock:
            if found.invoke_ms:  # else nothing moved: no new vote
                for event in self._decider.decide(found.label, found.score, at=frame.captured_at, frame=frame.index):
                    self._spread(event)
            seen = Seen(answer=answer, label=self._decider.label, events=tuple(self._since))
            self._since.clear()
            for sink in self._sinks:
                sink.take(seen)
        return seen

    def _notice(self, notice: Notice) -> None:
        """What the source says: another thread, and often while no frame comes."""
        if notice.kind == "corrupt":
            return  # counted on every answer; a bad cable would make thousands of events
        with self._lock:
            if notice.kind in ("lost", "stalled"):
                for event in self._decider.forget(at=notice.at):
                    self._spread(event)
            if self._look is not None:
                self._look.wake()  # the votes are gone, and what is there may not move
            self._spread(Event(kind=notice.kind, at=notice.at, text=notice.text))

    def _tell(self, event: Event) -> None:
        with self._lock:
            self._spread(event)

    def _spread(self, event: Event) -> None:
        self._since.append(event)
        for sink in self._sinks:
            sink.tell(event)
