import gzip
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesdk import inspection, modelfile, verbs
from edgesdk.contract import Output, Source
from edgesdk.converted import Converted
from edgesdk.errors import ConversionError, GateError, RunError, WeightsError, WriteError
from edgesdk.flatbuffer import unpack_model
from edgesdk.preprocess import ImageInput, to_tensor, value_table
from edgesdk.recipe import Recipe
from edgesdk.runfolder import read_run
from edgesdk.spec import ModelSpec
from edgesdk.verbs import conversion
from edgesdk_convert import worker
from edgesdk_convert.calibrate import add_anchors, check_input, clip_ranges
from edgesdk_convert.convert import convert_model
from edgesdk_convert.evidence import Evidence, gather_evidence
from edgesdk_convert.export import freeze
from edgesdk_convert.gate import Judged, prove, signal_to_noise_db
from edgesdk_convert.inspect import read_graph
from edgesdk_convert.jobs import Calibrate, FromGraph, Samples
from edgesdk_convert.load import load_network
from edgesdk_convert.network import from_keras
from edgesdk_convert.worker import run_job
from edgesdk_device.backends import installed_backends, open_backend
from test_mobilenet_v1 import counted

INPUT = ImageInput(height=48, width=48)


def built(seed: int = 0) -> Any:
    """A MobileNet V1 0.25-48 with random weights and three classes."""
    import tf_keras as keras

    from edgesdk_train.models import build_model

    keras.utils.set_random_seed(seed)
    return build_model(ModelSpec(width=0.25, res=48, classes=3))


def settings(out: Path) -> dict[str, Any]:
    return {
        "spec": ModelSpec(width=0.25, res=48, classes=3),
        "image_input": INPUT,
        "output": Output(labels=("a", "b", "c")),
        "source": Source(),
        "recipe": Recipe(precision="int8", io="uint8"),
        "evidence": Evidence(),
        "out": out,
    }


def convert_built(model: Any, out: Path, **changes: Any) -> Converted:
    return convert_model(from_keras(model, INPUT), **settings(out) | changes)


def test_the_contract_says_what_was_measured(int8_file: Converted, run_folder: Path) -> None:
    contract, proved = int8_file.contract, int8_file.contract.measured.accuracy
    assert proved is not None
    assert proved.n == 24
    assert proved.float == read_run(run_folder).top1
    assert proved.agreement >= 0.9
    assert 0 <= proved.ci95[0] <= proved.final <= proved.ci95[1] <= 1
    assert replace(contract.recipe, steps=()) == Recipe(precision="int8", io="uint8", calibration=84 + 2)
    assert contract.output.labels == ("blue", "green", "red")
    assert [golden.generator for golden in contract.golden] == ["blocks", "blocks", "png", "png"]
    assert contract.measured.parameters == counted(0.25, 48, classes=3)[1]
    assert contract.versions["tensorflow"]


def test_json_has_the_keys_that_scripts_rely_on(int8_file: Converted) -> None:
    facts = json.loads(json.dumps(int8_file.to_json()))
    assert int8_file.to_json()["gzip_bytes"] == len(gzip.compress(int8_file.path.read_bytes()))
    keys = {"path", "spec", "accuracy", "agreement", "macs", "parameters", "size_bytes", "gzip_bytes", "sparsity"}
    assert keys | {"recipe", "seconds"} <= set(facts)
    assert set(facts["accuracy"]) == {"float", "float_tflite", "final", "n", "ci95"}
    assert facts["size_bytes"] == int8_file.path.stat().st_size


def test_the_float_file_equals_the_network(run_folder: Path, float_file: Converted) -> None:
    network = load_network(run_folder / "model.keras")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3)).astype(np.uint8)
    values = to_tensor(pixels, value_table(INPUT, np.float32, 0, 0))
    with open_backend(modelfile.read(float_file.path).content) as backend:
        for value in values:
            expected = network(value[None]).numpy().reshape(-1)
            assert np.allclose(backend.invoke(value).reshape(-1), expected, atol=1e-5)


