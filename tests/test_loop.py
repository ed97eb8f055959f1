"""The training loop's methods, and that a resumed run repeats the uninterrupted one with each of them."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesdk import verbs
from edgesdk.errors import RunError
from edgesdk.photos.data import Images
from edgesdk.preprocess import input_of
from edgesdk.runfolder import Methods, read_run
from edgesdk.spec import ModelSpec

SPEC = ModelSpec(arch="convnet", width=0.2, res=32, classes=3)
METHODS = {
    "everything": Methods(
        augment="rand",
        mix="both",
        label_smoothing=0.1,
        class_weights=True,
        clip_norm=0.5,
        ema=0.9,
        mixed_precision=True,
    ),
    "cutmix and averaging": Methods(mix="cutmix", ema=0.9),
}


def noise(per_class: int = 8, seed: int = 0) -> Images:
    rng = np.random.default_rng(seed)
    n = SPEC.classes * per_class
    return Images(
        pixels=rng.integers(0, 256, (n, 32, 32, 3)).astype(np.uint8),
        labels=np.arange(n, dtype=np.int32) % SPEC.classes,
        paths=(),
        skipped=(),
    )


class StopError(Exception):
    """As a kill in the middle of an epoch."""


def learn(
    folder: Path, methods: Methods, *, stop_after: int = 99, resume: bool = False, teacher: bool = False
) -> tuple[list[float], list[Any]]:
    """(losses of training and validation, final weights) of three epochs of three steps."""
    import tf_keras as keras

    from edgesdk_train.devices import copy_for_learning
    from edgesdk_train.distill import follow
    from edgesdk_train.loop import run_stage
    from edgesdk_train.models import build_model
    from edgesdk_train.stage import Stage

    keras.utils.set_random_seed(1)
    taught = build_model(SPEC)
    keras.utils.set_random_seed(5 if resume else 0)  # another process has drawn other numbers
    model = copy_for_learning(build_model(SPEC), mixed_precision=methods.mixed_precision)
    stage = Stage(name="s", epochs=3, rate=1e-3, epsilon=1e-7, batch=8, patience=9, flip=True, seed=0, methods=methods)
    steps = iter(range(1, 99))

    def count() -> None:
        if next(steps) == stop_after:
            raise StopError

    folder.mkdir(exist_ok=True)
    rows = run_stage(
        model,
        stage,
        noise(),
        noise(),
        input_of(SPEC),
        folder,
        objective=follow(model, taught) if teacher else None,
        resume=resume,
        after_step=count,
    )
    return [loss for row in rows for loss in (row.loss, row.val_loss)], model.get_weights()


@pytest.mark.parametrize("name", METHODS)
def test_a_resumed_run_repeats_every_method(name: str, tmp_path: Path) -> None:
    teacher = name == "everything"
    whole, weights = learn(tmp_path / "whole", METHODS[name], teacher=teacher)
    with pytest.raises(StopError):
        learn(tmp_path / "stopped", METHODS[name], stop_after=5, teacher=teacher)
    resumed, again = learn(tmp_path / "stopped", METHODS[name], resume=True, teacher=teacher)
    assert len(whole) == 6
    assert resumed == pytest.approx(whole, rel=1e-4)
    for one, other in zip(weights, again, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_the_epoch_that_is_kept(tmp_path: Path) -> None:
    """On noise the loss of other photos rises with each epoch that the network learns more by heart."""
    import tf_keras as keras

    from edgesdk_train.judge import evaluator
    from edgesdk_train.loop import run_stage
    from edgesdk_train.models import build_model
    from edgesdk_train.stage import Stage

    keras.utils.set_random_seed(0)
    model, val = build_model(SPEC), noise(seed=1)
    stage = Stage(name="s", epochs=20, rate=1e-2, epsilon=1e-7, batch=8, patience=20, flip=False, seed=0)
    rows = run_stage(model, stage, noise(), val, input_of(SPEC), tmp_path)
    best = min(rows, key=lambda row: row.val_calibrated)
    loss, top1, _ = evaluator(model, input_of(SPEC))(val)
    assert (loss, top1) == pytest.approx((best.val_loss, best.val_top1), rel=1e-5)
    assert all(row.val_calibrated <= row.val_loss + 1e-6 for row in rows)
    assert min(row.val_calibrated for row in rows) > np.log(SPEC.classes) - 0.15  # noise tells nothing


def test_a_network_that_is_too_sure_has_the_same_calibrated_loss() -> None:
    from edgesdk_train.judge import TEMPERATURES, tempered_losses

    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(50, 4)), rng.integers(0, 4, 50).astype(np.int32)
    logits[np.arange(50), labels] += 1

    def losses(scale: float) -> Any:
        powers = np.exp(scale * logits).astype(np.float32)
        return tempered_losses(powers / powers.sum(1, keepdims=True), labels)

    plain, sure = losses(1), losses(3)
    assert sure.min() == pytest.approx(plain.min(), rel=0.01)
    as_they_are = int(np.argmin(abs(TEMPERATURES - 1)))
    assert sure[as_they_are] > 1.2 * plain[as_they_are]


def test_other_methods_are_another_run(tmp_path: Path) -> None:
    with pytest.raises(StopError):
        learn(tmp_path / "run", Methods(), stop_after=5)
    with pytest.raises(RunError, match=r"was made with ema 0\.0, now it is 0\.9: delete it"):
        learn(tmp_path / "run", Methods(ema=0.9), resume=True)


def test_clipped_gradients_move_the_weights_less(tmp_path: Path) -> None:
    from edgesdk_train.stage import Stage
    from edgesdk_train.step import Rate, make_optimizer

    moved = []
    for clip_norm in (0.0, 0.5):
        import tensorflow as tf

        stage = Stage(
            name="s",
            epochs=1,
            rate=1e-3,
            epsilon=1.0,  # the step is then proportional to the gradient
            batch=1,
            patience=1,
            flip=False,
            seed=0,
            methods=Methods(clip_norm=clip_norm),
        )
        weight = tf.Variable([0.0, 0.0])
        optimizer = make_optimizer(stage, Rate(stage, 1))
        optimizer.build([weight])
        for _ in range(2):  # the first step's rate is zero
            optimizer.apply_gradients([(tf.constant([0.03, 0.04]) * 1000, weight)])
        moved.append(float(np.linalg.norm(optimizer.variables[1].numpy())))
    assert moved[0] / moved[1] == pytest.approx(100, rel=0.01)


def test_the_rate_warms_up_and_falls_to_zero_when_planned_anew() -> None:
    from edgesdk_train.stage import Stage
    from edgesdk_train.step import Rate

    stage = Stage(name="s", epochs=100, rate=1.0, epsilon=1e-7, batch=1, patience=1, flip=False, seed=0)
    rate = Rate(stage, 1)
    assert [float(rate.schedule(step)) for step in (0, 4, 8, 100)] == pytest.approx([0, 0.5, 1, 0], abs=1e-6)
    rate.plan(50)
    assert [float(rate.schedule(step)) for step in (2, 4, 50)] == pytest.approx([0.5, 1, 0], abs=1e-6)


def test_targets_are_smoothed_and_classes_weigh_alike() -> None:
    from edgesdk_train.batches import class_targets
    from edgesdk_train.stage import Stage

    labels = np.array([0, 0, 0, 1], np.int32)

    def targets(methods: Methods) -> Any:
        stage = Stage(name="s", epochs=1, rate=1, epsilon=1, batch=1, patience=1, flip=False, seed=0, methods=methods)
        return class_targets(labels, stage, 2)

    assert targets(Methods(label_smoothing=0.2)).tolist() == pytest.approx(np.array([[0.9, 0.1]] * 3 + [[0.1, 0.9]]))
    weighted = targets(Methods(class_weights=True))
    assert weighted[labels == 0].sum() == pytest.approx(weighted[labels == 1].sum())
    assert weighted.sum() == pytest.approx(len(labels))


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_mixed_answers_are_mixed_as_the_pixels_are(kind: Any) -> None:
    from edgesdk_train.mixing import mix

    shades = np.array([0, 80, 160, 240], np.uint8)
    pixels = np.broadcast_to(shades[:, None, None, None], (4, 40, 40, 3)).copy()
    differed = 0
    for seed in range(8):
        mixed, targets = mix(pixels, np.eye(4, dtype=np.float32), np.random.default_rng(seed), kind=kind)
        assert mixed.dtype == np.uint8
        assert targets.sum(1) == pytest.approx(1)
        np.testing.assert_allclose(mixed.mean((1, 2, 3)), targets @ shades.astype(float), atol=0.6)
        differed += int((targets.max(1) < 0.99).any())
    assert differed > 3


def test_every_operation_of_randaugment_keeps_the_pictures_form() -> None:
    from edgesdk_train.randaugment import ALL, STRENGTH, rand_augment

    rng = np.random.default_rng(0)
    for channels in (1, 3):
        smooth = np.linspace(30, 200, 24 * 24 * channels).reshape(24, 24, channels).astype(np.uint8)
        changed = 0
        for operation in ALL:
            for amount in (STRENGTH, -STRENGTH):
                view = operation(smooth, amount)
                assert view.dtype == np.uint8
                assert view.size == smooth.size
                changed += int((view.reshape(smooth.shape) != smooth).any())
        assert changed >= 2 * (len(ALL) - 3)  # of grey pictures, colour leaves nothing to change
        views = rand_augment(np.stack([smooth] * 8), rng, flip=True)
        assert views.shape == (8, 24, 24, channels)
        assert len({view.tobytes() for view in views}) > 4


TWO_DEVICES = """
import sys
from edgesdk.quiet import import_tensorflow
import_tensorflow()
import numpy as np, tensorflow as tf, tf_keras as keras
from pathlib import Path
from edgesdk.photos.data import Images
from edgesdk.preprocess import input_of
from edgesdk.runfolder import Methods
from edgesdk.spec import ModelSpec
from edgesdk_train.devices import copy_for_learning
from edgesdk_train.loop import run_stage
from edgesdk_train.models import build_model
from edgesdk_train.stage import Stage

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
spec = ModelSpec(arch="lenet", width=0.5, res=32, classes=3)
rng = np.random.default_rng(0)
images = Images(pixels=rng.integers(0, 256, (25, 32, 32, 1)).astype(np.uint8),
                labels=np.arange(25, dtype=np.int32) % 3, paths=(), skipped=())
