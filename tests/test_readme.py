"""The README is run: its commands as typed, its Python, its table against the committed results."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgesdk.converted import Converted

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
RESULTS = sorted((ROOT / "benchmarks/results").glob("*/readme_table.md"))


def block(language: str) -> str:
    """The first code block of a language."""
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_first_commands_work_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, with an empty cache: two minutes of learning, then a proved file, measured and run."""
    monkeypatch.setenv("EDGESDK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    lines = block("sh").splitlines()
    assert len(lines) < 10
    assert lines[0].startswith("edgesdk convert --width 0.5 --res 160  ")
    outputs = []
    for line in lines:
        command = line.split("#")[0].replace("edgesdk", f"{sys.executable} -m edgesdk.cli", 1)
        done = subprocess.run(command, shell=True, cwd=tmp_path / "work", capture_output=True, text=True, check=False)
        assert done.returncode == 0, (line, done.stderr)
        assert "Traceback" not in done.stderr
        outputs.append(done)
    assert "learning the embedded digits" in outputs[0].stderr
    top1 = re.search(r"this file ([\d.]+) %", outputs[0].stdout)
    assert top1 is not None
    assert float(top1[1]) >= 98.0
    assert "agrees with its 4 golden outputs" in outputs[1].stdout
    assert (tmp_path / "work" / "bench.html").stat().st_size > 10_000
    assert len(outputs[3].stdout.splitlines()) == 3


def test_the_python_of_the_readme_runs(int8_file: Converted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands, but for the camera, which is a video here."""
    import cv2
    import numpy as np

    shutil.copy(int8_file.path, tmp_path / "model.tflite")
    monkeypatch.chdir(tmp_path)
    writer = cv2.VideoWriter("camera.avi", cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    code = block("python")
    assert len([line for line in code.splitlines() if line]) <= 6
    assert "edgesdk.Camera(0)" in code
    command = [sys.executable, "-W", "error", "-c", code.replace("Camera(0)", "open_source('camera.avi')")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] in ("blue", "green", "red")


def test_the_table_is_a_committed_result() -> None:
    found = re.search(r"<!-- table: benchmarks/readme_table.py -->\n(.*?)\n<!-- end -->", README, re.DOTALL)
    assert found is not None
    assert found[1].strip() in [path.read_text().strip() for path in RESULTS]
