"""The stretches of learning that a case of transfer learning asks for, one after another."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgesdk.photos.data import Images
from edgesdk.preprocess import ImageInput
from edgesdk.runfolder import Learning
from edgesdk_train.checkpoint import CHECKPOINT_FILE, read_progress
from edgesdk_train.devices import all_devices, copy_for_learning
from edgesdk_train.distill import follow
from edgesdk_train.loop import run_stage
from edgesdk_train.models import architecture
from edgesdk_train.objective import Objective, auxiliary_cross_entropy
from edgesdk_train.stage import Epoch, Stage
from edgesdk_train.team import ALONE, Team, share_weights
from edgesdk_train.transfer import freeze_batchnorm, train_head

SCRATCH_EPSILON = 1e-7
# Measured on flowers5 0.75-160, 400 test photos, head alone 0.833: 1e-4 with this epsilon 0.890, with Adam's usual 1e-7
# 0.895, 3e-4 0.833 (every epoch below the head). With the usual epsilon cats_dogs did not leave its head's 0.960.
FINETUNE_RATE = 1e-4
FINETUNE_EPSILON = 1e-3
PATIENT_STEPS = 300  # a small set's epoch is a few steps: batch-norm alone needs a hundred to settle


def run_stages(
    model: Any,
    arch: str,
    learning: Learning,
    train: Images,
    val: Images,
    image_input: ImageInput,
    folder: Path,
    *,
    teacher: Any = None,
    team: Team = ALONE,
    budget_s: float | None = None,
    until: int | None = None,
    resume: bool = False,
    quiet: bool = True,
    after_epoch: Callable[[Sequence[Epoch]], None] | None = None,
) -> list[Epoch]:
    """Teach `model` in place as `learning`, with nothing left open, says; a row for each epoch.

    Args:
        teacher: a network of the same classes whose answers are learned too, in place of auxiliary classifiers.
        team: with whom; none of them follows a teacher or learns auxiliary classifiers.
        budget_s: seconds to learn in.
        until: the epoch to pause after, 0 for the head alone; None to go on to the end.
        after_epoch: called with the rows so far.
    """
    history: list[Epoch] = []
    start_loss = float("inf")
    if learning.transfer != "scratch":
        freeze_batchnorm(model)
        path = folder / CHECKPOINT_FILE
        if resume and path.is_file():  # it holds the head, too
            history += read_progress(path).before
        else:
            head = train_head(model, train, val, image_input, seed=learning.seed, flip=learning.flip)
            history.append(Epoch(stage="head", epoch=1, **asdict(head)))
            # The head's loss is the labels' alone: no measure of what a teacher's answers are learned by.
            start_loss = head.val_calibrated if teacher is None else start_loss
    if learning.transfer in ("head", "slice"):
        return history
    assert learning.epochs is not None
    scratch = learning.transfer == "scratch"
    learner = architecture(arch).learner if scratch and teacher is None else None
    learns = whole = model if learner is None else learner(model)
    stage = Stage(
        name=learning.transfer,
        epochs=learning.epochs,
        rate=architecture(arch).rate if scratch else FINETUNE_RATE,
        epsilon=SCRATCH_EPSILON if scratch else FINETUNE_EPSILON,
        batch=learning.batch,
        patience=max(5, learning.epochs // 2, PATIENT_STEPS * learning.batch // len(train.labels)),
        flip=learning.flip,
        seed=learning.seed,
        methods=learning.methods,
    )
    if team.count > 1 and (learner is not None or teacher is not None):
        raise ValueError(f"{'a teacher' if teacher is not None else arch} is learned from by one machine: --workers 1")
    strategy = team.strategy or all_devices()
    share_weights(whole, team)
    with strategy.scope():
        if strategy.num_replicas_in_sync > 1 or learning.methods.mixed_precision:
            learns = copy_for_learning(whole, mixed_precision=learning.methods.mixed_precision)
        objective: Objective | None = None
        if learner is not None:
            objective = auxiliary_cross_entropy(learns)
        elif teacher is not None:
            objective = follow(learns, teacher)
        rows = run_stage(
            learns,
            stage,
            train,
            val,
            image_input,
            folder,
            objective=objective,
            judged=whole if team.count > 1 else None,
            team=team,
            before=history,
            start_loss=start_loss,
            until=until,
            budget_s=budget_s,
            resume=resume,
            quiet=quiet,
            after_epoch=None if after_epoch is None else lambda rows: after_epoch([*history, *rows]),
        )
        if learns is not whole:
            whole.set_weights(learns.get_weights())
    return [*history, *rows]
