"""`edgesdk train`: from its flags to a run folder, of a classifier or, by other modules, of what is none."""

import argparse
from dataclasses import asdict
from pathlib import Path

from edgesdk.commands import codec, generative, scale
from edgesdk.commands.methods import add_methods, methods_of
from edgesdk.commands.options import Add, add_learning, add_network, learning_of, network_of, refuse
from edgesdk.commands.printing import percent, print_json, print_next
from edgesdk.generation import name_classifier_folder


def add_commands(add: Add) -> None:
    """The command's options."""
    command = add(train, "learn the classes of a folder of photos", "edgesdk train photos/ --width 0.75 --res 160")
    command.add_argument(
        "data",
        metavar="DATA",
        nargs="?",
        help="one subfolder of photos a class, a .tar of them, an .npz, or digits; for a codec any photos",
    )
    add_network(command)
    command.add_argument("--weights", default="none", metavar="W", help="imagenet, a Keras .h5 file or none (default)")
    command.add_argument(
        "--init-from",
        metavar="RUN",
        help="begin with another's encoder or discriminator: the run folder of a network that generates (none: random "
        "weights), or for --arch compressor a codec",
    )
    add_learning(command)
    codec.add_training(command)
    add_methods(command)
    generative.add_training(command)
    scale.add_team(command)
    command.add_argument("--resume", action="store_true", help="continue what was interrupted in the run folder")
    command.add_argument("-o", "--out", type=Path, metavar="RUN", help="run folder (default: named by model and data)")


def train(options: argparse.Namespace) -> int:
    """`edgesdk train`."""
    from edgesdk import verbs
    from edgesdk.verbs import codec as codecverbs

    team = scale.make_team(options)
    if options.arch in codecverbs.CODECS or options.camera is not None:
        return codec.train(options)
    if generative.generates(options):
        return generative.train(options)
    refuse(options, lambda word: word in (*generative.GENERATING, "--steps"), "a classifier")
    done = verbs.train(
        options.data,
        **network_of(options),
        **learning_of(options),
        methods=methods_of(options),
        teacher=options.teacher,
        time_budget=options.time_budget,
        tensorboard=options.tensorboard,
        weights=options.weights,
        init_from=options.init_from,
        resume=options.resume,
        team=team,
        out=options.out,
        quiet=options.quiet,
    )
    folder = options.out or name_classifier_folder(done.spec, done.source.dataset)
    if options.json:
        return print_json({"path": str(folder), **asdict(done)})
    if done.top1 is None:
        print(f"{folder}: {done.source.weights} as they are, {len(done.classes)} classes")
    else:
        print(f"{folder}: {percent(done.top1)} of {done.top1_n} test images right")
    for true, answered, count in done.confusions[:3]:
        print(f"  {count} x {true} taken for {answered}")
    print_next(("convert", folder))
    return 0
