"""A server beside the caller: an event loop in a thread of its own."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any


class Background:
    """Runs one coroutine from `start` to `stop`.

    Args:
        name: of the thread.

    Attributes:
        loop: for who has something for it from another thread.
        over: the coroutine ends once this is set.
    """

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.over = asyncio.Event()
        self._ready: Future[None] = Future()
        self._name = name

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin, and wait until `ready` was called; raises what was raised before that."""
        self._thread = threading.Thread(target=self._run, args=(work,), name=self._name, daemon=True)
        self._thread.start()
        self._ready.result()

    def ready(self) -> None:
        """To be called by the coroutine: from now on it serves."""
        self._ready.set_result(None)

    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Let the coroutine end, and wait for it; may be called twice."""
        if self.is_alive():
            self.loop.call_soon_threadsafe(self.over.set)
            self._thread.join()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
                runner.run(work)
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)