@pytest.mark.parametrize("precision", ["float16", "dynamic", "int16x8"])
def test_the_other_precisions(run_folder: Path, float_file: Converted, tmp_path: Path, precision: Any) -> None:
    """Float in and out, half or a quarter of the bytes, the network's answers, in both runtimes."""
    file = verbs.convert(run_folder, quantize=precision, out=tmp_path / "m.tflite")
    assert file.contract.recipe.precision == precision
    assert file.contract.recipe.calibration == (86 if precision == "int16x8" else 0)
    size = file.contract.measured.size_bytes / float_file.contract.measured.size_bytes
    assert size < (0.6 if precision == "float16" else 0.5)
    assert file.contract.measured.accuracy is not None
    assert file.contract.measured.accuracy.agreement >= 0.8  # 24 images of a network that hardly settled
    assert verbs.verify(file.path).ok
    command = [sys.executable, "-m", "edgesdk.cli", "verify", str(file.path), "--backend"]
    for backend in installed_backends():
        done = subprocess.run([*command, backend], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done


@pytest.mark.parametrize(("io", "dtype"), [("uint8", np.uint8), ("int8", np.int8), ("float32", np.float32)])
def test_every_input_type_gives_the_same_answers(run_folder: Path, tmp_path: Path, io: Any, dtype: type) -> None:
    file = verbs.convert(run_folder, io=io, out=tmp_path / f"{io}.tflite")
    with open_backend(modelfile.read(file.path).content) as backend:
        assert backend.input.dtype == dtype
    assert verbs.verify(file.path).ok
    assert file.contract.measured.accuracy is not None
    assert file.contract.measured.accuracy.agreement >= 0.9


def test_bytes_go_into_the_uint8_file_as_they_are(int8_file: Converted) -> None:
    with open_backend(modelfile.read(int8_file.path).content) as backend:
        assert backend.input.scale == 1 / 128
        assert backend.input.zero_point == 128


def test_calibration_without_black_and_white_is_noticed(int8_file: Converted) -> None:
    with open_backend(modelfile.read(int8_file.path).content) as backend:
        recipe = int8_file.contract.recipe
        check_input(backend, INPUT, recipe)
        backend.input = replace(backend.input, scale=backend.input.scale / 2)
        with pytest.raises(ConversionError, match="must span black to white"):
            check_input(backend, INPUT, recipe)
        with pytest.raises(ConversionError, match="expected float32"):
            check_input(backend, INPUT, Recipe())


def test_anchors_are_black_and_white() -> None:
    pixels = add_anchors(np.full((2, 4, 4, 3), 7, np.uint8))
    assert pixels[:, 0, 0, 0].tolist() == [0, 255, 7, 7]


def test_prove_counts_what_is_lost() -> None:
    right = np.eye(2, dtype=np.float32)[[0, 0, 1, 1]]
    worse = np.eye(2, dtype=np.float32)[[0, 1, 1, 1]]
    accuracy = prove(right, right, worse, np.array([0, 0, 1, 1], np.int32), ("a", "b"))
    assert (accuracy.float, accuracy.final, accuracy.agreement) == (1.0, 0.75, 0.75)
    assert accuracy.per_class_drop == {"a": 50.0}
    judged = Judged(accuracy=accuracy, signal_to_noise_db=20.0)
    assert judged.failure(Recipe(max_drop=25.0)) == ""
    assert judged.failure(Recipe(min_snr=20.0)) == ""
    lost = "it lost 25.0 points of top-1 (100.0 % -> 75.0 % on 4 images), allowed are 24"
    assert judged.failure(Recipe(max_drop=24.0)) == lost
    assert judged.failure(Recipe(min_snr=21.0)) == "its outputs have 20.0 dB of signal to noise, wanted are 21"


def test_signal_to_noise_tells_equal_from_worthless() -> None:
    wanted = np.array([[1, 2, 3], [3, 2, 2]], np.float32)
    assert signal_to_noise_db(wanted, wanted) == 200
    assert signal_to_noise_db(wanted, wanted + 5) > 100  # a softmax does not see it
    assert signal_to_noise_db(np.array([[3.0]]), np.array([[3.3]]), any_mean=False) == pytest.approx(20)
    for worthless in (np.nan, np.inf):
        assert signal_to_noise_db(wanted, wanted * worthless) == -200
    assert signal_to_noise_db(np.ones((2, 3), np.float32), wanted) == -200
    assert signal_to_noise_db(wanted, wanted * np.float32(1e30)) == -200


def test_what_stands_for_zero_is_counted(shared: Path) -> None:
    """In a float file -0.0 too, which folding a batch-norm of negative scale makes; in an old one the zero point."""
    import tf_keras as keras

    image = keras.Input((8, 8, 3))
    layer = keras.layers.Conv2D(4, 1, use_bias=False)
    model = keras.Model(image, keras.layers.Softmax()(keras.layers.GlobalAveragePooling2D()(layer(image))))
    layer.set_weights([np.array([[[[0.0, -0.0, 1, 2], [-0.0, -0.0, 3, 4], [5, 6, 7, 8]]]], np.float32)])
    convolution = read_graph(from_keras(model, ImageInput(height=8, width=8)).float_file).ops[0]
    assert (convolution.name, convolution.zeros) == ("CONV_2D", 4 + 4)  # and its bias
    old = modelfile.read(shared / "models" / "tflite" / "mobilenet_v1_0.25_128_quant.tflite").content
    assert read_graph(old).sparsity == pytest.approx(0.03, abs=0.002)


def test_clipped_ranges_see_every_channel() -> None:
    """Also where the channels divide the step from one value looked at to the next: 64 * 64 * 8 over 4096."""
    import tf_keras as keras

    image = keras.Input((128, 128, 3))
    layer = keras.layers.Conv2D(8, 1, strides=2, use_bias=False)
    model = keras.Model(image, keras.layers.Softmax()(keras.layers.GlobalAveragePooling2D()(layer(image))))
    layer.set_weights([np.eye(3, 8, dtype=np.float32)[None, None] * np.array([1, 1, 50] + [0] * 5)])
    shown = ImageInput(height=128, width=128)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 128, 128, 3)).astype(np.uint8)
    samples = Samples(pixels=pixels, image_input=shown)
    calibrated = run_job(Calibrate(float_file=from_keras(model, shown).float_file, samples=samples))
    tree = unpack_model(clip_ranges(calibrated, pixels, shown))
    graph = tree.subgraphs[0]
    largest = graph.tensors[int(graph.operators[0].outputs[0])].quantization.max
    assert largest == pytest.approx([50], rel=0.05)


