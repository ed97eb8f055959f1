"""Learning, epoch after epoch, from a checkpoint that any kill leaves whole."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras as keras

from edgesdk.photos.data import Images
from edgesdk.preprocess import ImageInput
from edgesdk.progress import progress, remark
from edgesdk_train.batches import batches
from edgesdk_train.checkpoint import CHECKPOINT_FILE, load_checkpoint, save_checkpoint
from edgesdk_train.judge import evaluator, judge
from edgesdk_train.objective import Objective, cross_entropy
from edgesdk_train.stage import Epoch, Progress, Stage
from edgesdk_train.step import Rate, averaged, make_optimizer, train_step
from edgesdk_train.team import ALONE, Team, judge_together


def run_stage(
    model: Any,
    stage: Stage,
    train: Images,
    val: Images,
    image_input: ImageInput,
    folder: Path,
    *,
    objective: Objective | None = None,
    judged: Any = None,
    team: Team = ALONE,
    before: Sequence[Epoch] = (),
    start_loss: float = float("inf"),
    until: int | None = None,
    budget_s: float | None = None,
    resume: bool = False,
    quiet: bool = True,
    after_step: Callable[[], None] | None = None,
    after_epoch: Callable[[tuple[Epoch, ...]], None] | None = None,
) -> tuple[Epoch, ...]:
    """Train every trainable layer of `model` in place; it ends with the best epoch's weights.

    What is minimized, and judged on the validation photos, is `objective`, by default the labels' cross-entropy.

    The checkpoint is replaced in one step after each epoch, and every epoch's shuffling, augmentation and dropout
    depend on the seed and its number alone: a resumed stage goes on as the uninterrupted one would have.

    Args:
        judged: the same network, made for this process alone, to judge the weights with; `model` if None.
        team: with whom; only the first of them keeps a checkpoint.
        before: the rows of what was learned before, which a checkpoint keeps from the start.
        start_loss: the calibrated validation loss of the weights that come in; no epoch above it is ever kept.
        until: the epoch to pause after, 0 before the first; None for none. Resumed, it goes on from there.
        budget_s: seconds to learn in. The first epoch's time says how many there will be, and the learning rate falls
            to zero in the last of these.
        after_step: called after each step of the optimizer: pruning masks its weights there.
        after_epoch: called with the history so far.

    Raises:
        RunError: on `resume`, if the checkpoint is damaged or of other settings.
    """
    steps = -(-len(train.labels) // stage.batch)
    classes = int(model.outputs[0].shape[-1])
    rate = Rate(stage, steps)
    optimizer = make_optimizer(stage, rate)
    optimizer.build(model.trainable_variables)
    best = model.get_weights()
    state = Progress(before=tuple(before), stage=stage, best_loss=start_loss, epochs=stage.epochs)
    path = folder / CHECKPOINT_FILE
    if resume and path.is_file():
        state, best = load_checkpoint(path, stage, model, optimizer)
        rate.plan(state.epochs)
    elif before and team.index == 0:
        save_checkpoint(path, state, best, best, optimizer)
    step = train_step(model, optimizer, image_input, objective or cross_entropy(model), members=team.count)
    measure = evaluator(judged or model, image_input) if objective is None else judge(objective, classes, image_input)

    done = len(state.history)
    with (
        progress(stage.name, state.epochs * steps, quiet=quiet) as advance,
        ThreadPoolExecutor(1) as ahead,
    ):
        advance(done * steps, "")
        for epoch in range(done, stage.epochs if until is None else min(until, stage.epochs)):
            if epoch >= state.epochs or state.stalled(stage.patience):
                break
            start = time.monotonic()
            total, right = 0.0, 0
            _seed_dropout(model, stage.seed, epoch)
            for pixels, targets, share, photos in batches(train, stage, classes, epoch, ahead, team):
                loss, correct = step(pixels, targets, share)
                total, right = total + loss * photos, right + correct
                if after_step is not None:
                    after_step()
                advance(1, _note(state))
            learned = model.get_weights()
            kept = averaged(model, optimizer) if stage.methods.ema else learned
            (judged or model).set_weights(kept)
            val_loss, val_top1, val_calibrated = judge_together(measure, val, team)
            model.set_weights(learned)
            row = Epoch(
                stage=stage.name,
                epoch=epoch + 1,
                loss=total / len(train.labels),
                top1=right / len(train.labels),
                val_loss=val_loss,
                val_top1=val_top1,
                val_calibrated=val_calibrated,
            )
            seconds = float(team.first(np.array(state.seconds + time.monotonic() - start)))
            state = replace(state, history=(*state.history, row), seconds=seconds)
            if val_calibrated < state.best_loss:
                state, best = replace(state, best_loss=val_calibrated), kept
            if budget_s is not None:
                state = _within(state, budget_s, quiet=quiet)
                rate.plan(state.epochs)
            if team.index == 0:
                save_checkpoint(path, state, learned, best, optimizer)
            if after_epoch is not None:
                after_epoch(state.history)
    model.set_weights(best)
    return state.history


def _within(state: Progress, budget_s: float, *, quiet: bool) -> Progress:
    """As many epochs as the seconds left allow: planned after the first, and fewer where later ones take longer."""
    done = len(state.history)
    fit = done + max(0, int((budget_s - state.seconds) * done / state.seconds))
    if fit >= state.epochs:
        return state
    remark(f"{fit} of {state.epochs} epochs fit in the {budget_s:.0f} s that are left to learn in", quiet=quiet)
    return replace(state, epochs=fit)


def _seed_dropout(model: Any, seed: int, epoch: int) -> None:
    """Begin the random numbers of the epoch in every dropout layer that has a generator of its own."""
    for index, layer in enumerate(model.submodules):  # also those inside a wrapper
        generator = layer._random_generator._generator if isinstance(layer, keras.layers.Dropout) else None
        if generator is not None:
            generator.reset_from_seed(int(np.random.default_rng([seed, epoch, index]).integers(2**62)))


def _note(state: Progress) -> str:
    return f"val top-1 {state.history[-1].val_top1:.3f}" if state.history else ""
