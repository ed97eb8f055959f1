"""LiteRT on the GPU, in processes of its own: for real where a Vulkan driver serves it, and its refusal everywhere."""

import json
import os
import subprocess
import sys

import pytest

from edgesdk import cli, verbs
from edgesdk.converted import Converted
from edgesdk.errors import BackendError
from edgesdk.measurement import Measurement, Refused
from edgesdk_device.replay import replay_apart

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def gpu(float_file: Converted) -> None:
    """A GPU that runs the model; `VK_ICD_FILENAMES` may name a software Vulkan, Mesa 25 or newer."""
    try:
        replay_apart(float_file.path, "litert-gpu", "litert-gpu")
    except BackendError as error:
        pytest.skip(f"no usable GPU here: {error}")


@pytest.mark.usefixtures("gpu")
def test_the_gpu_runs_the_whole_graph_and_agrees(float_file: Converted, int8_file: Converted) -> None:
    for file in (float_file, int8_file):
        result = verbs.verify(file.path, backend="litert-gpu")
        assert result.ok, result
        assert result.tolerance == file.contract.tolerance["gpu"]
        assert result.delegated_nodes == result.nodes > 28


@pytest.mark.usefixtures("gpu")
def test_the_gpu_answers_quietly_and_is_measured(float_file: Converted, capsys: Capture) -> None:
    command = [
        sys.executable,
        "-m",
        "edgesdk.cli",
        "run",
        str(float_file.path),
        "--source",
        "synthetic",
        "--frames",
        "2",
    ]
    done = subprocess.run([*command, "--quiet", "--backend", "litert-gpu"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 2
    (row,) = verbs.bench([float_file.path], backends=["litert-gpu"], quick=True)
    assert isinstance(row, Measurement)
    assert (row.family, row.delegated_nodes) == ("gpu", row.nodes)
    assert row.device
    assert row.max_difference is not None
    assert cli.main(["doctor", str(float_file.path), "--json"]) == 0
    (check,) = [
        one
        for one in json.loads(capsys.readouterr().out)
        if one["name"] == "litert-gpu" and "operations" in one["found"]
    ]
    assert check["ok"]


def test_without_a_driver_the_reason_is_one_sentence(int8_file: Converted, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands on stderr only; nothing else may be written there, not even when the process ends."""
    monkeypatch.setenv("VK_ICD_FILENAMES", os.devnull)
    with pytest.raises(
        BackendError, match=r"^litert-gpu 2\S+ does not run here: .*; it needs a Vulkan driver"
    ) as error:
        verbs.verify(int8_file.path, backend="litert-gpu")
    assert "\n" not in str(error.value)
    code = f"import edgesdk; edgesdk.Classifier({str(int8_file.path)!r}, backend='litert-gpu')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("edgesdk.errors.BackendError: litert-gpu 2")
    assert "accelerator_registry" not in done.stderr


def test_a_refused_gpu_does_not_end_the_bench(int8_file: Converted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VK_ICD_FILENAMES", os.devnull)
    measured, refused = verbs.bench([int8_file.path], backends=["litert", "litert-gpu"], threads=[1], quick=True)
    assert isinstance(measured, Measurement)
    assert isinstance(refused, Refused)
    assert (refused.backend, refused.path) == ("litert-gpu", str(int8_file.path))
    assert "does not run here" in refused.reason