stage = Stage(name="s", epochs=3, rate=1e-3, epsilon=1e-7, batch=8, patience=9, flip=False, seed=0,
              methods=Methods(clip_norm=0.5, ema=0.9, mix="mixup"))  # the last batch is of one picture

class StopError(Exception): pass

def learn(strategy, folder, stop_after=99, resume=False):
    keras.utils.set_random_seed(0)
    whole = build_model(spec)
    steps = iter(range(1, 99))
    def count():
        if next(steps) == stop_after:
            raise StopError
    with strategy.scope():
        model = copy_for_learning(whole, mixed_precision=False)
        Path(folder).mkdir(exist_ok=True)
        rows = run_stage(model, stage, images, images, input_of(spec), Path(folder), resume=resume, after_step=count)
    return [x for row in rows for x in (row.loss, row.top1, row.val_loss)], model.get_weights()

one, weights = learn(tf.distribute.get_strategy(), sys.argv[1] + "/one")
two = tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"])
assert two.num_replicas_in_sync == 2
both, mirrored = learn(two, sys.argv[1] + "/both")
np.testing.assert_allclose(one, both, rtol=1e-3)
for a, b in zip(weights, mirrored):
    np.testing.assert_allclose(a, b, atol=2e-4)
try:
    learn(two, sys.argv[1] + "/stopped", stop_after=6)
