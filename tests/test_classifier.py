import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgesdk import Classifier, modelfile, verbs
from edgesdk.converted import Converted
from edgesdk.errors import BackendError, DataError, ModelFileError
from edgesdk.flatbuffer import pack_model, unpack_model
from edgesdk.preprocess import fit_frame, read_photo, to_tensor, value_table
from edgesdk_device.backends import installed_backends, open_backend
from edgesdk_device.backends.interpreter import count_nodes
from edgesdk_device.classifier import Model, best_first

needs_tflite_runtime = pytest.mark.skipif(
    "tflite-runtime" not in installed_backends(), reason="tflite-runtime is not installed"
)


def test_a_classifier_names_photos(photos: Path, int8_file: Converted) -> None:
    files = sorted(photos.rglob("*.png"))
    with Classifier(int8_file.path) as classify:
        answers = [classify(file) for file in files]
    right = [answer.label == file.parent.name for answer, file in zip(answers, files, strict=True)]
    assert np.mean(right) > 0.9
    first = answers[0]
    assert first.top[0] == (first.label, first.score)
    assert len(first.top) == 3
    assert first.score == max(score for _, score in first.top)
    assert first.invoke_ms > 0


def test_golden_outputs_agree(int8_file: Converted, float_file: Converted) -> None:
    for file in (int8_file, float_file):
        result = verbs.verify(file.path)
        assert result.ok
        assert result.inputs == 4
        assert result.max_difference <= result.tolerance


def test_an_answer_that_is_no_number(float_file: Converted, tmp_path: Path) -> None:
    """JSON has no NaN, and no page, broker or log can take one."""
    file = modelfile.read(float_file.path)
    model = unpack_model(file.content)
    (bias,) = (buffer for buffer in model.buffers if buffer.data is not None and len(buffer.data) == 3 * 4)
    bias.data = np.full(3, np.inf, np.float32).view(np.uint8)
    modelfile.write(tmp_path / "m.tflite", pack_model(model), file.required_contract())
    says = pytest.raises(BackendError, match="answer to this frame is no number: take another backend")
    with Classifier(tmp_path / "m.tflite", backend="litert", threads=1, trust=True) as classify, says:
        classify(np.zeros((32, 32, 3), np.uint8))


