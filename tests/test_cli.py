import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgesdk import __version__, cli, verbs
from edgesdk.commands.printing import millions, print_next
from edgesdk.converted import Converted

Capture = pytest.CaptureFixture[str]


def one_line(capture: Capture) -> str:
    """What went to stderr, which must be a single sentence."""
    text = capture.readouterr().err
    assert "Traceback" not in text
    assert len(text.splitlines()) == 1, text
    return text


WRONG_USAGE = {
    "convert --width 0": "width is 0.0, expected a number above 0",
    "convert --width -1": "width is -1.0",
    "convert --width nan": "width is nan",
    "convert --width wide": "invalid float value: 'wide'",
    "convert --res 31": "res is 31, expected 32 to 2048",
    "convert --res 160.5": "invalid int value: '160.5'",
    "convert --arch resnet5000 --weights none": "arch is 'resnet5000', expected one of mobilenet_v1",
    "convert --quantize int4": "invalid choice: 'int4'",
    "convert --quantize float32 --io int8": "io is 'int8' for a float32 model",
    "convert --epochs -1": "epochs is -1",
    "convert --batch 0": "batch 0, expected at least 0 and 1",
    "convert --seed -1": "seed is -1, expected 0 to",
    "convert --max-drop nan": "max_drop is nan",
    "convert --min-snr inf": "min_snr is inf",
    "convert {file} --epochs 3 --cut x": "--cut and --epochs stand beside ",
    "convert a.run --seed 1 --resize squash": "--seed and --resize stand beside the run folder a.run, which says it",
    "convert --weights none --epochs 3": "--epochs stands beside weights that learn nothing more: name photos",
    "convert --widht 0.5": "edgesdk convert: unrecognized arguments: --widht; did you mean --width?",
    "verify {file} --bogus": "edgesdk verify: unrecognized arguments: --bogus (see edgesdk verify --help)",
    "bench {file} --fleet f.toml --threads 2": "--threads: not for --fleet, whose file says it for each device",
    "convert --values unit": "--values stands without a MODEL to describe",
    "choose digits --budget nan": "'nan' is no time, expected milliseconds",
    "choose digits --min-accuracy nan": "min_top1 is nan, expected a number above 0",
    "choose digits --precisions int7": "precision is 'int7', expected one of float32",
    "choose digits --transfer slice": "invalid choice: 'slice'",
    "pack digits shards --shard-size inf": "'inf' is no size",
    "train digits --arch vae --seed -1": "seed is -1, expected 0 to",
    "train digits --arch vae --kl nan": "kl is nan",
    "train digits --arch compressor --steps -5": "steps is -5, expected 0 to choose by kind, or more",
    "train --camera {file} --arch lenet": "arch is 'lenet', expected one of compressor, thumbnail",
    "train": "no DATA to learn from",
    "train --epochs 0": "epochs is 0 and no weights are named",
    "train digits --epochs 0": "epochs is 0, which learns nothing from digits: leave DATA out",
    "convert --arch alexnet --res 64": "res is 64, expected 67 to 2048 pixels",
    "inspect a b c": "3 files were named, expected one, or two",
    "verify": "the following arguments are required: FILE",
    "bench {file} --backend fast": "backend is 'fast', expected auto or one of litert",
    "bench {file} --threads two": "no whole number, and not auto",
    "bench {file} --threads 0": "threads is 0",
    "bench {file} --report r.pdf": "ends in '.pdf'",
    "run {file} --backend fast --source synthetic": "backend is 'fast'",
    "run {file} --frames some": "invalid int value",
    "run {file} --size wide": "'wide' is no pair of whole numbers such as 3x5",
    "run {file} --region left": "'left' are no numbers between commas",
    "run {file} --frames 0 --source synthetic": "frames is 0",
    "fly": "invalid choice: 'fly'",
    "": "required: COMMAND",
}
WORLD = {
    "convert missing.run": "there is no missing.run, expected a run folder",
    "convert {folder} --width 0.5": "holds no run.json and no saved_model.pb",
    "convert -o no/such/folder/m.tflite": "cannot write no/such/folder/m.tflite",
    "generate {file}": "makes no pictures of codes",
    "convert --data missing": "there is no missing, expected a folder",
    "convert --weights missing.h5": "no weights file missing.h5",
    "convert --weights {text}": "not a legacy Keras weights file",
    "convert {run} -o no/such/folder/m.tflite": "cannot write no/such/folder/m.tflite",
    "convert {run} -o {folder}": "it is a folder; name a file",
    "convert {run} --data digits": "learned the classes blue, green, red",
    "train {folder}": "0 class folders",
    "verify missing.tflite": "cannot read missing.tflite",
    "verify {text}": "is not a TFLite model",
    "verify {short}": "was cut short",
    "verify {flipped}": "was changed since it was made",
    "verify {folder}": "is a folder",
    "inspect {text}": "is not a TFLite model",
    "bench {flipped}": "was changed since it was made",
    "bench {file} --data missing": "there is no missing",
    "bench {file} --report no/such/folder/r.html": "cannot write no/such/folder/r.html",
    "run {file} --source missing.mp4": "no source 'missing.mp4'",
    "run {file} --source 99": "cannot open camera 99",
    "run {file} --source synthetic --backend litert --threads 1 --events no/such/e.jsonl": "cannot write events",
}


