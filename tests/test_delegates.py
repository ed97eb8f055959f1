"""External delegates, compiled here from delegate.c: one that works, and every way in which one does not."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from apps import until
from edgesdk import Classifier, Delegate, cli, modelfile, verbs
from edgesdk.converted import Converted
from edgesdk.errors import BackendError
from edgesdk.measurement import Measurement, Refused
from edgesdk_device.backends import open_backend
from edgesdk_device.replay import replay_apart
from test_classifier import needs_tflite_runtime

Capture = pytest.CaptureFixture[str]

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed: no delegate to load")
BOTH = pytest.mark.parametrize("backend", ["litert", pytest.param("tflite-runtime", marks=needs_tflite_runtime)])


def compiled(source: Path | str, library: Path) -> Path:
    """A shared library of C code (a file, or the text itself)."""
    given = [str(source)] if isinstance(source, Path) else ["-x", "c", "-"]
    text = source if isinstance(source, str) else ""
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", str(library)]
    subprocess.run(["gcc", *flags, *given, "-lm"], input=text, text=True, check=True)
    return library


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(Path(__file__).with_name("delegate.c"), tmp_path_factory.mktemp("delegates") / "libsoft.so")


def in_mode(library: Path, mode: str) -> Delegate:
    return Delegate(path=library, options={"mode": mode})


@BOTH
def test_a_delegate_takes_the_softmax_and_computes_it(
    int8_file: Converted, float_file: Converted, library: Path, backend: str
) -> None:
    """In a process of its own: tflite-runtime fails beside TensorFlow."""
    for file in (int8_file, float_file):
        result = replay_apart(file.path, backend, backend, delegate=in_mode(library, "right"))
        assert result.ok, result
        assert (result.delegate, result.delegated_nodes) == ("libsoft.so", 1)
        assert result.nodes > 28
        assert result.max_difference is not None
        assert result.max_difference <= result.tolerance


def test_the_delegate_and_not_the_cpu_gives_the_answer(float_file: Converted, library: Path) -> None:
    content = modelfile.read(float_file.path).content
    values = np.random.default_rng(0).uniform(-1, 1, (48, 48, 3)).astype(np.float32)
    with open_backend(content) as plain, open_backend(content, delegate=in_mode(library, "right")) as right:
        assert np.allclose(plain.invoke(values), right.invoke(values), atol=1e-6)
        assert (right.delegate, plain.delegate) == (in_mode(library, "right"), None)
    with open_backend(content, delegate=in_mode(library, "wrong")) as wrong:
        assert wrong.invoke(values).tolist() == [[1, 0, 0]]


@BOTH
@pytest.mark.parametrize(
    ("mode", "sentence"),
    [
        ("idle", r"libsoft\.so took none of the model's \d+ operations: .*leave the delegate out$"),
        (
            "unready",
            r"refuses the model with the delegate libsoft\.so: Node number \d+ \(TestSoftmax\) failed to prepare\.$",
        ),
        ("refuse", r"refuses the model with the delegate libsoft\.so: the accelerator is taken by another process$"),
        ("null", r"libsoft\.so creates nothing: no accelerator is plugged in$"),
        ("crash", r"libsoft\.so died \(SIGABRT\)"),
    ],
)
def test_a_delegate_that_fails_is_one_sentence(
    int8_file: Converted, library: Path, backend: str, mode: str, sentence: str
) -> None:
    with pytest.raises(BackendError, match=sentence) as error:
        verbs.verify(int8_file.path, backend=backend, delegate=in_mode(library, mode))
    assert "\n" not in str(error.value)


def test_what_a_delegate_prints_is_no_answer(int8_file: Converted, library: Path) -> None:
    assert verbs.verify(int8_file.path, backend="litert", delegate=in_mode(library, "loud")).ok


def test_a_delegate_that_hangs_ends_with_the_command(int8_file: Converted, library: Path) -> None:
    command = [sys.executable, "-m", "edgesdk.cli", "verify", str(int8_file.path), "--backend", "litert"]
    command += ["--delegate", str(library), "--delegate-option", "mode=hang"]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    mine = Path(f"/proc/{killed.pid}/task/{killed.pid}/children")
    child = int(until(lambda: mine.read_text().split())[0])
    until(lambda: str(library) in Path(f"/proc/{child}/maps").read_text())
    killed.kill()
    killed.wait()
    until(lambda: not Path(f"/proc/{child}").exists() or "State:\tZ" in Path(f"/proc/{child}/status").read_text())


def test_what_is_no_delegate_is_named(int8_file: Converted, tmp_path: Path) -> None:
    text = tmp_path / "text.so"
    text.write_text("no library")
    cases = {
        tmp_path / "missing.so": r"missing\.so is not there: name a shared library$",
        text: r"text\.so does not load on linux: (file too short|invalid ELF header)$",
        compiled("int one(void) { return 1; }", tmp_path / "empty.so"): r"empty\.so is no TFLite delegate: it lacks "
        "tflite_plugin_create_delegate",
        compiled(
            "void *tflite_plugin_create_delegate(void) { return 0; }", tmp_path / "half.so"
        ): r"half\.so is no TFLite "
        "delegate: it lacks tflite_plugin_destroy_delegate",
    }
    for path, sentence in cases.items():
        with pytest.raises(BackendError, match=sentence):
            Classifier(int8_file.path, delegate=Delegate(path=path))


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("libnnapi_delegate.so", "NNAPI exists on Android only, is deprecated since Android 15"),
        ("libedgetpu.so.1", "libedgetpu1-std"),
        ("libarmnnDelegate.so", "built for Arm"),
        ("libhexagon_delegate.so", "runs on Android only"),
        ("libtensorflowlite_gpu_delegate.so", "--backend litert-gpu"),
    ],
)
def test_the_kinds_that_do_not_load_here_say_what_they_need(int8_file: Converted, name: str, needs: str) -> None:
    with pytest.raises(BackendError, match=needs):
        Classifier(int8_file.path, delegate=Delegate(path=name))


def test_a_failure_leaves_nothing_behind(int8_file: Converted, library: Path, photos: Path) -> None:
    """Refused, refused, and then a fresh interpreter that works, in one process."""
    photo = next(photos.rglob("*.png"))
    for mode in ("refuse", "unready", "idle", "null"):
        with pytest.raises(BackendError):
            Classifier(int8_file.path, delegate=in_mode(library, mode))
    with Classifier(int8_file.path, delegate=in_mode(library, "right")) as classify:
        assert classify(photo).label == photo.parent.name
        assert classify.choice.reason == "the best runtime for libsoft.so"
        assert not classify.choice.tried


def test_wrong_numbers_are_refused(int8_file: Converted, library: Path, capsys: Capture) -> None:
    with pytest.raises(
        BackendError, match=r"litert, 1 thread, libsoft\.so differs from the golden outputs by .*, allowed is 0\.0"
    ):
        Classifier(int8_file.path, delegate=in_mode(library, "wrong"))
    command = ["verify", str(int8_file.path), "--delegate", str(library), "--delegate-option", "mode=wrong"]
    assert cli.main(command) == 1
    assert "DISAGREES with its 4 golden outputs on litert, 1 thread, libsoft.so" in capsys.readouterr().out


def test_bench_measures_without_and_with_the_delegate(int8_file: Converted, library: Path, capsys: Capture) -> None:
    rows = verbs.bench(
        [int8_file.path], backends=["litert"], threads=[1], delegate=in_mode(library, "right"), quick=True
    )
    plain, helped = rows
    assert isinstance(plain, Measurement) and isinstance(helped, Measurement)
    assert (plain.delegate, helped.delegate, helped.delegated_nodes) == ("", "libsoft.so", 1)
    assert plain.delegated_nodes > 1
    assert helped.max_difference is not None
    command = ["bench", str(int8_file.path), "--quick", "--backend", "litert", "--threads", "1"]
    assert cli.main([*command, "--delegate", str(library), "--delegate-option", "mode=crash", "--json"]) == 0
    measured, refused = json.loads(capsys.readouterr().out)
    assert measured["max_difference"] is not None
    assert refused["reason"] == f"litert, 1 thread, libsoft.so on {int8_file.path} died (SIGABRT)"
    (row,) = [
        row
        for row in verbs.bench(
            [int8_file.path], backends=["litert"], threads=[1], delegate=in_mode(library, "wrong"), quick=True
        )
        if isinstance(row, Refused)
    ]
    assert "differs from the golden outputs" in row.reason


def test_doctor_tries_a_file_with_every_runtime_and_the_delegate(
    int8_file: Converted, library: Path, capsys: Capture
) -> None:
    command = ["doctor", str(int8_file.path), "--delegate", str(library), "--json"]
    assert cli.main(command) == 0
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    helped = checks["litert, 1 thread, libsoft.so"]
    assert helped["ok"]
    assert "1 of 33 operations on libsoft.so, golden outputs within" in helped["found"]
    assert "operations on XNNPACK" in checks["litert, 1 thread"]["found"]
    assert checks["auto"]["ok"]
    assert cli.main([*command, "--delegate-option", "mode=wrong"]) == 0
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    assert not checks["litert, 1 thread, libsoft.so"]["ok"]
    assert "differs from the golden outputs" in checks["litert, 1 thread, libsoft.so"]["found"]


def test_run_takes_a_delegate(int8_file: Converted, library: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "edgesdk.cli",
        "run",
        str(int8_file.path),
        "--source",
        "synthetic",
        "--frames",
        "2",
    ]
    done = subprocess.run([*command, "--json", "--delegate", str(library)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2


def test_wrong_words_for_a_delegate_are_usage(int8_file: Converted, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["verify", str(int8_file.path), "--delegate", "x.so", "--delegate-option", "mode"])
    assert stop.value.code == 2
    assert "'mode' is no NAME=VALUE" in capsys.readouterr().err
    assert cli.main(["verify", str(int8_file.path), "--delegate-option", "a=b"]) == 2
    assert "--delegate-option without --delegate" in capsys.readouterr().err
    assert cli.main(["doctor", "--delegate", "x.so"]) == 2
    assert "name a file, too" in capsys.readouterr().err
    with pytest.raises(ValueError, match="the delegate's path is empty"):
        Delegate(path="")
    with pytest.raises(ValueError, match="delegate option 'threads' is 2, expected a name and a text"):
        Delegate(path="x.so", options={"threads": 2})  # type: ignore[dict-item]
    with pytest.raises(BackendError, match="litert-gpu takes no delegate"):
        verbs.verify(int8_file.path, backend="litert-gpu", delegate=Delegate(path="x.so"))
