"""The golden outputs of a file, replayed in a process of its own; run as a module it is that process."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgesdk.contract import decode_value
from edgesdk.results import Verified
from edgesdk_device.apart import Apart, answer_apart
from edgesdk_device.backends import Delegate
from edgesdk_device.classifier import Model

TIMEOUT_S = 120


def replay_apart(
    path: Path | str, backend: str, subject: str, *, threads: int | None = 1, delegate: Delegate | None = None
) -> Verified:
    """What `Model.verify` gives in a fresh process.

    Args:
        path: a .tflite that edgesdk wrote.
        backend: in `BACKENDS`.
        subject: the runtime's name in the sentence when it dies.
        threads, delegate: as for `Model`.

    Raises:
        BackendError: if the runtime refuses the file or dies on it.
    """
    with replayer(subject) as process:
        return replay_in(process, path, backend, threads=threads, delegate=delegate)


def replayer(subject: str) -> Apart:
    """A fresh process that replays one file after another, see `replay_in`; its start goes on beside the caller."""
    return Apart("edgesdk_device.replay", subject)


def replay_in(
    process: Apart, path: Path | str, backend: str, *, threads: int | None = 1, delegate: Delegate | None = None
) -> Verified:
    """As `replay_apart`, in a process that is there."""
    process.send({"path": str(path), "backend": backend, "threads": threads, "delegate": delegate and asdict(delegate)})
    verified = decode_value(Verified, process.receive(TIMEOUT_S), "answer")
    assert isinstance(verified, Verified)
    return verified


def _replay(path: str, backend: str, threads: int | None = 1, delegate: dict[str, Any] | None = None) -> Verified:
    added = None if delegate is None else Delegate(**delegate)
    with Model(path, backend=backend, threads=threads, delegate=added, trust=True) as model:
        return model.verify()


if __name__ == "__main__":
    answer_apart(_replay)
