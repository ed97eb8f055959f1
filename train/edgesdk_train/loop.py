"""Learning, epoch after epoch, from a checkpoint that any kill leaves whole."""

import io
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from edgesdk.atomic import write_bytes
from edgesdk.data import Images
from edgesdk.errors import RunError
from edgesdk.preprocess import ImageInput, Pixels, to_tensor, value_table
from edgesdk.progress import progress
from edgesdk_train.augment import augment

#: (values float32 [batch, h, w, c], labels int32 [batch], training) -> (mean loss, logits [batch, classes])
Objective = Callable[[Any, Any, bool], tuple[Any, Any]]

CHECKPOINT_FILE = "checkpoint.npz"
WARMUP_SHARE = 0.08
JUDGED_TOGETHER = 64  # photos
AUXILIARY_SHARE = 0.3


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stretch of learning.

    Attributes:
        name: shown to the user and kept in the history.
        epochs: at most.
        rate: Adam's largest learning rate; reached after a warm-up, then a cosine to zero.
        epsilon: Adam's.
        batch: images a step.
        patience: epochs without a better validation loss before it stops.
        flip: see `augment`.
        seed: of shuffling and augmentation, with the epoch's number.
    """

    name: str
    epochs: int
    rate: float
    epsilon: float
    batch: int
    patience: int
    flip: bool
    seed: int


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One row of history.csv: means over the epoch; top-1 as fractions."""

    stage: str
    epoch: int
    loss: float
    top1: float
    val_loss: float
    val_top1: float


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a stage stands: what a checkpoint holds beside the weights."""

    history: tuple[Epoch, ...] = ()
    best_loss: float = float("inf")
    stage: Stage | None = None

    def stalled(self, patience: int) -> bool:
        """Whether none of the last `patience` epochs had the stage's lowest validation loss."""
        losses = [row.val_loss for row in self.history]
        return bool(losses) and len(losses) - 1 - losses.index(min(losses)) > patience


