"""What goes wrong while a GAN learns, told from its history.

The course's five problems, each with the number that shows it. Real learning is noisy: a problem is named only when
it lasted, and its limit lies beyond what six epochs of a healthy DCGAN on fashion_mnist showed.
"""

import math
from collections.abc import Callable, Sequence

from edgesdk.generation import Problem
from edgesdk_train.generativeloop import Row

LASTED = 3  # epochs
LEAST_DIVERSITY = 0.4  # real pictures have 1, that DCGAN's 1.0
TOO_RIGHT = 0.97  # of real and generated pictures, for a discriminator that has won
TOO_WRONG = 0.1  # of generated pictures, for one that has lost
VANISHED = 0.1  # of the largest gradient that an epoch had
JUMP = 30.0  # a step's gradient over the median
SETTLED_AFTER = 12  # epochs before pictures of the same codes may be expected to keep still
RESTLESS = 0.6  # of the distance between two real pictures
SWING = 0.5  # of the generator's loss, deviation over mean


def watch(rows: Sequence[Row], known: Sequence[Problem]) -> tuple[Problem, ...]:
    """The problems that the last epoch shows and that are not `known` yet."""
    names = {problem.name for problem in known}
    found = []
    for name, (looks, remedy) in CHECKS.items():
        evidence = looks(rows) if name not in names else ""
        if evidence:
            found.append(Problem(name=name, epoch=int(rows[-1]["epoch"]), evidence=evidence, remedy=remedy))
    return tuple(found)


def _non_convergence(rows: Sequence[Row]) -> str:
    if len(rows) < SETTLED_AFTER:
        return ""
    last = rows[-SETTLED_AFTER // 2 :]
    losses = [row["generator_loss"] for row in last]
    mean = sum(losses) / len(losses)
    swing = math.sqrt(sum((loss - mean) ** 2 for loss in losses) / len(losses)) / max(1e-9, mean)
    if swing > SWING:
        return f"the generator's loss swings by {100 * swing:.0f} % over {len(last)} epochs"
    if all(row["change"] > RESTLESS for row in last):
        change = last[-1]["change"]
        return f"the same codes still give other pictures each epoch, {change:.2f} of two real pictures' distance apart"
    return ""


def _mode_collapse(rows: Sequence[Row]) -> str:
    if len(rows) >= LASTED and all(row["diversity"] < LEAST_DIVERSITY for row in rows[-LASTED:]):
        return f"generated pictures differ only {rows[-1]['diversity']:.2f} times as much as real ones"
    return ""


def _vanishing(rows: Sequence[Row]) -> str:
    largest = max(row["generator_gradient"] for row in rows)
    weak = [row["generator_gradient"] < VANISHED * largest for row in rows[-LASTED:]]
    if len(rows) > LASTED and all(weak):
        now = rows[-1]["generator_gradient"]
        return f"the generator's gradient is {now:.2g}, it was {largest:.2g}: it learns nothing more"
    return ""


def _imbalance(rows: Sequence[Row]) -> str:
    last = rows[-LASTED:]
    if len(last) < LASTED:
        return ""
    if all(min(row["real_right"], row["fake_right"]) > TOO_RIGHT for row in last):
        right = 100 * min(last[-1]["real_right"], last[-1]["fake_right"])
        return f"the discriminator is right of {right:.0f} % of the real and the generated pictures: it has won"
    if all(row["fake_right"] < TOO_WRONG for row in last):
        return f"the discriminator finds {100 * last[-1]['fake_right']:.0f} % of the generated ones out: it has lost"
    return ""


def _sensitivity(rows: Sequence[Row]) -> str:
    row = rows[-1]
    if not all(math.isfinite(value) for value in row.values()):
        return "a loss is no number any more"
    if len(rows) > 1 and row["largest_gradient"] > JUMP:  # the first epoch's steps are wild anyway
        return f"one step's gradient was {row['largest_gradient']:.0f} times the median: a small step changes much"
    return ""


#: name -> (history -> evidence, "" for none; what to try)
CHECKS: dict[str, tuple[Callable[[Sequence[Row]], str], str]] = {
    "non-convergence": (_non_convergence, "take more pictures a step (--batch) or a smaller --width"),
    "mode collapse": (_mode_collapse, "try --arch dcgan, more pictures a step, another --seed, or a VAE"),
    "vanishing generator gradient": (_vanishing, "give the discriminator less --width or more pictures"),
    "imbalance": (_imbalance, "show more pictures, so that the discriminator cannot learn them by heart"),
    "sensitivity": (_sensitivity, "take more pictures a step (--batch) or another --seed"),
}
