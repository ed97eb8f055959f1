"""The newest frame of a source, classified: never a stale one."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from queue import SimpleQueue
from typing import Any, Self

import numpy.typing as npt

from edgesdk.frozen import frozen
from edgesdk.results import Classification
from edgesdk_device.cameras import Frame, Source
from edgesdk_device.classifier import Classifier

AHEAD = 3  # frames of a file: one with the model, one fitted, one in the making

_Values = npt.NDArray[Any]
_Fitted = tuple[Frame, _Values, float]


@frozen
class Age:
    """Where the time between a frame and its answer went, in milliseconds.

    Attributes:
        capture_ms: reading and decoding the frame.
        queue_ms: from captured to taken up by the classifier.
        preprocess_ms, invoke_ms, post_ms: fitting it to the model, the runtime, from raw output to labels.
    """

    capture_ms: float
    queue_ms: float
    preprocess_ms: float
    invoke_ms: float
    post_ms: float

    @property
    def total_ms(self) -> float:
        """From the frame's first byte to its answer."""
        return self.capture_ms + self.queue_ms + self.preprocess_ms + self.invoke_ms + self.post_ms


@frozen
class Answer:
    """What a stream says of one frame.

    Attributes:
        frame, classification: the frame, and what it shows.
        age: of the answer.
        dropped: frames so far that a newer one overtook.
        corrupt: frames so far that could not be decoded.
    """

    frame: Frame
    classification: Classification
    age: Age
    dropped: int
    corrupt: int

    @property
    def label(self) -> str:
        """The best class."""
        return self.classification.label

    @property
    def score(self) -> float:
        """Its probability, 0 to 1."""
        return self.classification.score

    @property
    def age_ms(self) -> float:
        """Milliseconds from the frame's first byte to this answer."""
        return self.age.total_ms


class Stream:
    """The answers to a source's frames, one after another.

        with Classifier("model.tflite") as classify, open_source(0) as camera:
            for answer in Stream(camera, classify):
                print(answer.label, answer.score, answer.age_ms)

    A live source (a camera, a URL, anything paced) gives its newest frame each time; what came and went while the model
    was busy is dropped and counted. Of a file or folder every frame is answered; reading and fitting them runs ahead on
    a thread of its own, beside the model. In asyncio, `async for answer in Stream(...)` does the same on worker
    threads.

    Leaving the loop, in whatever way, ends the thread; the source can be used again. `close`, leaving the stream's
    `with` block, or cancelling the task closes the source too. The classifier belongs to the caller, who must not use
    it for something else while a loop runs.

    Args:
        source: from `open_source`.
        classify: gets every frame.
        top: how many of the best classes to name.
    """

    def __init__(self, source: Source, classify: Classifier, *, top: int = 5) -> None:
        if top < 1:
            raise ValueError(f"top is {top}, expected at least 1")
        self._source, self._classify, self._top = source, classify, top

    def __iter__(self) -> Iterator[Answer]:
        """Answer after answer.

        Raises:
            SourceError: if the source gives not even one frame.
        """
        return self._of_newest() if self._source.live else self._of_every()

    async def __aiter__(self) -> AsyncIterator[Answer]:
        """As `__iter__`, without holding up the event loop."""
        answers = iter(self)
        while True:
            try:
                answer = await asyncio.to_thread(next, answers, None)
            except asyncio.CancelledError:
                await asyncio.to_thread(self.close)  # the worker thread may wait for a frame yet
                raise
            if answer is None:
                return
            yield answer

    def close(self) -> None:
        """Close the source, which ends a loop that runs on another thread; may be called twice."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    def _of_newest(self) -> Iterator[Answer]:
        values = self._classify.new_values()
        for frame in self._source:
            start = time.perf_counter()
            self._classify.prepare(frame.image, values)
            yield self._answer(frame, values, (time.perf_counter() - start) * 1e3)

    def _of_every(self) -> Iterator[Answer]:
        free: SimpleQueue[_Values | None] = SimpleQueue()
        ready: SimpleQueue[_Fitted | BaseException | None] = SimpleQueue()
        for _ in range(AHEAD):  # as many frames as there are buffers are on their way
            free.put(self._classify.new_values())
        stop = threading.Event()
        thread = threading.Thread(target=self._fit_ahead, args=(free, ready, stop), name="read ahead", daemon=True)
        thread.start()
        try:
            while (fitted := ready.get()) is not None:
                if isinstance(fitted, BaseException):
                    raise fitted
                frame, values, preprocess_ms = fitted
                answer = self._answer(frame, values, preprocess_ms)
                free.put(values)
                yield answer
        finally:
            stop.set()
            free.put(None)
            thread.join()

    def _fit_ahead(
        self,
        free: "SimpleQueue[_Values | None]",
        ready: "SimpleQueue[_Fitted | BaseException | None]",
        stop: threading.Event,
    ) -> None:
        try:
            for frame in self._source:
                values = free.get()
                if values is None or stop.is_set():
                    return
                start = time.perf_counter()
                self._classify.prepare(frame.image, values)
                ready.put((frame, values, (time.perf_counter() - start) * 1e3))
        except BaseException as error:  # it surfaces in the loop that fetches the answers
            ready.put(error)
        finally:
            ready.put(None)

    def _answer(self, frame: Frame, values: _Values, preprocess_ms: float) -> Answer:
        waited_ms = (time.monotonic() - frame.captured_at) * 1e3 - preprocess_ms
        answer = self._classify.answer(values, top=self._top, preprocess_ms=preprocess_ms)
        return Answer(
            frame=frame,
            classification=answer,
            age=Age(
                capture_ms=frame.capture_ms,
                queue_ms=max(0.0, waited_ms),
                preprocess_ms=preprocess_ms,
                invoke_ms=answer.invoke_ms,
                post_ms=answer.post_ms,
            ),
            dropped=self._source.dropped,
            corrupt=self._source.corrupt,
        )
