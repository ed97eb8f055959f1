"""A question to a fresh process: a runtime may take its process down, and memory is measured from the start."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from edgesdk.errors import BackendError, EdgeSDKError


def ask_apart(module: str, question: dict[str, Any], subject: str, timeout_s: float) -> dict[str, Any]:
    """What `python -m MODULE` answers to a question (JSON values); the module's side is `answer_apart`.

    Args:
        module: in full, such as "edgesdk_device.bench".
        question: keyword arguments of the work.
        subject: who works there, for the sentence when it dies.
        timeout_s: the process is stopped after it.

    Raises:
        BackendError: with the work's own sentence, or how the process died.
    """
    command = [sys.executable, "-W", "ignore", "-m", module, json.dumps(question)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise BackendError(f"{subject} took over {timeout_s:g} s: it was stopped") from error
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        code = done.returncode
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        tail = " ".join(done.stderr.split())[-300:]
        raise BackendError(f"{subject} died ({how}){': ' if tail else ''}{tail}") from error
    if "error" in answer:
        raise BackendError(answer["error"])
    return answer


def answer_apart(work: Callable[..., Any]) -> None:
    """In the fresh process: do the work and print the value it gives (a dataclass), or its error's sentence."""
    try:
        answer = asdict(work(**json.loads(sys.argv[1])))
    except EdgeSDKError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer))
