"""Two processes and one run folder."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edgesdk import cli
from edgesdk.errors import RunError
from edgesdk.occupied import occupied

HOLD = """
import sys, time
from pathlib import Path
from edgesdk.occupied import occupied

with occupied(Path(sys.argv[1]), wait=False, quiet=True):
    print("in", flush=True)
    time.sleep(600)
"""


def hold(folder: Path) -> "subprocess.Popen[str]":
    """Another process that is in the folder, however long its start took."""
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "in\n"
    return other


def test_a_second_one_is_told_or_waits_until_the_first_is_killed(
    tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "x.run"
    with hold(folder) as first:
        command = ["train", str(photos), "--arch", "lenet", "--res", "32", "-o", str(folder)]
        assert cli.main(command) == 1
        assert f"edgesdk: another process is learning in {folder}: wait until it is done" in capsys.readouterr().err
        end = threading.Timer(1.0, lambda: first.send_signal(signal.SIGKILL))
        start = time.monotonic()
        end.start()
        with occupied(folder, wait=True, quiet=False):
            assert time.monotonic() - start >= 0.9
        assert f"waiting for another process that is learning in {folder}" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_a_folder_in_which_nothing_was_begun_is_gone(tmp_path: Path) -> None:
    with pytest.raises(ValueError), occupied(tmp_path / "a" / "x.run", wait=False, quiet=True):
        raise ValueError
    assert not (tmp_path / "a" / "x.run").exists()
    with occupied(tmp_path / "y.run", wait=False, quiet=True):
        (tmp_path / "y.run" / "file").touch()
        with pytest.raises(RunError, match="another process"), occupied(tmp_path / "y.run", wait=False, quiet=True):
            pass
    assert (tmp_path / "y.run" / "file").exists()
