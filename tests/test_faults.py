"""The short form of benchmarks/faults.py; `test_learn.py`, `test_choose.py` and `test_remote.py` kill more."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgesdk.atomic import write_bytes
from edgesdk.errors import RunError
from edgesdk_train.checkpoint import load_checkpoint, save_checkpoint
from edgesdk_train.stage import Progress, Stage

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "faults.py"


def test_compressing_is_killed_a_few_times_and_nothing_is_lost() -> None:
    command = [sys.executable, str(SCRIPT), "--kills", "6", "--minutes", "1", "--only", "compress", "--dry"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    row = json.loads(next(line for line in done.stderr.splitlines() if '"kills"' in line).partition(": ")[2])
    assert row["kills"] >= 1
    assert row["ends"] >= 1
    assert (row["wrong"], row["different"], row["orphans"]) == ([], 0, 0)
    if os.geteuid() == 0 and sys.platform == "linux":  # who else may mount
        assert re.search(r"disk full \| compress \| 1 \| .*No space left", done.stdout)
        assert re.search(r"read-only folder \| compress \| 1 \| .*Read-only", done.stdout)
    assert re.search(r"the clock jumps back.*\| compress \| 0 ", done.stdout)


class Few:
    """As much of a network and an optimizer as a checkpoint asks for."""

    def __init__(self) -> None:
        self.weights: list[object] = []
        self.variables: list[object] = []

    def set_weights(self, _: object) -> None:
        pass


@pytest.fixture
def stage() -> Stage:
    return Stage(name="all", epochs=3, rate=1e-3, epsilon=1e-7, batch=8, patience=3, flip=False, seed=0)


def test_every_damaged_checkpoint_is_one_sentence(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    state = Progress(stage=stage, best_loss=1.0, epochs=3)
    save_checkpoint(path, state, [], [], Few())
    assert load_checkpoint(path, stage, Few(), Few())[0] == state
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        for data in (bytes(damaged), whole[:place]):
            write_bytes(path, data)
            try:
                found, _ = load_checkpoint(path, stage, Few(), Few())
            except RunError as error:
                assert "\n" not in str(error)
            else:
                assert found == state, place  # a byte that nothing depends on, such as a date
