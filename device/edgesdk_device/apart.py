"""Questions to a fresh process: a runtime may take its process down, and memory is measured from the start."""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import IO, Any, Self

from edgesdk.errors import BackendError, EdgeSDKError
from edgesdk.quiet import last_words

PARENT_EVERY_S = 0.5


def ask_apart(module: str, question: dict[str, Any], subject: str, timeout_s: float) -> dict[str, Any]:
    """What `python -m MODULE` answers to one question; see `Apart`."""
    with Apart(module, subject) as process:
        process.send(question)
        return process.receive(timeout_s)


class Apart:
    """`python -m MODULE`, which answers questions one after another; the module's side is `answer_apart`.

    Args:
        module: in full, such as "edgesdk_device.bench".
        subject: who works there, for the sentence when it dies.

    Raises:
        BackendError: if no process can be started.
    """

    def __init__(self, module: str, subject: str) -> None:
        self.subject = subject
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - a pipe that nobody empties would stop the process
        # What this process can import, the other one must find, too, wherever its script put it on the path.
        known = [os.environ.get("PYTHONPATH", ""), *sys.path]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, known))}
        command = [sys.executable, "-P", "-W", "ignore", "-m", module]
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._said, env=environment)
        except OSError as error:
            self._said.close()
            raise BackendError(f"{subject}: no process can be started for it ({error.strerror})") from error
        self._answers: queue.Queue[bytes] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(self, question: dict[str, Any]) -> None:
        """Ask: keyword arguments of the work; what is no JSON value is sent as its text."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(question, default=str).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:  # it has died: `receive` says how
            pass

    def receive(self, timeout_s: float) -> dict[str, Any]:
        """The answer to the question sent longest ago.

        Raises:
            BackendError: with the work's own sentence, how the process died, or that it took longer than `timeout_s`.
        """
        try:
            line = self._answers.get(timeout=timeout_s)
        except queue.Empty as error:
            self._process.kill()
            raise BackendError(f"{self.subject} took over {timeout_s:g} s: it was stopped") from error
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError as error:
            self._process.kill() if line else None
            code = self._process.wait()
            how = "it answers no JSON" if line else f"exit code {code}" if code >= 0 else signal.Signals(-code).name
            self._said.seek(0)
            said = last_words(self._said.read(), 300)
            raise BackendError(f"{self.subject} died ({how}){': ' if said else ''}{said}") from error
        if "error" in answer:
            raise BackendError(answer["error"])
        return answer

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.close()
            self._process.wait(1)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()
        self._said.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put(b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def answer_apart(work: Callable[..., Any]) -> None:
    """In the fresh process: for each question do the work and print the value it gives (a dataclass), or its error."""
    answers = stand_apart()
    for line in sys.stdin:
        try:
            answer = asdict(work(**json.loads(line)))
        except EdgeSDKError as error:
            answer = {"error": str(error)}
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def stand_apart() -> IO[bytes]:
    """Begin a process that answers: the real stdout, for the answers alone; it ends with the process that asks.

    What a runtime, a delegate or TensorFlow prints goes where its errors go.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    return answers


def _end_with(parent: int) -> None:
    """A model that hangs would never come to the next question, and that of a long load may be a minute away."""
    while os.getppid() == parent:
        time.sleep(PARENT_EVERY_S)
    os._exit(1)
