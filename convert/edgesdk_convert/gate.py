"""The gate: the same held-out images through the float network, the float .tflite and the final .tflite."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from edgesdk.contract import Accuracy, Attempt, Output
from edgesdk.flatbuffer import pack_model, unpack_model
from edgesdk.photos.data import distinct_names
from edgesdk.preprocess import ImageInput, Pixels, to_tensor, value_table
from edgesdk.progress import progress
from edgesdk.recipe import Recipe
from edgesdk.stats import wilson_interval
from edgesdk_convert.network import Network, Outputs
from edgesdk_device.backends import Backend, open_backend

THREADS = 2
MOST_DB = 200.0  # what stands for equal; less this for noise alone
SNR_IMAGES = 64


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A converted file and the recipe by which it came."""

    file: bytes
    recipe: Recipe


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What the images say of a candidate: accuracy (None without labels) and signal to noise before the softmax."""

    accuracy: Accuracy | None
    signal_to_noise_db: float

    def failure(self, recipe: Recipe) -> str:
        """Why it does not keep what the recipe asks for, "" where it does."""
        drop = 0.0 if self.accuracy is None else 100 * (self.accuracy.float - self.accuracy.final)
        if recipe.max_drop is not None and self.accuracy is not None and drop > recipe.max_drop + 1e-9:
            return (
                f"it lost {drop:.1f} points of top-1 ({100 * self.accuracy.float:.1f} % -> "
                f"{100 * self.accuracy.final:.1f} % on {self.accuracy.n} images), allowed are {recipe.max_drop:g}"
            )
        if recipe.min_snr is not None and self.signal_to_noise_db < recipe.min_snr:
            return (
                f"its outputs have {self.signal_to_noise_db:.1f} dB of signal to noise, wanted are {recipe.min_snr:g}"
            )
        return ""

    def attempt(self, step: str, recipe: Recipe) -> Attempt:
        """The line that the contract keeps."""
        return Attempt(
            step=step,
            precision=recipe.precision,
            signal_to_noise_db=round(self.signal_to_noise_db, 2),
            top1=None if self.accuracy is None else self.accuracy.final,
            agreement=None if self.accuracy is None else self.accuracy.agreement,
            passed=not self.failure(recipe),
        )


@dataclass(kw_only=True)
class Judge:
    """Holds the images and what the float network says of them.

    Attributes:
        network: as it was trained, before anything was done to it.
        learned: the float network that is quantized, which may be pruned or shrunk.
        pixels: uint8 [n, height, width, channels].
        truth: int32 [n], or None where nobody said what the images show.
        output: what the network answers.
        photos: uint8, others than `pixels`, on which one candidate is chosen before another.
    """

    network: Network
    learned: Network
    pixels: Pixels
    truth: npt.NDArray[np.int32] | None
    output: Output
    photos: Pixels
    image_input: ImageInput
    quiet: bool = True

    def judge(self, candidate: Candidate) -> Judged:
        """Everything about a candidate, on the held-out images and against the network as it was trained."""
        accuracy = None
        if self.truth is not None:
            final = file_outputs(candidate.file, self.pixels, self.image_input, quiet=self.quiet)
            middle = final if candidate.file == self.learned.float_file else self._learned_answers
            accuracy = prove(self._answers, middle, final, self.truth, self.output.labels)
        given = self._logits(candidate.file, self.pixels)
        return Judged(accuracy=accuracy, signal_to_noise_db=self._signal_to_noise_db(self._held_out, given))

    def choice_db(self, file: bytes) -> float:
        """Signal to noise of a file on the photos to choose by, against the network it was quantized from."""
        return self._signal_to_noise_db(self._shown, self._logits(file, self.photos))

    @cached_property
    def _answers(self) -> Outputs:
        return self.network.answer(self.pixels)

    @cached_property
    def _learned_answers(self) -> Outputs:
        return file_outputs(self.learned.float_file, self.pixels, self.image_input, quiet=self.quiet)

    @cached_property
    def _held_out(self) -> Outputs:
        return self._logits(self.network.float_file, self.pixels)

    @cached_property
    def _shown(self) -> Outputs:
        return self._logits(self.learned.float_file, self.photos)

    def _logits(self, file: bytes, pixels: Pixels) -> Outputs:
        return file_outputs(logits_file(file), pixels[:SNR_IMAGES], self.image_input)

    def _signal_to_noise_db(self, wanted: Outputs, given: Outputs) -> float:
        return signal_to_noise_db(wanted, given, any_mean=self.output.classifies)


def signal_to_noise_db(wanted: Outputs, given: Outputs, *, any_mean: bool = True) -> float:
    """Power of the network's outputs over that of a file's difference from them: 200 where they are equal, -200 where
    the file answers no numbers or the network always the same.

    Args:
        wanted, given: float32 [n, outputs], of the same images, without labels.
        any_mean: each image's mean is taken off first: a softmax does not see it.
    """
    if not np.isfinite(given).all():
        return -MOST_DB
    if any_mean:
        wanted, given = (outputs - outputs.mean(1, keepdims=True) for outputs in (wanted, given))
    noise = float(np.square(given - wanted, dtype=np.float64).mean())
    signal = float(np.square(wanted, dtype=np.float64).mean())
    if not noise:
        return MOST_DB
    return float(np.clip(10 * math.log10(signal / noise), -MOST_DB, MOST_DB)) if signal else -MOST_DB


def file_outputs(file: bytes, pixels: Pixels, image_input: ImageInput, *, quiet: bool = True) -> Outputs:
    """What a converted model answers, image by image, as the device will: float32 [n, outputs]."""
    with open_backend(file, threads=THREADS) as backend:
        return backend_outputs(backend, pixels, image_input, quiet=quiet)


def backend_outputs(backend: Backend, pixels: Pixels, image_input: ImageInput, *, quiet: bool = True) -> Outputs:
    """As `file_outputs`, for a file that is loaded."""
    table = value_table(image_input, backend.input.dtype, backend.input.scale, backend.input.zero_point)
    outputs = []
    with progress("proving", len(pixels), quiet=quiet) as advance:
        for image in pixels:
            outputs.append(backend.dequantize(backend.invoke(to_tensor(image, table))))
            advance(1, "")
    return np.stack(outputs)


def logits_file(file: bytes) -> bytes:
    """The file without the softmax at its end and what follows it; the file itself where there is none.

    Probabilities hide noise where the network is sure and drown it in uint8's 1/256 steps elsewhere; what goes into
    the softmax shows it.
    """
    from ai_edge_litert import schema_py_generated as schema

    tree = unpack_model(file)
    graph = tree.subgraphs[0]
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in tree.operatorCodes]
    for index, operator in enumerate(graph.operators):
        if codes[operator.opcodeIndex] == schema.BuiltinOperator.SOFTMAX and index >= len(graph.operators) - 2:
            graph.outputs = [int(operator.inputs[0])]
            graph.operators = graph.operators[:index]
            tree.signatureDefs = []
            return pack_model(tree)
    return file


def prove(
    network: Outputs, float_file: Outputs, final_file: Outputs, truth: npt.NDArray[np.int32], labels: Sequence[str]
) -> Accuracy:
    """Compare the three on the same images.

    Args:
        network, float_file, final_file: float32 [n, classes].
        truth: int32 [n].
        labels: of the classes.
    """
    answers = [outputs.argmax(1) for outputs in (network, float_file, final_file)]
    right = [answer == truth for answer in answers]
    drops, names = {}, distinct_names(labels)
    for index in np.unique(truth).tolist():
        of_class = truth == index
        drop = 100 * float(right[0][of_class].mean() - right[2][of_class].mean())
        if drop > 0:
            drops[names[index]] = round(drop, 2)
    return Accuracy(
        float=float(right[0].mean()),
        float_tflite=float(right[1].mean()),
        final=float(right[2].mean()),
        n=len(truth),
        ci95=wilson_interval(int(right[2].sum()), len(truth)),
        agreement=float((answers[0] == answers[2]).mean()),
        per_class_drop=dict(sorted(drops.items(), key=lambda item: -item[1])),
    )
