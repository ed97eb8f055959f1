"""The options for what learning does beyond the plain, `Methods`."""

import argparse
from pathlib import Path

from edgesdk.commands.values import duration
from edgesdk.runfolder import Methods


def add_methods(command: argparse.ArgumentParser) -> None:
    """The options of `Methods`, and of who teaches, how long, and what is logged."""
    group = command.add_argument_group("methods")
    group.add_argument(
        "--augment",
        default="standard",
        choices=("standard", "rand", "none"),
        help="other views of each photo: shifts, zoom and light (default), RandAugment, or none",
    )
    group.add_argument(
        "--mix", default="none", choices=("none", "mixup", "cutmix", "both"), help="two photos as one (default none)"
    )
    group.add_argument(
        "--label-smoothing", type=float, default=0.0, metavar="SHARE", help="of each answer, spread over all classes"
    )
    group.add_argument("--class-weights", action="store_true", help="classes count alike, however many photos each has")
    group.add_argument("--clip-norm", type=float, default=0.0, metavar="N", help="largest norm of a step's gradients")
    group.add_argument(
        "--ema", type=float, default=0.0, metavar="DECAY", help="keep the running mean of the weights, such as 0.99"
    )
    group.add_argument("--mixed-precision", action="store_true", help="compute in bfloat16, weights stay float32")
    group.add_argument("--teacher", type=Path, metavar="RUN", help="learn the answers of that run's network, too")
    group.add_argument(
        "--time-budget",
        type=duration,
        default=0.0,
        metavar="TIME",
        help="as many epochs as fit, such as 90s, 10m or 1h",
    )
    group.add_argument("--tensorboard", action="store_true", help="a log for TensorBoard in the run folder")


def methods_of(options: argparse.Namespace) -> Methods:
    """`add_methods`' own."""
    return Methods(
        augment=options.augment,
        mix=options.mix,
        label_smoothing=options.label_smoothing,
        class_weights=options.class_weights,
        clip_norm=options.clip_norm,
        ema=options.ema,
        mixed_precision=options.mixed_precision,
    )
