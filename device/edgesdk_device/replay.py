"""The golden outputs of a file, replayed in a process of its own; run as a module it is that process."""

from pathlib import Path

from edgesdk.results import Verified
from edgesdk_device.apart import answer_apart, ask_apart
from edgesdk_device.classifier import Model

TIMEOUT_S = 120


def replay_apart(path: Path | str, backend: str, subject: str) -> Verified:
    """What `Model.verify` gives in a fresh process.

    Args:
        path: a .tflite that edgesdk wrote.
        backend: in `BACKENDS`.
        subject: the runtime's name in the sentence when it dies.

    Raises:
        BackendError: if the runtime refuses the file or dies on it.
    """
    question = {"path": str(path), "backend": backend}
    return Verified(**ask_apart("edgesdk_device.replay", question, subject, TIMEOUT_S))


def _replay(path: str, backend: str) -> Verified:
    with Model(path, backend=backend) as model:
        return model.verify()


if __name__ == "__main__":
    answer_apart(_replay)
