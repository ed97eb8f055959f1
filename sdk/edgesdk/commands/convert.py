"""`edgesdk convert`: from its flags to a proved .tflite, and what it is worth and costs."""

import argparse
from pathlib import Path

from edgesdk.commands import generative
from edgesdk.commands.options import Add, add_learning, add_network, learning_of, network_of, refuse
from edgesdk.commands.printing import percent, print_json
from edgesdk.generation import is_generated
from edgesdk.recipe import RECIPES

#: Options that say nothing of a MODEL that learned elsewhere, and of a run folder, which says the others itself.
FIRST_LESSON = ("--transfer", "--cut", "--epochs")
LESSON = (*FIRST_LESSON, "--batch", "--seed", "--no-flip", "--resize")


def add_commands(add: Add) -> None:
    """The command's options."""
    command = add(
        convert,
        "make a proved .tflite",
        "edgesdk convert --width 0.5 --res 160 --data photos/ --max-drop 1\n"
        "  edgesdk convert mine.keras --values unit --data photos/",
    )
    command.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        type=Path,
        help="run folder of train, Keras file (.keras, .h5), SavedModel or float .tflite; without it one is built",
    )
    command.add_argument("--data", metavar="DATA", help="photos to learn (without MODEL), calibrate and judge on")
    add_network(command)
    command.set_defaults(arch=None, width=None, res=None)  # said or not said, which matters beside MODEL
    command.add_argument("--weights", metavar="W", help="imagenet, a Keras .h5 file or none")
    command.add_argument(
        "--values",
        choices=("signed", "unit", "bytes"),
        help="what a foreign MODEL expects for black to white: -1 to 1, 0 to 1 or 0 to 255 (default: bytes where its "
        "first layer scales them, else signed)",
    )
    command.add_argument("--labels", type=Path, metavar="FILE", help="a foreign MODEL's labels, one a line")
    command.add_argument(
        "--trust",
        action="store_true",
        help="run code that a foreign MODEL holds, and a .tflite that is new here without trying it apart first",
    )
    command.add_argument(
        "--recipe",
        choices=tuple(RECIPES),
        help="tiny: fewest bytes once compressed (--prune 0.8); fast: fewest milliseconds (--shrink 0.5); accurate: at "
        "most half a point lost (--max-drop 0.5); what is said beside it comes first",
    )
    command.add_argument(
        "--quantize",
        choices=("float32", "float16", "dynamic", "int8", "int16x8"),
        help="float16 and dynamic shrink weights only, int8 everything, int16x8 with finer activations (default int8)",
    )
    command.add_argument(
        "--io",
        choices=("uint8", "int8", "float32"),
        help="input and output type (int8 files: uint8, which MediaPipe reads too)",
    )
    command.add_argument(
        "--quantizer",
        choices=("tensorflow", "ai-edge"),
        help="who makes int8: ai-edge takes ai-edge-quantizer, a second and no TensorFlow (default tensorflow)",
    )
    command.add_argument(
        "--shrink",
        type=float,
        metavar="SHARE",
        help="multiply-adds to keep, such as 0.5: whole channels go, milliseconds",
    )
    command.add_argument(
        "--prune", type=float, metavar="SPARSITY", help="share of zero weights, such as 0.8: bytes after compression"
    )
    command.add_argument("--cluster", type=int, metavar="N", help="distinct weights in each large layer, such as 16")
    command.add_argument("--qat", action="store_true", help="quantization-aware training: learn with int8's rounding")
    command.add_argument(
        "--max-drop", type=float, metavar="POINTS", help="repair what loses more points of top-1, or refuse it"
    )
    command.add_argument(
        "--min-snr", type=float, metavar="DB", help="the same by the outputs' signal to noise, for any network"
    )
    command.add_argument(
        "--no-repair", action="store_true", help="plain quantization: neither equalization nor bias correction"
    )
    add_learning(command)
    command.add_argument("-o", "--out", type=Path, metavar="FILE", help="the .tflite (default: named by model, data)")


def convert(options: argparse.Namespace) -> int:
    """`edgesdk convert`."""
    from edgesdk import verbs
    from edgesdk.reports import report
    from edgesdk.verbs.foreign import is_foreign

    if is_generated(options.model):
        return generative.convert(options)
    if options.model is not None:
        unfit = FIRST_LESSON if is_foreign(options.model) else LESSON
        refuse(options, lambda word: word in unfit, f"{options.model}, which has learned already")
    made = verbs.convert(
        options.model,
        **network_of(options),
        **learning_of(options),
        data=options.data,
        weights=options.weights,
        values=options.values,
        labels=options.labels,
        trust=options.trust,
        recipe=options.recipe,
        quantize=options.quantize,
        io=options.io,
        quantizer=options.quantizer,
        shrink=options.shrink,
        prune=options.prune,
        cluster=options.cluster,
        qat=options.qat,
        max_drop=options.max_drop,
        min_snr=options.min_snr,
        repairs=() if options.no_repair else None,
        out=options.out,
        quiet=options.quiet,
    )
    if options.json:
        return print_json(made.to_json())
    facts = made.to_json()
    proved = facts["accuracy"]
    print(f"{made.path}  ({facts['size_bytes'] / 1000:.0f} kB, {facts['gzip_bytes'] / 1000:.0f} kB gzipped)")
    print(f"  {facts['macs'] / 1e6:.1f} M multiply-adds, {facts['parameters'] / 1e6:.2f} M parameters")
    if not made.contract.output.classifies:
        print(f"  no classifier: its output is {made.contract.output.kind}")
    elif proved is None:
        state = "trained, not judged: no data was given" if facts["trained"] else "random weights: only size and speed"
        print(f"  accuracy unknown ({state})")
    else:
        low, high = (percent(value) for value in proved["ci95"])
        print(
            f"  top-1 on {proved['n']} held-out images: network {percent(proved['float'])}, float .tflite "
            f"{percent(proved['float_tflite'])}, this file {percent(proved['final'])} (95 %: {low} to {high}), "
            f"same answer {percent(facts['agreement'])}"
        )
    ran = ", ".join(f"{row['runtime']} {row['version']}" for row in facts["runtimes"] if row["ok"])
    print(f"  gave its golden outputs in {ran}, each in a process of its own")
    (measured,), _ = report.split_rows(verbs.bench([made.path], backends=["litert"], threads=[1], quick=True))
    print(
        f"  {measured.invoke_ms.p50:.2f} ms invoke, {measured.frame_ms.p50:.2f} ms frame to label here "
        f"(medians, quick, {measured.backend}, 1 thread)"
    )
    print(f"next: edgesdk verify {made.path}; edgesdk run {made.path} --source 0")
    return 0