@needs_tflite_runtime
def test_both_runtimes_agree(photos: Path, int8_file: Converted, float_file: Converted) -> None:
    """tflite-runtime in a process of its own: beside TensorFlow it fails."""
    for file in (int8_file, float_file):
        done = on_tflite_runtime("verify", str(file.path), "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["backend"] == "tflite-runtime"
        done = on_tflite_runtime("run", str(file.path), "--source", str(photos), "--json")
        events = [json.loads(line) for line in done.stdout.splitlines()]
        assert np.mean([event["label"] == event["name"].split("/")[0] for event in events]) > 0.9


def on_tflite_runtime(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgesdk.cli", *arguments, "--backend", "tflite-runtime"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_runtime_that_computes_something_else_is_found(int8_file: Converted) -> None:
    with Model(int8_file.path) as model:
        model._table = np.arange(255, -1, -1, dtype=np.uint8)  # feed the model inverted pictures
        assert not model.verify().ok


def test_the_device_feeds_the_bytes_that_training_saw(
    photos: Path, int8_file: Converted, float_file: Converted
) -> None:
    """Bit for bit: evaluation in training, calibration and device go through the same two functions."""
    from edgesdk.photos.data import load_images, read_dataset

    dataset = read_dataset(photos)
    image_input = int8_file.contract.input
    seen = load_images(dataset.photos, image_input).pixels
    training = to_tensor(seen, value_table(image_input, np.float32, 0.0, 0))
    with Model(int8_file.path) as integer, Model(float_file.path) as real:
        for index in (0, 50, 119):
            frame = read_photo(dataset.photos[index].path)
            assert np.array_equal(integer.prepare(frame), seen[index])
            assert np.array_equal(real.prepare(frame), training[index])
            assert real.prepare(frame).dtype == np.float32


def test_room_for_a_frame_is_reused(photos: Path, int8_file: Converted, float_file: Converted) -> None:
    frames = [read_photo(path) for path in sorted(photos.rglob("*.png"))[::40]]
    for file in (int8_file, float_file):
        with Model(file.path) as model:
            room = model.new_values()
            for frame in frames:
                assert model.prepare(frame, room) is room
                assert np.array_equal(room, model.prepare(frame))


def test_of_equal_scores_the_first_is_best() -> None:
    scores = np.array([0, 0.5, 0, 0.5, 0.25, 0], np.float32)
    assert best_first(scores, 5) == [1, 3, 4, 0, 2]
    assert best_first(scores, 99) == [1, 3, 4, 0, 2, 5]
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores = rng.integers(0, 20, 1000).astype(np.float32) / 20
        assert best_first(scores, 7) == np.argsort(-scores, kind="stable")[:7].tolist()


@needs_tflite_runtime
def test_tflite_runtime_says_that_it_is_slow_for_int8(int8_file: Converted, float_file: Converted) -> None:
    assert "without XNNPACK, many times slower" in on_tflite_runtime("verify", str(int8_file.path)).stderr
    assert on_tflite_runtime("verify", str(float_file.path)).stderr == ""


def test_tflite_runtime_beside_tensorflow_is_refused(int8_file: Converted) -> None:
    import tensorflow  # noqa: F401

    with pytest.raises(BackendError, match="a process that has loaded TensorFlow"):
        Classifier(int8_file.path, backend="tflite-runtime")


def test_random_weights_are_said_aloud(tmp_path: Path) -> None:
    file = verbs.convert(weights="none", width=0.25, res=32, quantize="float32", out=tmp_path / "random.tflite")
    with pytest.warns(UserWarning, match="random weights: its labels mean nothing"):
        Classifier(file.path).close()


@pytest.mark.parametrize("shape", [(480, 640, 3), (3, 5, 3), (48, 48, 4), (100, 20)])
def test_frames_of_any_size(int8_file: Converted, shape: tuple[int, ...]) -> None:
    with Classifier(int8_file.path) as classify:
        assert classify(np.full(shape, 90, np.uint8)).label in ("blue", "green", "red")


def test_at_least_one_answer_is_asked_for(int8_file: Converted) -> None:
    with Classifier(int8_file.path) as classify, pytest.raises(ValueError, match="top is 0, expected at least 1"):
        classify(np.zeros((8, 8, 3), np.uint8), top=0)


def test_wrong_frames_and_photos_are_named(int8_file: Converted, tmp_path: Path) -> None:
    with Classifier(int8_file.path) as classify:
        with pytest.raises(ValueError, match="frame is float64"):
            classify(np.zeros((48, 48, 3)))
        with pytest.raises(DataError, match="cannot read"):
            classify(tmp_path / "missing.jpg")
        with pytest.raises(ValueError, match=r"input is uint8 \(2, 2, 3\), expected"):
            classify.backend.invoke(np.zeros((2, 2, 3), np.uint8))


def test_wrong_backends_are_named(int8_file: Converted) -> None:
    with pytest.raises(ValueError, match="backend is 'fast', expected auto or one of litert"):
        Classifier(int8_file.path, backend="fast")
    with pytest.raises(ValueError, match="threads is 0"):
        Classifier(int8_file.path, threads=0)


def test_a_missing_runtime_says_how_to_get_it(int8_file: Converted, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("ai_edge_litert", "tflite_runtime"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BackendError, match="pip install ai-edge-litert"):
        Classifier(int8_file.path, backend="litert")
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    with pytest.raises(BackendError, match=r"edgesdk\[tflite-runtime\]"):
        Classifier(int8_file.path, backend="tflite-runtime")


def test_a_file_without_a_contract_is_refused(int8_file: Converted, tmp_path: Path) -> None:
    (tmp_path / "bare.tflite").write_bytes(b"\0\0\0\0TFL3" + b"\0" * 100)
    with pytest.raises(ModelFileError, match="carries no edgesdk contract"):
        Classifier(tmp_path / "bare.tflite")


def test_a_model_that_the_runtime_refuses_is_named(int8_file: Converted, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"litert .* refuses the model"):
        open_backend(b"\x20\0\0\0TFL3" + b"\0" * 100, "litert")


def test_nodes_are_counted_through_partitions() -> None:
    """A chain of four operations; a delegate took the two in the middle."""

    def op(name: str, inputs: list[int], outputs: list[int]) -> dict[str, Any]:
        return {"op_name": name, "inputs": np.array(inputs), "outputs": np.array(outputs)}

    chain = [op("A", [0], [1]), op("B", [1], [2]), op("C", [2], [3]), op("D", [3], [4])]
    assert count_nodes(chain) == (4, 0)
    assert count_nodes([*chain, op("DELEGATE", [1], [3])]) == (4, 2)


def test_xnnpack_takes_every_node_in_litert(float_file: Converted) -> None:
    with open_backend(modelfile.read(float_file.path).content, "litert") as backend:
        assert backend.nodes > 28
        assert backend.delegated_nodes >= backend.nodes - 2


def test_threads_give_the_same_answer(int8_file: Converted) -> None:
    frame = cv2.resize(np.random.default_rng(0).integers(0, 255, (9, 9, 3)).astype(np.uint8), (640, 480))
    with Model(int8_file.path, threads=1) as one, Model(int8_file.path, threads=2) as two:
        pixels = fit_frame(frame, one.contract.input)
        assert np.array_equal(one.infer(pixels), two.infer(pixels))


def test_nothing_is_warned_about_a_good_file(int8_file: Converted) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Classifier(int8_file.path).close()
