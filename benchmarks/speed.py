"""How fast the parts are that users wait for, each as a ratio of two things interleaved in one run.

    python benchmarks/speed.py            about ten minutes on 2 cores, no data needed

Writes benchmarks/results/<board>/speed.json and prints one line a ratio with its target.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from results import save

from edgesdk import verbs
from edgesdk.contract import Output, Source
from edgesdk.photos.data import load_images, read_dataset, split_dataset
from edgesdk.preprocess import ImageInput
from edgesdk.progress import remark
from edgesdk.quiet import captured_output, import_tensorflow
from edgesdk.recipe import Io, Precision, Recipe
from edgesdk.runfolder import MODEL_FILE
from edgesdk.spec import ModelSpec

PRECISIONS: tuple[Precision, ...] = ("float32", "float16", "dynamic", "int8", "int16x8")
SPEC = ModelSpec(width=0.5, res=160, classes=10)
INPUT = ImageInput(height=160, width=160)


def interleaved(rounds: int, **works: Callable[[], object]) -> dict[str, list[float]]:
    """Seconds of each piece of work, A B A B, after one round that is thrown away."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for round_ in range(rounds + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if round_:
                times[name].append(time.perf_counter() - start)
        remark(f"{', '.join(works)}: round {round_} of {rounds}", quiet=False)
    return times


