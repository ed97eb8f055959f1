"""From a float network to a file that passes the gate, each step costlier than the one before.

int8 on the photos' ranges; if that fails the gate, more photos and clipped ranges; if it fails or is not faithful,
equalized channels and corrected biases; then, only for a gate that still fails: float32 for the few operations that
int8 hurts most, quantization-aware training, int16 activations, float16 weights.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from edgesdk.contract import Attempt
from edgesdk.errors import ConversionError
from edgesdk.preprocess import ImageInput, Pixels
from edgesdk.progress import remark
from edgesdk.recipe import Io, Recipe, Repair
from edgesdk_convert.biascorrect import correct_biases
from edgesdk_convert.calibrate import add_anchors, check_photos, clip_ranges, made_images
from edgesdk_convert.equalize import equalize
from edgesdk_convert.export import freeze
from edgesdk_convert.gate import Candidate, Judge, Judged
from edgesdk_convert.jobs import Calibrate, FromGraph, Samples, ToInt8, ToInt16
from edgesdk_convert.network import Network, from_keras
from edgesdk_convert.selective import blame_layers
from edgesdk_convert.worker import run_job

MADE_CALIBRATION = 32
FAITHFUL_DB = 40.0  # signal to noise of the outputs before the softmax above which no repair is tried
REPAIR_WORDS = {"equalize": "equalization", "correct_biases": "bias correction"}
FLOAT_LAYERS = (1, 2, 4, 8, 16)  # how many operations selective quantization leaves in float32, one try each


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A candidate that was judged.

    Attributes:
        float_file: what it was quantized from.
        calibrated: that file with ranges, b"" where there are none.
        choice_db: signal to noise on the calibration photos, by which one is chosen from those that pass.
        repairs: what its network got first.
    """

    candidate: Candidate
    judged: Judged
    attempt: Attempt
    float_file: bytes
    calibrated: bytes
    choice_db: float
    repairs: tuple[Repair, ...] = ()


