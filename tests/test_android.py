"""Android over adb: the commands and the reading of what the tool prints, with a stand-in for adb.

No phone can exist here: not verified on hardware. The printed lines are those of TensorFlow Lite's benchmark_model.
"""

import json
import os
from pathlib import Path

import pytest

from edgesdk import Delegate, cli, verbs
from edgesdk.converted import Converted
from edgesdk.errors import BackendError
from edgesdk.measurement import OnAndroid

Capture = pytest.CaptureFixture[str]

ADB = r"""#!/bin/sh
echo "$*" >> "$ADB_LOG"
case "$*" in
  *"getprop ro.product.model") echo "Test Phone" ;;
  *"getprop ro.build.version.release") echo 16 ;;
  *" ls "*) [ -z "$NO_TOOL" ] && echo /data/local/tmp/benchmark_model ;;
  *" push "*) [ -n "$NO_PUSH" ] && { echo "adb: error: failed to copy: No space left on device"; exit 1; } || true ;;
  *use_gpu*)
    echo "INFO: Created TensorFlow Lite delegate for GPU."
    echo "VERBOSE: Replacing 31 out of 31 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 1 partitions."
    echo "INFO: Explicitly applied GPU delegate, and the model graph will be completely executed by the delegate."
    cat "$TIMES" ;;
  *use_nnapi*)
    echo "INFO: Though NNAPI delegate is explicitly applied, the model graph will not be executed by the delegate."
    cat "$TIMES" ;;
  *external_delegate_path*) echo "ERROR: Failed to load the external delegate"; exit 1 ;;
  *) echo "VERBOSE: Replacing 30 out of 31 node(s) with delegate (TfLiteXNNPackDelegate) node."; cat "$TIMES" ;;
esac
"""
TIMES = """INFO: Initialized session in 3.337ms.
INFO: count=9 first=81913 curr=55502 min=55502 max=81913 avg=58984.7 std=8115
INFO: count=200 first=56576 curr=56299 min=54669 max=60236 avg=56265.8 std=982 p5=55000 median=56200 p95=58000

INFO: Inference timings in us: Init: 3337, First inference: 81913, Warmup (avg): 58984.7, Inference (avg): 56265.8
INFO: Overall peak memory footprint (MB) via periodic monitoring: 93.25
"""


@pytest.fixture
def adb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for adb on the PATH; returns the log of what it was asked."""
    program = tmp_path / "bin" / "adb"
    program.parent.mkdir()
    program.write_text(ADB)
    program.chmod(0o755)
    (tmp_path / "times.txt").write_text(TIMES)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("ADB_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("TIMES", str(tmp_path / "times.txt"))
    return tmp_path / "log"


def test_the_tool_is_driven_and_read(int8_file: Converted, adb: Path) -> None:
    (row,) = verbs.bench_android([int8_file.path], "SER1AL", threads=[4])
    assert isinstance(row, OnAndroid)
    assert (row.device, row.threads, row.n) == ("Test Phone, Android 16 (SER1AL)", 4, 200)
    assert (row.mean_ms, row.std_ms, row.min_ms, row.max_ms) == pytest.approx((56.2658, 0.982, 54.669, 60.236))
    assert (row.load_ms, row.first_invoke_ms) == pytest.approx((3.337, 81.913))
    assert (row.delegated_nodes, row.nodes) == (30, 31)
    assert row.peak_memory_bytes == round(93.25 * 2**20)
    asked = adb.read_text().splitlines()
    there = "/data/local/tmp/colors_int8.tflite"
    assert f"-s SER1AL push {int8_file.path} {there}" in asked
    assert asked[-1] == (
        f"-s SER1AL shell /data/local/tmp/benchmark_model --graph={there} --num_threads=4 --num_runs=200 "
        "--warmup_runs=10 --report_peak_memory_footprint=true --use_xnnpack=true"
    )


def test_what_took_nothing_is_refused(int8_file: Converted, adb: Path, tmp_path: Path, capsys: Capture) -> None:
    library = tmp_path / "libx.so"
    library.write_bytes(b"")
    command = ["bench", str(int8_file.path), "--on", "adb:SER1AL", "--backend", "litert,litert-gpu,nnapi"]
    command += ["--delegate", str(library), "--delegate-option", "a=b", "--delegate-option", "c=d e"]
    assert cli.main([*command, "--json"]) == 0
    cpu, gpu, nnapi, external = json.loads(capsys.readouterr().out)
    assert (gpu["delegated_nodes"], cpu["backend"]) == (31, "litert")
    assert nnapi["reason"] == "nnapi took nothing of the model on Test Phone, Android 16 (SER1AL): the CPU ran it all"
    assert "Failed to load the external delegate" in external["reason"]
    last = adb.read_text().splitlines()[-1]
    assert "--external_delegate_path=/data/local/tmp/libx.so '--external_delegate_options=a:b;c:d e'" in last
    assert cli.main(command) == 0
    text = capsys.readouterr().out
    assert "refused: mobilenet_v1_0.25_48 int8, delegate, 1 thread, libx.so: " in text
    assert "56.266" in text
    assert "do not prove that the outputs are right" in text


def test_what_is_missing_says_how_to_get_it(
    int8_file: Converted, adb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="backend is 'tflite-runtime', on Android expected one of auto, litert"):
        verbs.bench_android([int8_file.path], "S", backends=["tflite-runtime"])
    with pytest.raises(BackendError, match=r"x\.so is not there"):
        verbs.bench_android([int8_file.path], "S", delegate=Delegate(path="x.so"))
    (tmp_path / "times.txt").write_text("ERROR: Op builtin_code out of range: 206.\n")
    with pytest.raises(BackendError, match=r"printed no timings \(ERROR: Op builtin_code out of range"):
        verbs.bench_android([int8_file.path], "S")
    with monkeypatch.context() as patch:
        patch.setenv("NO_PUSH", "1")
        with pytest.raises(BackendError, match=r"adb push on S failed: .*No space left on device"):
            verbs.bench_android([int8_file.path], "S")
    monkeypatch.setenv("NO_TOOL", "1")
    with pytest.raises(BackendError, match="has no /data/local/tmp/benchmark_model: download"):
        verbs.bench_android([int8_file.path], "S")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BackendError, match="adb is not installed: apt-get install adb"):
        verbs.bench_android([int8_file.path], "S")


def test_wrong_words_are_usage(int8_file: Converted, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["bench", str(int8_file.path), "--on", "ssh:host"])
    assert stop.value.code == 2
    assert "'ssh:host' is no USER@HOST and no adb:SERIAL" in capsys.readouterr().err
    assert cli.main(["bench", str(int8_file.path), "--on", "adb:S", "--quick"]) == 2
    assert "--quick is not for --on adb:" in capsys.readouterr().err