def fragile(run_folder: Path) -> Any:
    """The learned network, half of one layer's channels a ten-thousandth as large as they were: equal answers."""
    network = load_network(run_folder / "model.keras")
    before, after = network.get_layer("conv_pw_3_bn"), network.get_layer("conv_dw_4")
    gamma, beta, mean, variance = before.get_weights()
    factor = np.where(np.arange(len(gamma)) % 2, 1.0, 1e-4)  # positive scaling passes through ReLU, not through int8
    before.set_weights([gamma * factor, beta * factor, mean, variance])
    after.set_weights([after.get_weights()[0] / factor[:, None]])
    return network


def learned(run_folder: Path) -> dict[str, Any]:
    """What `convert_model` needs to know of that run."""
    run = read_run(run_folder)
    dataset = conversion.split_dataset(conversion.read_dataset(run.data))
    evidence = gather_evidence(dataset, run.input, run.learning, run_folder, quiet=True)
    return {"output": Output(labels=run.classes), "evidence": evidence}


def test_a_fragile_network_is_repaired(run_folder: Path, tmp_path: Path, capfd: Any) -> None:
    recipe = Recipe(precision="int8", io="uint8", max_drop=0.5)
    file = convert_built(fragile(run_folder), tmp_path / "m.tflite", recipe=recipe, quiet=False, **learned(run_folder))
    first, *_, last = file.contract.attempts
    assert (first.step, first.passed) == ("int8", False)
    assert last.passed
    assert last.signal_to_noise_db > first.signal_to_noise_db + 3
    assert file.contract.recipe.steps
    proved = file.contract.measured.accuracy
    assert proved is not None
    assert 100 * (proved.float - proved.final) <= 0.5
    shown = "\n".join(inspection.as_text(verbs.inspect(file.path)))
    assert "tried" in shown
    assert shown.count(" dB ") == len(file.contract.attempts)
    told = [line for line in capfd.readouterr().err.splitlines() if line.endswith((", fails", ", passes"))]
    assert len(told) == len(file.contract.attempts)
    assert told[0].startswith("edgesdk: int8: top-1 ")