@dataclass(kw_only=True)
class Search:
    """What a search for a file needs, and the trials so far.

    Attributes:
        network: float, pruned, clustered or shrunk already.
        recipe: what is asked for.
        photos: uint8 [n, height, width, channels] to calibrate on, without labels; None: generated pictures.
        more_photos: gives up to five times as many, for a gate that fails.
        learn_quantized: quantization-aware training, model -> model; None where there is nothing to learn from.
    """

    network: Network
    recipe: Recipe
    image_input: ImageInput
    judge: Judge
    photos: Pixels | None = None
    more_photos: Callable[[], Pixels] | None = None
    learn_quantized: Callable[[Any], Any] | None = None
    quiet: bool = True
    trials: list[Trial] = field(default_factory=list)

    def find(self) -> Trial:
        """The best file of those that pass, or of all where none does."""
        steps = self._quantized() if self.recipe.precision == "int8" else self._direct(self.recipe.precision)
        for trial in steps:
            self.trials.append(trial)
            attempt = trial.attempt
            if self._gated or len(self.trials) > 1:
                top1 = "" if attempt.top1 is None else f"top-1 {100 * attempt.top1:.1f} %, "
                verdict = (", passes" if attempt.passed else ", fails") if self._gated else ""
                remark(f"{attempt.step}: {top1}{attempt.signal_to_noise_db:.1f} dB{verdict}", quiet=self.quiet)
        return self.best

    @property
    def best(self) -> Trial:
        """Of the trials that pass (of all, where none does) the one with the highest signal to noise."""
        return max(self.trials, key=lambda trial: (trial.attempt.passed, trial.choice_db))

    @cached_property
    def _shown(self) -> Pixels:
        """The images that show the network what it will see."""
        if self.photos is None:
            return made_images(MADE_CALIBRATION, self.image_input)
        check_photos(self.photos)
        return self.photos

    @property
    def _samples(self) -> Samples:
        return Samples(pixels=add_anchors(self._shown), image_input=self.image_input)

    @property
    def _repairs(self) -> tuple[Repair, ...]:
        """Equalization scales each weight by its input channel: clustered weights would no longer be few."""
        return tuple(repair for repair in self.recipe.repairs if not (self.recipe.cluster and repair == "equalize"))

    @property
    def _gated(self) -> bool:
        return self.recipe.max_drop is not None or self.recipe.min_snr is not None

    @property
    def _done(self) -> bool:
        return self.best.attempt.passed

    def _quantized(self) -> Iterator[Trial]:
        """int8, ever more of it repaired; the caller has seen each trial before the next is made."""
        if self.recipe.quantizer == "ai-edge":
            yield self._ai_edge()
            return
        if self.recipe.qat:
            yield from self._trained()
        else:
            yield from self._calibrated()
            if not self._done:
                yield from self._selective()
            if not self._done and self.learn_quantized is not None and self.network.layers is not None:
                yield from self._trained()
        for precision in ("int16x8", "float16"):
            if self._done:
                continue
            try:
                yield from self._direct(precision)
            except ConversionError as error:  # int16x8 has no kernel for some operations
                remark(str(error), quiet=self.quiet)

    def _calibrated(self) -> Iterator[Trial]:
        """Plain int8, better ranges, and the repairs on the best ranges."""
        samples = self._samples
        yield self._int8("int8", self.network, samples)
        if not self._done and self.more_photos is not None:
            more = Samples(pixels=add_anchors(self.more_photos()), image_input=self.image_input)
            yield self._int8(f"int8 calibrated on {len(more.pixels)} images", self.network, more)
        if not self._done:
            step = "int8 with ranges clipped to 99.99 % of the values"
            yield self._int8(step, self.network, samples, clipped=True)
        if self.photos is None or self.network.layers is None or not self._repairs:
            return
        if self._done and self.best.choice_db >= FAITHFUL_DB:
            return
        names = " and ".join(REPAIR_WORDS[repair] for repair in self._repairs)
        step = f"int8 after {names} on {len(self._shown)} unlabelled photos"
        yield self._int8(step, self._repair(self._repairs), samples, repairs=self._repairs)

    def _repair(self, repairs: tuple[Repair, ...], float_layers: frozenset[str] = frozenset()) -> Network:
        """The network with equal channels and corrected biases, but for layers that stay float."""
        model = self.network.layers
        if "equalize" in repairs:
            model = equalize(model, self._shown, self.image_input)
        if "correct_biases" in repairs:
            model = correct_biases(model, self._shown, self.image_input, float_layers)
        return from_keras(model, self.image_input)

    def _selective(self) -> Iterator[Trial]:
        """The operations that int8 hurts most stay float, more and more of them."""
        start = self.best
        blamed = blame_layers(start.calibrated, start.float_file, self._shown, self.image_input, quiet=self.quiet)
        for count in FLOAT_LAYERS:
            if count > len(blamed) // 2 or self._done:
                return
            names = tuple(name for name, _ in blamed[:count])
            share = 100 * sum(noise for _, noise in blamed[:count])
            short = ", ".join(name.split(";")[0].removeprefix("net/") for name in names[:4])
            more = f" and {count - 4} more" if count > 4 else ""
            step = f"{start.attempt.step}, float32 where {share:.0f} % of the noise arose ({short}{more})"
            calibrated, float_file = start.calibrated, start.float_file
            if "correct_biases" in start.repairs:
                # A bias that makes up for rounded weights is wrong beside weights that are not.
                float_file = self._repair(start.repairs, self._layers_of(names)).float_file
                calibrated = run_job(Calibrate(float_file=float_file, samples=self._samples))
            file = run_job(ToInt8(calibrated=calibrated, io=self.recipe.io, float_layers=names))
            done = replace(start.candidate.recipe, steps=(*self.recipe.steps, step))
            yield self._judged(step, Candidate(file=file, recipe=done), float_file, calibrated)

    def _layers_of(self, tensors: tuple[str, ...]) -> frozenset[str]:
        """The Keras layers whose names stand in the names of these tensors ("net/model/layer/Conv2D;...")."""
        parts = {part for tensor in tensors for path in tensor.split(";") for part in path.split("/")}
        return frozenset(layer.name for layer in self.network.layers.layers if layer.name in parts)

    def _trained(self) -> Iterator[Trial]:
        assert self.learn_quantized is not None
        try:
            model = self.learn_quantized(self.network.layers)
        except ConversionError as error:
            if self.recipe.qat:
                raise
            remark(str(error), quiet=self.quiet)
            return
        step = "quantization-aware training"
        file = run_job(FromGraph(graph=freeze(model), precision="trained", io=self.recipe.io))
        done = replace(self.recipe, qat=True, steps=(*self.recipe.steps, step))
        yield self._judged(step, Candidate(file=file, recipe=done), self.network.float_file, b"")

    def _direct(self, precision: Any) -> Iterator[Trial]:
        """A file of a precision that has nothing to repair."""
        io: Io = "float32"
        done = replace(self.recipe, precision=precision, io=io, qat=False)
        if precision == "float32":
            file = self.network.float_file
        elif precision == "int16x8":
            file = run_job(ToInt16(float_file=self.network.float_file, samples=self._samples))
            done = replace(done, calibration=len(self._samples.pixels))
        elif self.network.graph is None:
            if not self.trials:
                raise ConversionError(f"{precision} cannot be made from a .tflite: take float32, int8 or int16x8")
            return
        else:
            file = run_job(FromGraph(graph=self.network.graph, precision=precision))
        yield self._judged(precision, Candidate(file=file, recipe=done), self.network.float_file, b"")

    def _int8(
        self, step: str, network: Network, samples: Samples, *, clipped: bool = False, repairs: tuple[Repair, ...] = ()
    ) -> Trial:
        calibrated = run_job(Calibrate(float_file=network.float_file, samples=samples))
        if clipped:
            calibrated = clip_ranges(calibrated, samples.pixels[2:], self.image_input)
        file = run_job(ToInt8(calibrated=calibrated, io=self.recipe.io))
        steps = self.recipe.steps if step == "int8" else (*self.recipe.steps, step)
        done = replace(self.recipe, calibration=len(samples.pixels), steps=steps)
        trial = self._judged(step, Candidate(file=file, recipe=done), network.float_file, calibrated)
        return replace(trial, repairs=repairs)

    def _ai_edge(self) -> Trial:
        from edgesdk_convert.aiedge import quantize

        samples, float_file = self._samples, self.network.float_file
        done = replace(self.recipe, calibration=len(samples.pixels))
        candidate = Candidate(file=quantize(float_file, samples), recipe=done)
        return self._judged("int8 by ai-edge-quantizer", candidate, float_file, b"")

    def _judged(self, step: str, candidate: Candidate, float_file: bytes, calibrated: bytes) -> Trial:
        judged = self.judge.judge(candidate)
        return Trial(
            candidate=candidate,
            judged=judged,
            attempt=judged.attempt(step, candidate.recipe),
            float_file=float_file,
            calibrated=calibrated,
            choice_db=self.judge.choice_db(candidate.file),
        )