def run_stage(
    model: Any,
    stage: Stage,
    train: Images,
    val: Images,
    image_input: ImageInput,
    folder: Path,
    *,
    objective: Objective | None = None,
    start_loss: float = float("inf"),
    resume: bool = False,
    quiet: bool = True,
    after_step: Callable[[], None] | None = None,
) -> tuple[Epoch, ...]:
    """Train every trainable layer of `model` in place; it ends with the best epoch's weights.

    What is minimized, and judged on the validation photos, is `objective`, by default the labels' cross-entropy.

    Where `start_loss` is given (the validation loss of the weights that come in), no epoch above it is ever kept.
    `after_step` is called after each step of the optimizer: pruning masks its weights there.

    The checkpoint is replaced in one step after each epoch, and every epoch's shuffling, augmentation and dropout
    depend on the seed and its number alone: a resumed stage goes on as the uninterrupted one would have.

    Raises:
        RunError: on `resume`, if the checkpoint is damaged or of other settings.
    """
    steps = -(-len(train.labels) // stage.batch)
    optimizer = _optimizer(stage, steps)
    optimizer.build(model.trainable_variables)
    best = model.get_weights()
    state = Progress(stage=stage, best_loss=start_loss)
    path = folder / CHECKPOINT_FILE
    if resume and path.is_file():
        state, best = _load_checkpoint(path, stage, model, optimizer)
    step = _train_step(model, optimizer, image_input, objective or cross_entropy(model))
    measure = evaluator(model, image_input) if objective is None else _judge(objective, image_input)

    done = len(state.history)
    with (
        progress(stage.name, stage.epochs * steps, quiet=quiet) as advance,
        ThreadPoolExecutor(1) as ahead,
    ):
        advance(done * steps, "")
        for epoch in range(done, stage.epochs):
            if state.stalled(stage.patience):
                break
            total, right = 0.0, 0
            _seed_dropout(model, stage.seed, epoch)
            for pixels, labels in _batches(train, stage, epoch, ahead):
                loss, correct = step(tf.constant(pixels), tf.constant(labels))
                total, right = total + float(loss) * len(labels), right + int(correct)
                if after_step is not None:
                    after_step()
                advance(1, _note(state))
            val_loss, val_top1, *_ = measure(val)
            row = Epoch(
                stage=stage.name,
                epoch=epoch + 1,
                loss=total / len(train.labels),
                top1=right / len(train.labels),
                val_loss=val_loss,
                val_top1=val_top1,
            )
            state = replace(state, history=(*state.history, row))
            if val_loss < state.best_loss:
                state, best = replace(state, best_loss=val_loss), model.get_weights()
            _save_checkpoint(path, state, model.get_weights(), best, optimizer)
    model.set_weights(best)
    return state.history


def evaluator(model: Any, image_input: ImageInput) -> Callable[[Images], tuple[float, float, npt.NDArray[np.float32]]]:
    """A function that judges `model`: images -> (mean cross-entropy, top-1, probabilities float32 [n, classes])."""
    run = tf.function(lambda values: model(values, training=False))

    def measure(images: Images) -> tuple[float, float, npt.NDArray[np.float32]]:
        probabilities = predict(run, images.pixels, image_input)
        picked = probabilities[np.arange(len(images.labels)), images.labels]
        loss = float(-np.log(np.maximum(picked, 1e-7)).mean())
        return loss, float((probabilities.argmax(1) == images.labels).mean()), probabilities

    return measure


def predict(
    run: Callable[[Any], Any], pixels: Pixels, image_input: ImageInput, batch: int = 64
) -> npt.NDArray[np.float32]:
    """Pixels uint8 [n, h, w, c] through a Keras function, batch by batch -> float32 [n, ...], as on the device."""
    table = value_table(image_input, np.float32, 0.0, 0)
    parts = []
    for start in range(0, len(pixels), batch):
        chunk = pixels[start : start + batch]
        # A last batch of another size would trace the function again.
        padded = np.concatenate([chunk, np.repeat(chunk[:1], batch - len(chunk), 0)])
        parts.append(run(tf.constant(to_tensor(padded, table))).numpy()[: len(chunk)])
    return np.concatenate(parts)


def _optimizer(stage: Stage, steps: int) -> Any:
    total = stage.epochs * steps
    warmup = max(1, int(total * WARMUP_SHARE))
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=max(1, total - warmup),
        warmup_target=stage.rate,
        warmup_steps=warmup,
    )
    return keras.optimizers.Adam(schedule, epsilon=stage.epsilon)


def cross_entropy(model: Any) -> Objective:
    """The objective that knows only the labels."""
    logits = keras.Model(model.input, model.layers[-1].input)

    def objective(values: Any, labels: Any, training: bool) -> tuple[Any, Any]:
        answer = logits(values, training=training)
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, answer)), answer

    return objective


def auxiliary_cross_entropy(model: Any) -> Objective:
    """The objective of a network whose first output is followed by the logits of auxiliary classifiers.

    They count 0.3 each while it learns and nothing where it is judged (C. Szegedy et al., Going Deeper with
    Convolutions, arXiv 1409.4842, section 5).
    """
    (softmax,) = [layer for layer in model.layers if layer.output is model.outputs[0]]
    classifiers = keras.Model(model.input, [softmax.input, *model.outputs[1:]])

    def objective(values: Any, labels: Any, training: bool) -> tuple[Any, Any]:
        answer, *others = classifiers(values, training=training)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, answer))
        for other in others if training else ():
            loss += AUXILIARY_SHARE * tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, other))
        return loss, answer

    return objective


def _judge(objective: Objective, image_input: ImageInput) -> Callable[[Images], tuple[float, float]]:
    """A function: images -> (mean of the objective, top-1)."""

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def look(pixels: Any, labels: Any) -> tuple[Any, Any]:
        values = (tf.cast(pixels, tf.float32) - image_input.mean) / image_input.std
        loss, logits = objective(values, labels, False)
        return loss, tf.reduce_sum(tf.cast(tf.argmax(logits, 1, tf.int32) == labels, tf.int32))

    def measure(images: Images) -> tuple[float, float]:
        n, total, right = len(images.labels), 0.0, 0
        for start in range(0, n, JUDGED_TOGETHER):
            chunk = slice(start, start + JUDGED_TOGETHER)
            loss, correct = look(tf.constant(images.pixels[chunk]), tf.constant(images.labels[chunk]))
            total, right = total + float(loss) * len(images.labels[chunk]), right + int(correct)
        return total / n, right / n

    return measure