def in_process(code: str) -> Callable[[], object]:
    """Work that runs Python code in a fresh process, with compiled modules kept as every installation keeps them."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-W", "ignore", "-c", code]
    return lambda: subprocess.run(command, check=True, capture_output=True, env=environment)


def converting(folder: Path) -> dict[str, list[float]]:
    """Our conversion of a learned network against plain `TFLiteConverter.from_keras_model`, warm process.

    All five precisions come from one frozen network; `five_verbs` are five calls of `edgesdk.convert` on the run
    folder instead, each of which loads it, decodes the photos and judges its file on 355 of them.
    """
    import_tensorflow()
    import numpy as np
    import tensorflow as tf

    from edgesdk_convert.convert import convert_model
    from edgesdk_convert.evidence import Evidence
    from edgesdk_convert.load import load_network
    from edgesdk_convert.network import Network, from_keras

    run = folder / "digits.run"
    verbs.train("digits", width=SPEC.width, res=SPEC.res, epochs=2, out=run)
    model = load_network(run / MODEL_FILE)
    digits = [photo for photo in read_dataset("digits").photos if photo.split == "train"]
    pixels = load_images(digits[:98], INPUT).pixels  # and two anchors make 100 samples
    values = (pixels.astype(np.float32) - 128) / 128

    def ours(network: Network, precision: Precision, repair: bool = False) -> object:
        return convert_model(
            network,
            spec=SPEC,
            image_input=INPUT,
            output=Output(labels=tuple("0123456789")),
            source=Source(),
            recipe=recipe(precision, repair),
            evidence=Evidence(calibration=pixels),
            out=folder / f"{precision}.tflite",
        )

    def five(repair: bool) -> None:
        network = from_keras(model, INPUT)
        for precision in PRECISIONS:
            ours(network, precision, repair)

    def five_verbs() -> None:
        for precision in PRECISIONS:
            verbs.convert(run, recipe=recipe(precision, repair=False), out=folder / f"judged_{precision}.tflite")

    def plain(quantized: bool) -> object:
        with captured_output():
            converter = tf.lite.TFLiteConverter.from_keras_model(model)
            if quantized:
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
                converter.representative_dataset = lambda: ([value[None]] for value in values)
                converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
                converter.inference_input_type = converter.inference_output_type = tf.uint8
            return converter.convert()

    return interleaved(
        5,
        float_ours=lambda: ours(from_keras(model, INPUT), "float32"),
        float_plain=lambda: plain(False),
        int8_ours=lambda: ours(from_keras(model, INPUT), "int8"),
        int8_plain=lambda: plain(True),
        int8_repaired=lambda: ours(from_keras(model, INPUT), "int8", repair=True),
        five=lambda: five(repair=False),
        five_repaired=lambda: five(repair=True),
    ) | interleaved(1, five_verbs=five_verbs)


def recipe(precision: Precision, repair: bool) -> Recipe:
    """The precision, int8 with uint8 input, repaired or plain."""
    io: Io = "uint8" if precision == "int8" else "float32"
    return Recipe(precision=precision, io=io, repairs=Recipe().repairs if repair else ())


def starting(folder: Path) -> dict[str, list[float]]:
    """Imports and the first label in a fresh process."""
    path, photo = str(folder / "int8.tflite"), next(iter(read_dataset("digits").photos)).path
    return interleaved(
        15,
        numpy=in_process("import numpy"),
        edgesdk=in_process("import edgesdk"),
        bare=in_process("import numpy, cv2; from ai_edge_litert.interpreter import Interpreter"),
        label=in_process(f"import edgesdk; print(edgesdk.Classifier({path!r})({str(photo)!r}).label)"),
    )


def heads() -> dict[str, list[float]]:
    """A head on cached features against the same 20 epochs with the frozen body in the loop.

    500 digits to learn, 149 to validate on after each epoch, in both; building the network is in neither.
    """
    import tensorflow as tf
    import tf_keras as keras

    from edgesdk_train import transfer
    from edgesdk_train.models import build_model

    dataset = split_dataset(read_dataset("digits"))
    photos = {split: [photo for photo in dataset.photos if photo.split == split] for split in ("train", "val")}
    train, val = load_images(photos["train"][:500], INPUT), load_images(photos["val"], INPUT)
    model, frozen, epochs = build_model(SPEC), build_model(SPEC), 20
    logits = model.get_layer("logits")
    fresh = logits.get_weights()
    for layer in frozen.layers:
        layer.trainable = layer.name == "logits"
    values = [tf.constant((part.pixels.astype("float32") - 128) / 128) for part in (train, val)]

    def cached() -> None:
        logits.set_weights(fresh)
        transfer.train_head(model, train, val, INPUT, seed=0, flip=False, epochs=epochs)

    def in_the_loop() -> None:
        frozen.compile(keras.optimizers.Adam(transfer.HEAD_RATE), "sparse_categorical_crossentropy", ["accuracy"])
        frozen.fit(
            values[0],
            tf.constant(train.labels),
            batch_size=transfer.HEAD_BATCH,
            epochs=epochs,
            validation_data=(values[1], tf.constant(val.labels)),
            verbose=0,
        )

    return interleaved(3, cached=cached, in_the_loop=in_the_loop)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        times = converting(folder) | starting(folder) | heads()
        verbs.verify(folder / "int8.tflite")
    median = {name: statistics.median(values) for name, values in times.items()}
    rows = [
        ("convert, float32, of from_keras_model", "float_ours", "float_plain", 0.1),
        ("convert, int8 with 100 samples, of from_keras_model", "int8_ours", "int8_plain", 0.3),
        ("the same with equalization and bias correction", "int8_repaired", "int8_plain", None),
        ("five precisions of one network, of from_keras_model's float", "five", "float_plain", 2.0),
        ("the same with equalization and bias correction", "five_repaired", "float_plain", None),
        ("five times edgesdk.convert on a run folder, each judged on 355 photos", "five_verbs", "float_plain", None),
        ("import edgesdk, of import numpy", "edgesdk", "numpy", 1.5),
        ("fresh process to first label, of the bare imports", "label", "bare", 1.3),
        ("head on cached features, of a frozen body in the loop", "cached", "in_the_loop", 0.1),
    ]
    facts = []
    for text, ours, theirs, target in rows:
        ratio = median[ours] / median[theirs]
        facts.append({"what": text, "ratio": round(ratio, 3), "target": target, "seconds": round(median[ours], 3)})
        verdict = "no target" if target is None else f"target {target:g}, {'ok' if ratio <= target else 'MISSED'}"
        print(f"{ratio:6.3f}  ({verdict})  {text}: {median[ours]:.3f} s of {median[theirs]:.3f} s")
    save("speed.json", json.dumps({"ratios": facts, "seconds": times}, indent=1))


if __name__ == "__main__":
    main()