def test_selective_quantization_leaves_the_blamed_operations_float(run_folder: Path, tmp_path: Path) -> None:
    """Without the other repairs, the operations around the fragile layer are found and stay float."""
    recipe = Recipe(precision="int8", io="uint8", max_drop=0.5, repairs=())
    known = learned(run_folder)
    known["evidence"] = replace(known["evidence"], lesson=None, more_calibration=None)
    file = convert_built(fragile(run_folder), tmp_path / "m.tflite", recipe=recipe, **known)
    assert file.contract.recipe.precision == "int8"
    assert "float32 where" in file.contract.recipe.steps[-1]
    assert "conv_dw_4" in file.contract.recipe.steps[-1] or "conv_pw_3" in file.contract.recipe.steps[-1]
    assert "DEQUANTIZE" in read_graph(modelfile.read(file.path).content).counts


def test_what_no_file_keeps_is_an_error_with_the_best_beside(run_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.tflite"
    out.write_bytes(b"an older file")
    known = learned(run_folder)
    known["evidence"] = replace(known["evidence"], lesson=None)
    recipe = Recipe(precision="int8", io="uint8", min_snr=150.0)
    with pytest.raises(GateError, match=r"no file passes: the best of \d+ is float16, but its outputs have .* dB"):
        convert_built(load_network(run_folder / "model.keras"), out, recipe=recipe, **known)
    assert out.read_bytes() == b"an older file"
    kept = modelfile.read(tmp_path / "model.failed-gate.tflite").required_contract()
    assert {attempt.precision for attempt in kept.attempts} == {"int8", "int16x8", "float16"}
    assert not any(attempt.passed for attempt in kept.attempts)


def test_a_gate_needs_something_to_judge_on(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"max-drop needs labelled photos .*: add --data"):
        convert_built(built(), tmp_path / "m.tflite", recipe=Recipe(max_drop=1.0))


def test_photos_that_show_nothing_are_refused(tmp_path: Path) -> None:
    few = Evidence(calibration=np.zeros((3, 48, 48, 3), np.uint8))
    with pytest.raises(ConversionError, match="3 photos to calibrate on are too few, expected at least 8"):
        convert_built(built(), tmp_path / "m.tflite", evidence=few)
    dark = Evidence(calibration=np.full((8, 48, 48, 3), 3, np.uint8))
    with pytest.raises(ConversionError, match="hold only values from 3 to 3"):
        convert_built(built(), tmp_path / "m.tflite", evidence=dark)


def test_random_weights_make_an_untrained_file(tmp_path: Path) -> None:
    file = verbs.convert(weights="none", width=0.25, res=32, out=tmp_path / "random.tflite")
    assert not file.contract.source.trained
    assert file.contract.measured.accuracy is None
    assert file.contract.spec.classes == 1000
    assert verbs.verify(file.path).ok


def test_nan_weights_are_refused(tmp_path: Path) -> None:
    model = built()
    kernel = model.layers[1].get_weights()[0]
    kernel[0, 0, 0, 0] = np.nan
    model.layers[1].set_weights([kernel])
    with pytest.raises(ConversionError, match=r"conv1/kernel.*NaN"):
        convert_built(model, tmp_path / "nan.tflite")


def test_an_output_that_cannot_be_written_is_found_before_the_work(run_folder: Path, tmp_path: Path) -> None:
    network = from_keras(built(), INPUT)
    for out in (tmp_path / "no" / "such" / "model.tflite", tmp_path):
        with pytest.raises(WriteError, match="cannot write"):
            convert_model(network, **settings(out))


def test_a_converter_that_dies_costs_one_conversion() -> None:
    graph = freeze(built())
    job = FromGraph(graph=graph)
    first = worker.Worker()
    try:
        assert first.run(job)[4:8] == b"TFL3"
        first._process.kill()
        with pytest.raises(ConversionError, match="process died"):
            first.run(job)
    finally:
        first.close()
    assert worker.run_job(job)[4:8] == b"TFL3"


def test_an_interrupted_job_does_not_answer_the_next_one() -> None:
    """As the stop of a notebook or an editor reaches this process alone."""
    job = FromGraph(graph=freeze(built()))
    whole = worker.run_job(job)
    stop = threading.Timer(0.02, signal.pthread_kill, (threading.get_ident(), signal.SIGINT))
    stop.start()
    with pytest.raises(KeyboardInterrupt):
        worker.run_job(job)
    stop.join()
    assert len(worker.run_job(replace(job, precision="dynamic"))) < len(whole) / 2


@pytest.mark.parametrize("command", ["convert", "verify"])
def test_of_the_working_folder_no_code_is_run(
    command: str, run_folder: Path, int8_file: Converted, tmp_path: Path
) -> None:
    """Its types.py would be imported for Python's own by every process that is started as a module."""
    (tmp_path / "types.py").write_text("raise SystemExit('the file of the working folder was run')")
    words = {"convert": [run_folder, "-o", "a.tflite"], "verify": [int8_file.path, "--trust"]}[command]
    program = [Path(sys.executable).with_name("edgesdk"), command, *words]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="waits for a process that is no child of its own")