def _train_step(
    model: Any, optimizer: Any, image_input: ImageInput, objective: Objective
) -> Callable[[Any, Any], tuple[Any, Any]]:
    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(pixels: Any, labels: Any) -> tuple[Any, Any]:
        values = (tf.cast(pixels, tf.float32) - image_input.mean) / image_input.std
        with tf.GradientTape() as tape:
            loss, answer = objective(values, labels, True)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        right = tf.reduce_sum(tf.cast(tf.argmax(answer, 1, tf.int32) == labels, tf.int32))
        return loss, right

    return step  # type: ignore[no-any-return]


def _batches(
    train: Images, stage: Stage, epoch: int, ahead: ThreadPoolExecutor
) -> Iterator[tuple[Pixels, npt.NDArray[np.int32]]]:
    """The epoch's batches, each prepared while the one before is learned."""
    rng = np.random.default_rng([stage.seed, epoch])
    order = rng.permutation(len(train.labels))
    chunks = [order[start : start + stage.batch] for start in range(0, len(order), stage.batch)]

    def prepare(index: int) -> tuple[Pixels, npt.NDArray[np.int32]]:
        chunk = chunks[index]
        views = augment(train.pixels[chunk], np.random.default_rng([stage.seed, epoch, index]), flip=stage.flip)
        return views, train.labels[chunk]

    upcoming = ahead.submit(prepare, 0)
    for index in range(len(chunks)):
        batch = upcoming.result()
        if index + 1 < len(chunks):
            upcoming = ahead.submit(prepare, index + 1)
        yield batch


def _seed_dropout(model: Any, seed: int, epoch: int) -> None:
    """Begin the random numbers of the epoch in every dropout layer that has a generator of its own."""
    for index, layer in enumerate(model.submodules):  # also those inside a wrapper
        generator = layer._random_generator._generator if isinstance(layer, keras.layers.Dropout) else None
        if generator is not None:
            generator.reset_from_seed(int(np.random.default_rng([seed, epoch, index]).integers(2**62)))


def _note(state: Progress) -> str:
    return f"val top-1 {state.history[-1].val_top1:.3f}" if state.history else ""


def _save_checkpoint(path: Path, state: Progress, weights: list[Any], best: list[Any], optimizer: Any) -> None:
    arrays = {f"weight_{i}": array for i, array in enumerate(weights)}
    arrays |= {f"best_{i}": array for i, array in enumerate(best)}
    arrays |= {f"optimizer_{i}": variable.numpy() for i, variable in enumerate(optimizer.variables)}
    buffer = io.BytesIO()
    np.savez(buffer, state=np.array(json.dumps(asdict(state))), **arrays)
    write_bytes(path, buffer.getvalue())


def _load_checkpoint(path: Path, stage: Stage, model: Any, optimizer: Any) -> tuple[Progress, list[Any]]:
    try:
        with np.load(path, allow_pickle=False) as saved:
            data = json.loads(str(saved["state"]))
            if Stage(**data["stage"]) != stage:
                raise RunError(f"{path} was made with other settings: {data['stage']}, now {asdict(stage)}")
            weights = [saved[f"weight_{i}"] for i in range(len(model.weights))]
            best = [saved[f"best_{i}"] for i in range(len(model.weights))]
            model.set_weights(weights)
            for i, variable in enumerate(optimizer.variables):
                variable.assign(saved[f"optimizer_{i}"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged ({error}): delete it and start the run again") from error
    history = tuple(Epoch(**row) for row in data["history"])
    return Progress(history=history, best_loss=data["best_loss"], stage=stage), best
