"""One trained network and one recipe in, one proved .tflite out."""

import gzip
import importlib.metadata
import platform
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgesdk import modelfile
from edgesdk.atomic import check_writable
from edgesdk.contract import Contract, Measured, Output, Source
from edgesdk.converted import Converted
from edgesdk.errors import ConversionError, GateError
from edgesdk.preprocess import ImageInput, Pixels
from edgesdk.recipe import CALIBRATED, Recipe
from edgesdk.spec import ModelSpec
from edgesdk_convert.calibrate import check_input, made_images
from edgesdk_convert.compress import compress, learn_quantized
from edgesdk_convert.evidence import Evidence
from edgesdk_convert.gate import Judge, Judged, backend_outputs, file_outputs
from edgesdk_convert.golden import golden_pixels, make_golden, tolerances
from edgesdk_convert.inspect import Graph, read_graph
from edgesdk_convert.network import Network
from edgesdk_convert.runtimes import check_operations, prove_runtimes, warm_runtimes
from edgesdk_convert.search import MADE_CALIBRATION, Search, Trial
from edgesdk_device.backends import Backend, open_backend

ROUNDED_PHOTOS = 60
TOOLS = (
    "edgesdk",
    "tensorflow",
    "tf-keras",
    "tensorflow-model-optimization",
    "ai-edge-litert",
    "ai-edge-quantizer",
    "numpy",
    "opencv-python",
)


def convert_model(
    network: Network,
    *,
    spec: ModelSpec | None,
    image_input: ImageInput,
    output: Output,
    source: Source,
    recipe: Recipe,
    evidence: Evidence,
    out: Path,
    name: str = "",
    quiet: bool = True,
) -> Converted:
    """Compress, convert, prove and write.

    Args:
        network: image -> what `output` says.
        spec, image_input, output, source: what the contract says of it.
        recipe: what is asked for.
        evidence: images to learn on, to calibrate and to judge on.
        out: the file's final name.
        name: of the network; the spec's where it is empty.
        quiet: no progress bar, no remarks.

    Returns:
        The file that was written.

    Raises:
        ConversionError: if the converter fails or does not do what was asked, or something must be learned and there
            is nothing to learn on, or LiteRT in a process of its own does not give the golden outputs.
        GateError: if no file keeps what the recipe asks for; the best one is left beside under a name that says so.
        WriteError: if `out` cannot be written; what stood there stays.
    """
    start = time.monotonic()
    check_writable(out)
    warm_runtimes()
    name = name or (spec.name if spec else out.stem)
    if recipe.max_drop is not None and not output.classifies:
        raise ConversionError(f"{name} is no classifier, it answers a {output.kind}: ask for --min-snr, not --max-drop")
    if recipe.max_drop is not None and evidence.truth is None:
        raise ConversionError("max-drop needs labelled photos to judge on: add --data, or ask for --min-snr")
    shown = evidence.calibration
    if shown is None:
        shown = made_images(MADE_CALIBRATION, image_input)
    learned = network
    if recipe.learns:
        learned, recipe = compress(network, recipe, image_input, evidence.lesson, quiet=quiet)
    judge = Judge(
        network=network,
        learned=learned,
        pixels=shown if evidence.test is None else evidence.test,
        truth=evidence.truth,
        output=output,
        photos=shown,
        image_input=image_input,
        quiet=quiet,
    )
    search = Search(
        network=learned,
        recipe=recipe,
        image_input=image_input,
        judge=judge,
        photos=evidence.calibration if recipe.precision in CALIBRATED else None,
        more_photos=evidence.more_calibration,
        learn_quantized=learn_quantized(recipe, image_input, evidence.lesson, quiet=quiet),
        quiet=quiet,
    )
    best = search.find()
    sealed = _seal(best, search, name, spec, image_input, output, source, evidence, quiet=quiet)
    failure = best.judged.failure(recipe)
    if failure:
        kept = out.with_name(f"{out.stem}.failed-gate{out.suffix}")
        modelfile.write(kept, best.candidate.file, sealed)
        raise GateError(
            f"no file passes: the best of {len(search.trials)} is {best.attempt.step}, but {failure}; it lies in "
            f"{kept}, nothing was written to {out.name}: allow a larger loss, or ship --quantize float32"
        )
    file = modelfile.write(out, best.candidate.file, sealed)
    assert file.contract is not None
    return Converted(path=Path(out), contract=file.contract, seconds=time.monotonic() - start)


def _seal(
    best: Trial,
    search: Search,
    name: str,
    spec: ModelSpec | None,
    image_input: ImageInput,
    output: Output,
    source: Source,
    evidence: Evidence,
    *,
    quiet: bool,
) -> Contract:
    """The contract of a file: golden outputs from the file itself, replayed in every runtime."""
    final, recipe = best.candidate.file, best.candidate.recipe
    graph = read_graph(final)
    check_operations(graph, quiet=quiet)
    with ThreadPoolExecutor(1) as beside, open_backend(final, threads=2) as backend:
        gzipped = beside.submit(gzip.compress, final, 9)
        check_input(backend, image_input, recipe)
        golden = make_golden(backend, image_input, evidence.test)
        rounding = _rounding(backend, search.network, golden_pixels(golden, image_input), evidence.test, image_input)
        measured = _measure(graph, len(final), search.network, best.judged, gzipped)
    contract = Contract(
        name=name,
        spec=spec,
        source=source,
        input=image_input,
        output=output,
        recipe=recipe,
        measured=measured,
        attempts=tuple(trial.attempt for trial in search.trials),
        golden=golden,
        tolerance=tolerances(recipe.precision, golden, output, rounding),
        versions=tool_versions(),
    )
    return replace(contract, ran=prove_runtimes(final, contract, quiet=quiet))


def _rounding(
    backend: Backend, network: Network, golden: Pixels, photos: Pixels | None, image_input: ImageInput
) -> float:
    """The largest difference of a file's answers from its float network's, on the golden inputs and held-out photos."""
    pixels = golden if photos is None else np.concatenate([golden, photos[:ROUNDED_PHOTOS]])
    answers = backend_outputs(backend, pixels, image_input)
    return float(np.abs(answers - file_outputs(network.float_file, pixels, image_input)).max())


def tool_versions() -> dict[str, str]:
    """Name -> version of the tools that take part."""
    versions = {"python": platform.python_version()}
    for tool in TOOLS:
        try:
            versions[tool] = importlib.metadata.version(tool)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _measure(graph: Graph, size_bytes: int, network: Network, judged: Judged, gzipped: Future[bytes]) -> Measured:
    return Measured(
        macs=graph.macs,
        parameters=network.parameters,
        size_bytes=size_bytes,
        gzip_bytes=len(gzipped.result()),
        sparsity=round(graph.sparsity, 6),
        signal_to_noise_db=round(judged.signal_to_noise_db, 2),
        accuracy=judged.accuracy,
    )