except StopError:
    pass
resumed, again = learn(two, sys.argv[1] + "/stopped", resume=True)
np.testing.assert_allclose(both, resumed, rtol=1e-4)
print("as one")
"""


def test_two_devices_learn_as_one(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "as one", done.stderr[-2000:]


def test_a_time_budget_ends_learning_and_lets_the_rate_fall(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = verbs.train(
        photos, arch="convnet", width=0.25, res=32, epochs=500, time_budget=6, out=tmp_path / "run", quiet=False
    )
    assert run.finished
    assert run.seconds < 30
    rows = (tmp_path / "run" / "history.csv").read_text().splitlines()[1:]
    assert 1 <= len(rows) < 500
    assert "of 500 epochs fit in the" in capsys.readouterr().err


def test_methods_teacher_and_logs_from_the_command_line(
    photos: Path, run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from edgesdk import cli

    command = ["train", str(photos), "--arch", "convnet", "--width", "0.25", "--epochs", "3", "--batch", "16"]
    command += ["--mix", "cutmix", "--label-smoothing", "0.1", "--ema", "0.5", "--clip-norm", "1", "--class-weights"]
    command += ["--augment", "rand", "--teacher", str(run_folder), "--tensorboard", "-o", str(tmp_path / "run")]
    assert cli.main([*command, "--quiet"]) == 0
    run = read_run(tmp_path / "run")
    assert run.learning.methods == Methods(
        augment="rand", mix="cutmix", label_smoothing=0.1, class_weights=True, clip_norm=1.0, ema=0.5
    )
    assert run.learning.teacher == str(run_folder)
    assert len((tmp_path / "run" / "history.csv").read_text().splitlines()) == 4
    assert len(_logged(tmp_path / "run" / "tensorboard")) == 3
    assert verbs.convert(tmp_path / "run", out=tmp_path / "x.tflite").path.is_file()
    capsys.readouterr()
    assert cli.main(["train", "digits", "--arch", "convnet", "--teacher", str(run_folder), "-o", str(tmp_path)]) == 1
    assert "tells 3 classes apart (blue, green, red), the photos have 10" in capsys.readouterr().err
    assert cli.main(["train", str(photos), "--arch", "lenet", "--teacher", str(run_folder), "-o", str(tmp_path)]) == 1
    assert "sees rgb pictures, the student gray" in capsys.readouterr().err
    assert cli.main(["train", str(photos), "--ema", "1"]) == 2
    with pytest.raises(SystemExit):
        cli.main(["train", str(photos), "--time-budget", "soon"])
    assert "'soon' is no time, expected such as 90s, 10m or 1h" in capsys.readouterr().err


def _logged(folder: Path) -> dict[int, float]:
    """Epoch -> validation loss, as TensorBoard's own file format holds it."""
    import tensorflow as tf

    found: dict[int, float] = {}
    read: Callable[[str], Any] = tf.compat.v1.train.summary_iterator
    for path in folder.iterdir():
        for event in read(str(path)):
            for value in event.summary.value:
                if value.tag == "scratch/val_loss":
                    found[event.step] = float(tf.make_ndarray(value.tensor))
    return found


def test_a_student_of_another_size_learns_its_teachers_answers(tmp_path: Path) -> None:
    from edgesdk_train.distill import follow
    from edgesdk_train.models import build_model

    student, teacher = build_model(SPEC), build_model(ModelSpec(arch="convnet", width=0.3, res=48, classes=3))
    values = np.random.default_rng(0).uniform(-1, 1, (4, 32, 32, 3)).astype(np.float32)
    loss, logits = follow(student, teacher)(values, np.eye(3, dtype=np.float32)[[0, 1, 2, 0]], False)
    assert logits.shape == (4, 3)
    assert float(loss) > 0
    same, _ = follow(student, student)(values, student(values), False)
    assert float(same) < float(loss)