@pytest.fixture(scope="module")
def places(int8_file: Converted, run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A good file and several bad ones."""
    folder = tmp_path_factory.mktemp("bad")
    data = int8_file.path.read_bytes()
    (folder / "text.tflite").write_text("this is no model")
    (folder / "short.tflite").write_bytes(data[: len(data) // 2])
    (folder / "flipped.tflite").write_bytes(data[:5000] + bytes([data[5000] ^ 1]) + data[5001:])
    (folder / "empty").mkdir()
    names = {"text": "text.tflite", "short": "short.tflite", "flipped": "flipped.tflite", "folder": "empty"}
    return {key: str(folder / name) for key, name in names.items()} | {
        "file": str(int8_file.path),
        "run": str(run_folder),
    }


@pytest.mark.parametrize("command", WRONG_USAGE)
def test_wrong_usage_is_one_sentence_and_code_2(
    command: str, places: dict[str, str], capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code = cli.main(command.format(**places).split())
    except SystemExit as stop:  # argparse's way
        code = int(str(stop.code))
    error = one_line(capsys)
    assert code == 2
    assert WRONG_USAGE[command] in error
    assert "--help" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", WORLD)
def test_what_is_wrong_in_the_world_is_one_sentence_and_code_1(
    command: str, places: dict[str, str], capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(command.format(**places).split()) == 1
    assert WORLD[command] in one_line(capsys)
    assert [path for path in tmp_path.iterdir() if path.suffix != ".run"] == []


def test_a_read_only_folder_is_one_sentence(run_folder: Path, capsys: Capture) -> None:
    """/proc refuses new files even to root."""
    assert cli.main(["convert", str(run_folder), "-o", "/proc/m.tflite"]) == 1
    assert "cannot write /proc/m.tflite" in one_line(capsys)


def test_a_full_disk_is_one_sentence_and_keeps_the_old_file(run_folder: Path, tmp_path: Path) -> None:
    """A real full disk, where this user may mount one; 200 kB hold the old file but not the new one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a small disk")
    try:
        (disk / "m.tflite").write_bytes(b"an older file")
        command = [sys.executable, "-m", "edgesdk.cli", "convert", str(run_folder), "--quiet"]
        done = subprocess.run([*command, "-o", str(disk / "m.tflite")], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert "No space left on device" in done.stderr
        assert (disk / "m.tflite").read_bytes() == b"an older file"
        assert len(list(disk.iterdir())) == 1
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_an_unexpected_error_is_one_sentence(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs, "doctor", lambda *_, **__: 1 / 0)
    assert cli.main(["doctor"]) == 1
    assert "unexpected ZeroDivisionError" in one_line(capsys)


def test_what_the_system_refuses_is_no_bug(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "locked/photos")

    monkeypatch.setattr(verbs, "train", refuse)
    assert cli.main(["train", "locked/photos"]) == 1
    assert one_line(capsys).startswith("edgesdk: cannot use locked/photos: Permission denied; name something")


def test_ctrl_c_says_how_to_go_on(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(verbs, "train", stop)
    assert cli.main(["train", "digits"]) == 130
    assert "continue with the same command and --resume" in one_line(capsys)


def test_verify_of_a_disagreeing_file_is_code_1(
    int8_file: Converted, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgesdk_device import classifier

    assert cli.main(["verify", str(int8_file.path)]) == 0
    assert "agrees with its 4 golden outputs on litert" in capsys.readouterr().out
    monkeypatch.setattr(classifier, "to_tensor", lambda pixels, _: 255 - pixels)
    assert cli.main(["verify", str(int8_file.path)]) == 1
    assert "DISAGREES" in capsys.readouterr().out


def test_json_of_every_command_is_json(int8_file: Converted, capsys: Capture) -> None:
    path = str(int8_file.path)
    for command in (["verify", path], ["inspect", path], ["bench", path, "--quick"], ["doctor"]):
        assert cli.main([*command, "--json", "--quiet"]) == 0
        assert json.loads(capsys.readouterr().out)
    assert cli.main(["run", path, "--source", "synthetic", "--frames", "2", "--json"]) == 0
    assert [json.loads(line)["frame"] for line in capsys.readouterr().out.splitlines()] == [0, 1]


def test_inspect_shows_what_travels(int8_file: Converted, capsys: Capture) -> None:
    assert cli.main(["inspect", str(int8_file.path)]) == 0
    text = capsys.readouterr().out
    assert "multiply-adds: 2.05 M" in text
    assert "13 DEPTHWISE_CONV_2D" in text
    assert "labels: 3: blue, green, red" in text
    assert re.search(r"CONV_2D +int8 +24x24x8 +124,416 +6.1 % +248 ", text)
    assert "48x48 rgb, crop, (byte - 128) / 128" in text
    assert cli.main(["inspect", str(int8_file.path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert {"path", "macs", "sparsity", "ops", "input", "labels", "contract"} <= set(facts)
    assert sum(op["macs"] for op in facts["ops"]) == facts["macs"]


def test_inspect_of_two_files_shows_what_differs(int8_file: Converted, float_file: Converted, capsys: Capture) -> None:
    assert cli.main(["inspect", str(int8_file.path), str(float_file.path)]) == 0
    text = capsys.readouterr().out
    assert re.search(r"precision +int8, input and output uint8 +float32, input and output float32", text)
    assert "labels" not in text  # they are the same
    assert cli.main(["inspect", str(int8_file.path), str(int8_file.path)]) == 0
    assert "hold the same" in capsys.readouterr().out


def test_inspect_of_a_foreign_file(shared: Path, capsys: Capture) -> None:
    assert cli.main(["inspect", str(shared / "models/tflite/mobilenet_v2_1.0_224_quant.tflite")]) == 0
    assert "no edgesdk contract" in capsys.readouterr().out


def test_doctor_names_the_runtimes_and_the_missing_parts(capsys: Capture) -> None:
    assert cli.main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"ok  litert +2\.", text)
    assert "opencv" in text
    assert "cache" in text


def test_every_command_has_help_with_an_example(capsys: Capture) -> None:
    for verb in ("train", "convert", "verify", "inspect", "bench", "run", "doctor"):
        with pytest.raises(SystemExit) as stop:
            cli.main([verb, "--help"])
        assert stop.value.code == 0
        assert f"example:\n  edgesdk {verb}" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert __version__ in capsys.readouterr().out


def test_a_reader_that_leaves_is_no_error(int8_file: Converted) -> None:
    command = f"{sys.executable} -m edgesdk.cli run {int8_file.path} --source synthetic --quiet | head -n 2"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr == ""


def test_the_installed_command_is_this_one() -> None:
    command = shutil.which("edgesdk", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert command is not None
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"edgesdk {__version__}"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--arch", "thumbnail", "--epochs=3", "--no-flip", "--quiet"), "--epochs and --no-flip: not for a codec"),
        (("--arch", "vae", "--weights", "imagenet"), "--weights: not for vae, which generates"),
        (("--latent", "3", "--json"), "--latent: not for a classifier"),
    ],
)
def test_options_that_say_nothing_are_refused(
    words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", "digits", *words]) == 2
    assert told in capsys.readouterr().err


def test_what_to_type_next_can_be_typed(capsys: Capture) -> None:
    print_next(("convert", Path("my photos.run")), ("run", "a.tflite", "--source", 0))
    assert capsys.readouterr().out == "next: edgesdk convert 'my photos.run'; edgesdk run a.tflite --source 0\n"
    assert (millions(1_234_567, 2), millions(4_321, 2)) == ("1.23 M", "4,321")