def test_a_converter_ends_with_the_process_that_asks(tmp_path: Path) -> None:
    """Killed in the middle of a job of ten minutes."""
    (tmp_path / "slow.py").write_text(
        "import pathlib, time\n\nclass Slow:\n    def run(self):\n"
        "        pathlib.Path('begun').touch()\n        time.sleep(600)\n"
    )
    code = (
        "from slow import Slow\nfrom edgesdk_convert.worker import shared_worker\n"
        "worker = shared_worker()\nprint(worker._process.pid, flush=True)\nworker.run(Slow())"
    )
    known = os.pathsep.join([str(tmp_path), *sys.path])
    asking = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": known},
    )
    with asking:
        assert asking.stdout is not None
        working = os.pidfd_open(int(asking.stdout.readline()))
        while not (tmp_path / "begun").exists() and asking.poll() is None:
            time.sleep(0.1)
        asking.kill()
    assert select.select([working], [], [], 60)[0]  # which is readable once the process has ended
    os.close(working)


def test_the_converters_reason_is_one_sentence() -> None:
    graph = replace(freeze(built()), graph=b"no graph")
    with pytest.raises(ConversionError, match="the converter refuses the network") as caught:
        worker.run_job(FromGraph(graph=graph))
    assert "\n" not in str(caught.value)


