"""backend="auto": what is measured, what is taken, what is remembered."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edgesdk import Classifier, cli, modelfile, verbs
from edgesdk.choice import Choice, Trial
from edgesdk.converted import Converted
from edgesdk.errors import BackendError
from edgesdk_device import auto
from edgesdk_device.auto import choose, pick, thread_counts
from edgesdk_device.backends import installed_backends

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder in which nothing is remembered yet."""
    monkeypatch.setenv("EDGESDK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto, "_cores", lambda: 2)


def trial(backend: str, threads: int, p50: float, p90: float = 0.0, *, cpu: float = 1.0, reason: str = "") -> Trial:
    return Trial(
        backend=backend, threads=threads, p50_ms=p50, p90_ms=p90 or 1.1 * p50, cpu_over_wall=cpu, reason=reason
    )


def picked(*trials: Trial) -> tuple[str, int]:
    choice = pick(trials, Path("m.tflite"))
    assert choice.tried == trials
    return choice.backend, choice.threads


def test_the_fastest_is_taken_if_it_is_clearly_so() -> None:
    one = trial("litert", 1, 1.0)
    assert picked(one, trial("litert", 2, 0.6)) == ("litert", 2)
    assert picked(one, trial("litert", 2, 0.85)) == ("litert", 1)  # not clearly
    assert picked(one, trial("litert", 2, 0.6, 3.0)) == ("litert", 1)  # stragglers
    assert picked(one, trial("litert", 2, 0.6), trial("litert", 4, 0.3)) == ("litert", 4)
    assert picked(one, trial("tflite-runtime", 1, 0.95)) == ("litert", 1)  # noise
    assert picked(one, trial("tflite-runtime", 1, 0.7)) == ("tflite-runtime", 1)
    assert picked(one, trial("litert-gpu", 1, 0.2)) == ("litert-gpu", 1)
    assert picked(one, trial("litert-gpu", 1, 0.2, reason="it differs")) == ("litert", 1)
    software = replace(trial("litert-gpu", 1, 0.2), device="llvmpipe (LLVM 15.0.6, 256 bits), CPU / Software")
    assert picked(one, software) == ("litert", 1)


def test_on_a_busy_machine_only_a_large_gap_counts() -> None:
    one = trial("litert", 1, 4.0, cpu=0.3)
    assert picked(one, trial("litert", 2, 1.0), trial("tflite-runtime", 1, 2.5)) == ("litert", 1)
    assert picked(one, trial("litert-gpu", 1, 1.0)) == ("litert-gpu", 1)
    assert "the machine was busy" in pick((one,), Path("m.tflite")).reason


def test_if_none_is_right_each_ones_reason_is_named() -> None:
    refused = (
        trial("litert", 1, 1.0, reason="differs from the golden outputs by 0.5, allowed is 0.03"),
        trial("tflite-runtime", 1, 1.0, reason="tflite-runtime 2.14.0 died (SIGSEGV)"),
    )
    with pytest.raises(BackendError) as error:
        pick(refused, Path("m.tflite"))
    assert str(error.value) == (
        "no runtime here gives the golden outputs of m.tflite: litert, 1 thread: differs from the golden outputs by "
        "0.5, allowed is 0.03; tflite-runtime 2.14.0 died (SIGSEGV)"
    )


def test_threads_are_powers_of_two_and_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, counts in ((1, [1]), (2, [1, 2]), (4, [1, 2, 4]), (6, [1, 2, 4, 6])):
        monkeypatch.setattr(auto, "_cores", lambda cores=cores: cores)
        assert thread_counts() == counts


def test_every_runtime_is_measured_once_and_remembered(
    int8_file: Converted, own_cache: Path, two_cores: None, capfd: Capture
) -> None:
    assert cli.main(["verify", str(int8_file.path), "--json"]) == 0
    first = capfd.readouterr()
    assert first.err.startswith("edgesdk: measuring once what runs colors_int8.tflite fastest here\n")
    choice = json.loads(first.out)["choice"]
    tried = [(one["backend"], one["threads"]) for one in choice["tried"]]
    assert {("litert", 1), ("litert", 2)} <= set(tried)
    for one in choice["tried"]:
        assert one["reason"] or 0 < one["p50_ms"] <= one["p90_ms"]
        assert one["reason"] or one["nodes"] > 28
    (kept,) = (own_cache / "choices").glob("*.json")
    assert json.loads(kept.read_text())["key"]["model"] == modelfile.read(int8_file.path).sha256
    assert cli.main(["verify", str(int8_file.path), "--json"]) == 0
    again = capfd.readouterr()
    assert again.err == ""
    assert json.loads(again.out)["choice"] == choice
    with Classifier(int8_file.path) as classify:
        assert (classify.backend.name, classify.backend.threads) == (choice["backend"], choice["threads"])


def test_a_choice_is_the_boards_and_the_versions(
    int8_file: Converted, own_cache: Path, two_cores: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = modelfile.read(int8_file.path)
    kept = Choice(backend="litert", threads=2, reason="so remembered", tried=(trial("litert", 2, 1.0),))
    monkeypatch.setattr(auto, "pick", lambda tried, path: kept)
    assert auto.settle(file, "auto", None, kept.tried) == kept
    assert auto._recall(file, "auto", None) == kept
    assert auto._recall(file, "litert", None) is None
    for name, other in (("board_name", lambda: "another"), ("_version", lambda name: "9.9"), ("_cores", lambda: 4)):
        with monkeypatch.context() as patch:
            patch.setattr(auto, name, other)
            assert auto._recall(file, "auto", None) is None
    assert auto._recall(replace(file, sha256="0" * 64), "auto", None) is None


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"key": 1}', b"\xff\xfe", b"[" * 100_000, b'{"key": 1, "choice": {}}']
)
def test_a_damaged_memory_is_measured_again(
    int8_file: Converted, own_cache: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = modelfile.read(int8_file.path)
    path, key = auto._cached(file, "auto", None)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert auto._recall(file, "auto", None) is None
    path.write_text(json.dumps({"key": key, "choice": {"backend": "fast", "threads": 1, "reason": ""}}))
    assert auto._recall(file, "auto", None) is None


def test_a_cache_that_cannot_be_written_is_no_error(
    int8_file: Converted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("EDGESDK_CACHE", str(blocked / "cache"))
    choice = auto.settle(modelfile.read(int8_file.path), "auto", None, (trial("litert", 1, 1.0),))
    assert choice.backend == "litert"


def test_what_was_remembered_and_is_gone_is_chosen_anew(
    int8_file: Converted, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as the driver of a GPU, or a variable that named it."""
    monkeypatch.setenv("VK_ICD_FILENAMES", "/nowhere.json")
    file = modelfile.read(int8_file.path)
    gone = trial("litert-gpu", 1, 0.1)
    auto.settle(file, "auto", None, (gone, trial("litert", 1, 1.0)))
    with Classifier(int8_file.path) as classify:
        assert classify.backend.family == "cpu"
        assert gone not in classify.choice.tried


def test_nothing_is_measured_where_nothing_is_open(
    int8_file: Converted, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = modelfile.read(int8_file.path)
    assert choose(file, "litert", 1).reason == "named"
    monkeypatch.setattr(auto, "_cores", lambda: 1)
    assert choose(file, "litert", None) == Choice(backend="litert", threads=1, reason="named")
    assert choose(file, "litert-gpu", None) == Choice(backend="litert-gpu", threads=1, reason="named")
    monkeypatch.setattr(auto, "_candidates", lambda: ["litert"])
    assert choose(file, "auto", None) == Choice(backend="litert", threads=1, reason="the only one")
    monkeypatch.setattr(auto, "_cores", lambda: 4)
    assert file.contract is not None
    unproved = replace(file, contract=replace(file.contract, golden=()))
    assert choose(unproved, "auto", None).reason.startswith("not measured")
    monkeypatch.setattr(sys, "executable", "")
    assert choose(file, "auto", None).reason.startswith("not measured")
    assert not own_cache.exists()


def test_no_process_that_answers_is_an_error_with_reasons(
    int8_file: Converted, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(BackendError, match=r"no runtime here gives .*litert, 1 thread died \(exit code 1\)"):
        Classifier(int8_file.path)
    monkeypatch.setattr(sys, "executable", "/no/python")
    with pytest.raises(BackendError, match=r"no process can be started for it \(No such file"):
        Classifier(int8_file.path)


def test_the_measuring_process_finds_what_this_one_found(
    int8_file: Converted, own_cache: Path, two_cores: None
) -> None:
    """Also where only the script put us on the path."""
    roots = [str(Path(verbs.__file__).parents[1]), str(Path(auto.__file__).parents[1])]
    code = (
        f"import sys; sys.path[:0] = {roots!r}\n"
        "import edgesdk\n"
        f"choice = edgesdk.Classifier({str(int8_file.path)!r}).choice\n"
        "print(choice.backend, *sorted({one.backend for one in choice.tried}))\n"
    )
    environment = {"EDGESDK_CACHE": str(own_cache)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    chosen, *tried = done.stdout.split()
    assert chosen in tried
    assert set(tried) >= set(installed_backends())


def test_only_one_runtime_is_a_candidate_beside_tensorflow() -> None:
    import tensorflow  # noqa: F401

    assert auto._candidates() == installed_backends()[:1] == ["litert"]
