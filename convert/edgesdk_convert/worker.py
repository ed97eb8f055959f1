"""The converter in a process of its own: its noise is kept off the terminal, its crash costs one conversion.

The process stays for the next conversion, so that TensorFlow is imported once, and while it starts the caller goes on.
Parent and child exchange length-prefixed pickles over the child's pipes: a job of `jobs.py` or `foreignjobs.py`, its
answer; nothing else is read.
"""

import atexit
import contextlib
import gc
import pickle
import re
import struct
import subprocess
import sys
import tempfile
import threading
from typing import IO, Any

from edgesdk.errors import ConversionError, EdgeSDKError
from edgesdk.quiet import last_words
from edgesdk_convert.jobs import Answer, Job
from edgesdk_device.apart import stand_apart

LOG_TAIL = 600
OTHER_LAYERS = "build the network from layers that need no Flex or custom operations, which no plain runtime knows"


class Worker:
    """A running converter process."""

    def __init__(self) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "edgesdk_convert.worker"],  # -P: of the working folder nothing is imported
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        atexit.register(self.close)

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def run(self, job: Job[Answer]) -> Answer:
        """Run one job.

        Returns:
            What it answers: a TFLite flatbuffer, mostly.

        Raises:
            EdgeSDKError: the job's own.
            ConversionError: with the converter's reason, or the end of its log where the process died.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            _send(self._process.stdin, job)
            ok, answer = _receive(self._process.stdout)
        except (OSError, EOFError) as error:
            code = self._process.wait()
            self._log.seek(0)
            said = last_words(self._log.read(), LOG_TAIL)
            raise ConversionError(
                f"the converter process died (exit code {code}){': ' if said else ''}{said}"
            ) from error
        except BaseException:  # Ctrl-C: its answer would be taken for that of the next job
            self.close()
            raise
        if isinstance(answer, EdgeSDKError):
            raise answer
        if not ok:
            raise ConversionError(f"the converter refuses the network: {answer}")
        return answer  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the process."""
        atexit.unregister(self.close)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process.kill()
        self._process.wait()
        self._log.close()


_shared: Worker | None = None
_lock = threading.Lock()


def shared_worker() -> Worker:
    """The process-wide worker, started if there is none; the call returns at once, the start goes on beside it."""
    global _shared
    with _lock:
        if _shared is None or not _shared.alive:
            _shared = Worker()
        return _shared


def run_job(job: Job[Answer]) -> Answer:
    """`Worker.run` on the shared worker, one at a time."""
    worker = shared_worker()
    with _lock:
        return worker.run(job)


def _reason(error: Exception) -> str:
    """One sentence: the operations that TFLite has not built in, or the head of the converter's long text."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    foreign = [line.split(": ")[1] for line in lines if line.startswith(("TF Select ops: ", "Custom ops: "))]
    if foreign:
        return f"TFLite has not built in {', '.join(foreign)}: {OTHER_LAYERS}"
    if match := re.search(r"16x8-bit not yet supported for op: '(\w+)'", str(error)):
        return f"int16x8 has no {match[1]}: ask for --quantize int8, or take a network without it"
    return f"{type(error).__name__}: {' '.join(lines[:3])[:LOG_TAIL]}"


def _serve() -> None:
    answers, questions = stand_apart(), sys.stdin.buffer
    from edgesdk.quiet import import_tensorflow

    import_tensorflow()
    gc.freeze()  # TensorFlow's half million objects need not be looked through in every conversion
    while True:
        try:
            job = _receive(questions)
        except EOFError:
            return
        try:
            answer: tuple[bool, Any] = True, job.run()
        except EdgeSDKError as error:
            answer = False, error
        except Exception as error:  # whatever the converter raises is its reason
            answer = False, _reason(error)
        _send(answers, answer)


def _send(pipe: IO[bytes], value: Any) -> None:
    data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.write(struct.pack("<Q", len(data)))
    pipe.write(data)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> Any:
    head = pipe.read(8)
    if len(head) < 8:
        raise EOFError
    data = pipe.read(struct.unpack("<Q", head)[0])
    return pickle.loads(data)


if __name__ == "__main__":
    _serve()