def test_converting_is_quiet(run_folder: Path, tmp_path: Path) -> None:
    """Nothing but our own words reaches the terminal, although TensorFlow and XNNPACK write past Python."""
    command = [sys.executable, "-m", "edgesdk.cli", "convert", str(run_folder), "--json"]
    done = subprocess.run([*command, "-o", str(tmp_path / "m.tflite")], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert all(line.startswith("edgesdk: ") for line in done.stderr.splitlines())
    assert json.loads(done.stdout)["path"].endswith("m.tflite")


def test_other_classes_than_the_runs_are_named(run_folder: Path, tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for index in range(4):
            (tmp_path / name / f"{index}.png").write_text(f"{name}{index}")
    with pytest.raises(RunError, match=r"learned the classes blue, green, red, .* has cat, dog"):
        verbs.convert(run_folder, data=tmp_path, out=tmp_path / "m.tflite")


def test_weights_without_classes_need_data(tmp_path: Path) -> None:
    built().save_weights(tmp_path / "three.h5")
    with pytest.raises(WeightsError, match="3 classes of unknown names: add --data"):
        verbs.convert(width=0.25, res=48, weights=str(tmp_path / "three.h5"))


def test_float_input_type_for_a_float_file_only() -> None:
    with pytest.raises(ValueError, match="io is 'int8' for a float32 model"):
        verbs.convert(weights="none", quantize="float32", io="int8")


def test_photos_are_found_from_another_working_folder_or_asked_for(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos.parent)
    settings: dict[str, Any] = {"arch": "convnet", "width": 0.25, "quantize": "float32", "epochs": 1}
    verbs.convert(data="photos", out=tmp_path / "c.tflite", **settings)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = verbs.convert(data=photos, out=tmp_path / "c.tflite", **settings)  # learned, where it was called photos
    assert again.contract.measured.accuracy is not None
    with pytest.raises(RunError, match=r"c\.run learned photos, which is not to be found from here: name them"):
        verbs.convert(tmp_path / "c.run", out=tmp_path / "d.tflite")
    assert verbs.convert(tmp_path / "c.run", data=photos, out=tmp_path / "d.tflite").path.is_file()


def test_a_convert_that_learned_is_not_learned_twice(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.tflite"
    settings: dict[str, Any] = {"data": photos, "width": 0.25, "res": 48, "epochs": 1, "batch": 16, "out": out}
    verbs.convert(**settings)
    stamp = (tmp_path / "m.run" / "model.keras").stat().st_mtime_ns
    verbs.convert(**settings, quantize="float32")
    assert (tmp_path / "m.run" / "model.keras").stat().st_mtime_ns == stamp


def test_weights_that_know_the_photos_learn_again_as_asked(photos: Path, tmp_path: Path) -> None:
    from edgesdk_train.models import build_model
    from edgesdk_train.weights import imagenet_labels

    build_model(ModelSpec(width=0.25, res=32)).save_weights(tmp_path / "w.h5")
    names, _ = imagenet_labels()
    (tmp_path / "set" / "images").mkdir(parents=True)
    rows = ["file,class_index,label,split"]
    for index, color in enumerate(("blue", "green", "red")):
        for number, photo in enumerate(sorted((photos / color).iterdir())[:9]):
            shutil.copy(photo, tmp_path / "set" / "images" / f"{color}{photo.name}")
            rows.append(f'{color}{photo.name},{index},"{names[index]}",{("train", "val", "test")[number % 3]}')
    (tmp_path / "set" / "labels.csv").write_text("\n".join(rows))
    classes = [f'{index},"{name}"' for index, name in enumerate(names)]
    (tmp_path / "set" / "classes.csv").write_text("\n".join(["class_index,label", *classes]))
    for flip in (True, False):
        verbs.convert(
            data=tmp_path / "set",
            weights=str(tmp_path / "w.h5"),
            width=0.25,
            res=32,
            prune=0.5,
            quantize="float32",
            flip=flip,
            out=tmp_path / "m.tflite",
        )
    assert len(list((tmp_path / "m.steps").glob("prune-0.5-*"))) == 2


def test_imagenet_weights_keep_their_head(shared: Path, tmp_path: Path) -> None:
    file = verbs.convert(
        width=0.25,
        res=128,
        weights=str(shared / "models/keras/mobilenet_v1_0.25_128_dequant.h5"),
        data=shared / "datasets/imagenet_sample",
        out=tmp_path / "imagenet.tflite",
    )
    proved = file.contract.measured.accuracy
    assert proved is not None
    assert proved.n == 700
    assert proved.float > 0.4
    assert proved.final >= 0.95 * proved.float
    assert file.contract.output.labels[0] == "tench, Tinca tinca"
