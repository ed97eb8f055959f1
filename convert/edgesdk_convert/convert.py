"""One trained network and one recipe in, one proved .tflite out."""

import gzip
import importlib.metadata
import platform
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesdk import modelfile
from edgesdk.atomic import check_writable
from edgesdk.contract import Accuracy, Contract, Measured, Output, Recipe, Source
from edgesdk.converted import Converted
from edgesdk.errors import ConversionError
from edgesdk.preprocess import ImageInput, Pixels
from edgesdk.progress import remark
from edgesdk.spec import ModelSpec
from edgesdk_convert.biascorrect import correct_biases
from edgesdk_convert.calibrate import add_anchors, made_images
from edgesdk_convert.equalize import equalize
from edgesdk_convert.export import FrozenGraph, freeze
from edgesdk_convert.gate import Outputs, check_drop, file_outputs, network_outputs, prove, signal_to_noise_db
from edgesdk_convert.golden import TOLERANCES, make_golden
from edgesdk_convert.inspect import read_graph
from edgesdk_convert.quantize import CALIBRATED, check_input
from edgesdk_convert.runtimes import check_operations, prove_runtimes
from edgesdk_convert.worker import Job, convert_graph, shared_worker
from edgesdk_device.backends import open_backend

MADE_CALIBRATION = 32
FEWEST_TO_REPAIR = 8  # photos; fewer say nothing of a channel's mean and range
FAITHFUL_DB = 45.0  # signal to noise of the outputs above which no repair is tried
TOOLS = ("edgesdk", "tensorflow", "tf-keras", "ai-edge-litert", "numpy", "opencv-python")


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The images a conversion needs.

    Attributes:
        calibration: uint8 [n, height, width, channels], or None: generated pictures.
        test: uint8 [n, height, width, channels] to judge on, or None: the file's accuracy stays unknown.
        truth: int32 [n], the classes of `test`.
    """

    calibration: Pixels | None = None
    test: Pixels | None = None
    truth: npt.NDArray[np.int32] | None = None


def convert_model(
    model: Any,
    *,
    spec: ModelSpec,
    image_input: ImageInput,
    labels: tuple[str, ...],
    source: Source,
    recipe: Recipe,
    evidence: Evidence,
    out: Path,
    max_drop: float | None = None,
    repair: bool = True,
    quiet: bool = True,
) -> Converted:
    """Convert, prove and write.

    Args:
        model: a `tf_keras.Model`, image -> probabilities.
        spec, image_input, labels, source: what the contract says of it.
        recipe: the wanted precision and input/output type.
        evidence: images to calibrate and to judge on.
        out: the file's final name.
        max_drop: points of top-1 that may be lost against the float network.
        repair: mend what quantization changes, by `equalize` and `correct_biases`.
        quiet: no progress bar.

    Returns:
        The file that was written.

    Raises:
        ConversionError: if the network holds NaN, the converter fails or does not do what was asked, or LiteRT in a
            process of its own does not give the golden outputs.
        GateError: if more than `max_drop` was lost; nothing is written.
        WriteError: if `out` cannot be written; what stood there stays.
    """
    start = time.monotonic()
    check_writable(out)
    shared_worker()  # it imports TensorFlow while the graph is frozen here
    _check_finite(model)
    graph = freeze(model)
    if recipe.precision not in CALIBRATED:
        final = convert_graph(Job(graph=graph, recipe=recipe, image_input=image_input, samples=None))
    else:
        final, recipe = _quantize(model, graph, recipe, image_input, evidence.calibration, repair=repair, quiet=quiet)
    check_operations(read_graph(final), quiet=quiet)

    with ThreadPoolExecutor(1) as beside, open_backend(final, threads=2) as backend:
        gzipped = beside.submit(gzip.compress, final, 6)
        check_input(backend, image_input, recipe)
        accuracy = None
        if evidence.test is not None and evidence.truth is not None:
            final_outputs = file_outputs(backend, evidence.test, image_input, quiet=quiet)
            float_outputs = final_outputs
            if recipe.precision != "float32":
                plain = Job(graph=graph, recipe=Recipe(), image_input=image_input, samples=None)
                with open_backend(convert_graph(plain), threads=2) as float_backend:
                    float_outputs = file_outputs(float_backend, evidence.test, image_input, quiet=quiet)
            network = network_outputs(model, evidence.test, image_input)
            accuracy = prove(network, float_outputs, final_outputs, evidence.truth, labels)
            check_drop(accuracy, max_drop)
        golden = make_golden(backend, image_input, evidence.test)
        measured = _measure(final, model, accuracy, gzipped)

    contract = Contract(
        name=spec.name,
        spec=spec,
        source=source,
        input=image_input,
        output=Output(kind="probabilities", labels=labels),
        recipe=recipe,
        measured=measured,
        golden=golden,
        tolerance=TOLERANCES[recipe.precision],
        versions=tool_versions(),
    )
    contract = replace(contract, ran=prove_runtimes(final, contract, quiet=quiet))
    file = modelfile.write(out, final, contract)
    assert file.contract is not None
    return Converted(path=Path(out), contract=file.contract, seconds=time.monotonic() - start)


def _quantize(
    model: Any,
    graph: FrozenGraph,
    recipe: Recipe,
    image_input: ImageInput,
    photos: Pixels | None,
    *,
    repair: bool,
    quiet: bool,
) -> tuple[bytes, Recipe]:
    """Quantize; where that changes the outputs on the calibration photos, repair it and keep the better file."""
    samples = add_anchors(made_images(MADE_CALIBRATION, image_input) if photos is None else photos)
    recipe = replace(recipe, calibration=len(samples))
    plain = convert_graph(Job(graph=graph, recipe=recipe, image_input=image_input, samples=samples))
    if photos is None or len(photos) < FEWEST_TO_REPAIR or not repair:
        return plain, recipe
    wanted = network_outputs(model, photos, image_input)
    before_db = _file_db(plain, wanted, photos, image_input)
    if before_db >= FAITHFUL_DB:
        return plain, recipe
    remark(f"equalizing channels and correcting biases ({before_db:.0f} dB of signal to noise)", quiet=quiet)
    repaired_model = correct_biases(equalize(model, photos, image_input), photos, image_input)
    repaired = convert_graph(Job(graph=freeze(repaired_model), recipe=recipe, image_input=image_input, samples=samples))
    after_db = _file_db(repaired, wanted, photos, image_input)
    if after_db <= before_db:
        return plain, recipe
    step = (
        f"equalization and bias correction on {len(photos)} unlabelled photos: signal to noise of the outputs "
        f"{before_db:.1f} -> {after_db:.1f} dB"
    )
    return repaired, replace(recipe, steps=(*recipe.steps, step))


def _file_db(file: bytes, wanted: Outputs, photos: Pixels, image_input: ImageInput) -> float:
    with open_backend(file, threads=2) as backend:
        return signal_to_noise_db(wanted, file_outputs(backend, photos, image_input))


def tool_versions() -> dict[str, str]:
    """Name -> version of the tools that take part."""
    versions = {"python": platform.python_version()}
    for tool in TOOLS:
        try:
            versions[tool] = importlib.metadata.version(tool)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _measure(final: bytes, model: Any, accuracy: Accuracy | None, gzipped: Future[bytes]) -> Measured:
    graph = read_graph(final)
    return Measured(
        macs=graph.macs,
        parameters=int(model.count_params()),
        size_bytes=len(final),
        gzip_bytes=len(gzipped.result()),
        sparsity=round(graph.sparsity, 6),
        accuracy=accuracy,
    )


def _check_finite(model: Any) -> None:
    for weight in model.weights:
        if not np.isfinite(weight.numpy()).all():
            raise ConversionError(
                f"the network's weights {weight.name} hold NaN or infinite numbers: train it again, with a smaller rate"
            )
