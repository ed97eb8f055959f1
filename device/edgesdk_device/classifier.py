"""A frame in, a label out."""

import math
import time
import warnings
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from edgesdk import modelfile
from edgesdk.choice import name_runtime
from edgesdk.contract import Contract
from edgesdk.errors import BackendError, ModelFileError
from edgesdk.preprocess import fit_frame, read_photo, to_tensor, value_table
from edgesdk.results import Classification, Verified
from edgesdk_device.auto import choose
from edgesdk_device.backends import Backend, Delegate, open_backend


class Model:
    """A checked file on a runtime, fed exactly as its contract says.

    Args:
        path: a .tflite that edgesdk wrote.
        backend: "auto", "litert", "litert-gpu" or "tflite-runtime".
        threads: CPU threads; None for as many as make it fastest.
        delegate: an external delegate, which takes over what it can.
        quiet: no remark on stderr when something is measured first.
        trust: run a file that this machine does not know without trying it apart first (`firstrun`).

    What is left open ("auto", None) is measured once, the fastest that gives the golden outputs is taken and
    remembered for this file on this board: `choice` says what and why.

    Raises:
        ModelFileError: if the file is missing, damaged or has no contract.
        BackendError: if no runtime takes it.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        backend: str = "auto",
        threads: int | None = None,
        delegate: Delegate | None = None,
        quiet: bool = True,
        trust: bool = False,
    ) -> None:
        file = modelfile.read(path)
        self.contract: Contract = file.required_contract()
        self._require_kind(path)
        self.sha256 = file.sha256
        self.choice = choose(file, backend, threads, delegate, quiet=quiet)
        if not (trust or self.choice.tried):  # what was tried ran apart
            from edgesdk_device.firstrun import run_first

            run_first(file.content, file.path, self.choice.backend, self.choice.threads, delegate, digest=file.sha256)
        try:
            self.backend: Backend = open_backend(file.content, self.choice.backend, self.choice.threads, delegate)
        except BackendError:  # what was remembered may be gone by now, such as the driver of a GPU
            if not self.choice.tried:
                raise
            self.choice = choose(file, backend, threads, quiet=quiet, anew=True)
            self.backend = open_backend(file.content, self.choice.backend, self.choice.threads)
        tensor = self.backend.input
        if tensor.shape[1:] != self.contract.input.shape:
            raise ModelFileError(
                f"{path} takes {tensor.shape[1:]}, its contract says {self.contract.input.shape}: it is damaged"
            )
        self._table = value_table(self.contract.input, tensor.dtype, tensor.scale, tensor.zero_point)

    def _require_kind(self, path: Path | str) -> None:
        """Raise ModelFileError if the contract is of a file that this class cannot ask; any file can be fed."""

    def new_values(self) -> npt.NDArray[Any]:
        """Room for one prepared frame, [height, width, channels] of the input's dtype; see `prepare`."""
        return np.empty(self.contract.input.shape, self.backend.input.dtype)

    def prepare(self, frame: npt.NDArray[Any], values: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
        """A BGR frame (uint8 [h, w, 3]) -> the input tensor's values [height, width, channels].

        Args:
            frame: see `edgesdk.preprocess.fit_frame`.
            values: from `new_values`, to be written and returned instead of new memory; threads may prepare at once,
                each with its own.
        """
        if self._table is None:  # the bytes are the values
            return fit_frame(frame, self.contract.input, values)
        return to_tensor(fit_frame(frame, self.contract.input), self._table, values)

    def infer(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Pixels already at the model's size (uint8 [height, width, channels]) -> float32 [outputs]."""
        return self.backend.dequantize(self.backend.invoke(self.feed(pixels)))

    def feed(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Pixels at the model's size, or the bytes of a code, -> the input tensor's values, same shape."""
        return to_tensor(pixels, self._table)

    def verify(self) -> Verified:
        """Replay the contract's golden inputs and compare with the outputs the file gave where it was made.

        Raises:
            ModelFileError: if the contract holds no golden outputs.
            BackendError: if the outputs have another number of entries.
        """
        golden = self.contract.golden
        if not golden:
            raise ModelFileError("the contract holds no golden outputs: make the file anew with `edgesdk convert`")
        largest: float | None = 0.0
        for item in golden:
            output = self.infer(item.pixels(self.contract.input))[:: item.stride]
            expected = item.expected()
            if output.shape != expected.shape:
                raise BackendError(f"the model gave {output.size} outputs, its golden output has {expected.size}")
            difference = float(np.abs(output - expected).max())
            largest = None if largest is None or np.isnan(difference) else max(largest, difference)
        tolerance = self.contract.tolerance.get(self.backend.family, 0.0)
        return Verified(
            ok=largest is not None and largest <= tolerance,
            max_difference=largest,
            tolerance=tolerance,
            backend=self.backend.name,
            delegate="" if self.backend.delegate is None else self.backend.delegate.name,
            nodes=self.backend.nodes,
            delegated_nodes=self.backend.delegated_nodes,
            inputs=len(golden),
            choice=self.choice,
        )

    def require_agreement(self) -> Verified:
        """What `verify` gives, if the golden outputs agree.

        Raises:
            BackendError: says by how much they differ.
        """
        result = self.verify()
        if not result.ok:
            name = name_runtime(self.backend.name, self.backend.threads, result.delegate)
            raise BackendError(f"{name} {result.disagreement}: it computes something else, so use another")
        return result

    def close(self) -> None:
        """Free the runtime."""
        self.backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Classifier(Model):
    """Names what a frame shows.

        with Classifier("model.tflite") as classify:
            print(classify(frame).label)

    One thread at a time: the runtime and the room for a frame are reused from call to call.

    Args, errors: as `Model`. A delegate or a GPU that does not give the golden outputs is a BackendError, too.

    Warns:
        UserWarning: if the contract says that the network was never trained.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        backend: str = "auto",
        threads: int | None = None,
        delegate: Delegate | None = None,
        quiet: bool = True,
        trust: bool = False,
    ) -> None:
        super().__init__(path, backend=backend, threads=threads, delegate=delegate, quiet=quiet, trust=trust)
        if delegate is not None or self.backend.family != "cpu":  # a CPU's numbers were proved with the file
            self.require_agreement()
        self.labels = self.contract.output.labels
        self._values = self.new_values()
        entries = int(np.prod(self.backend.output.shape))
        if len(self.labels) != entries:
            raise ModelFileError(
                f"{path} answers {entries} scores, its contract names {len(self.labels)} labels: convert it anew"
            )
        if not self.contract.source.trained:
            warnings.warn(
                f"{path} holds random weights: its labels mean nothing, only its size and speed do", stacklevel=2
            )

    def _require_kind(self, path: Path | str) -> None:
        if not self.contract.output.classifies:
            raise ModelFileError(
                f"{path} is no classifier: its output is {self.contract.output.kind}; name a file that was converted "
                "from a classifier"
            )

    def __call__(self, frame: npt.NDArray[Any] | Path | str, top: int = 5) -> Classification:
        """Classify one frame.

        Args:
            frame: uint8 [h, w, 3] BGR as OpenCV gives it, grey [h, w], or the path of a photo.
            top: how many of the best classes to name.

        Raises:
            ValueError: if the frame is of another dtype or shape, or top < 1.
            DataError: if the photo cannot be read.
            BackendError: if the network overflows on it, so that its answer is no number.
        """
        if top < 1:
            raise ValueError(f"top is {top}, expected at least 1")
        if isinstance(frame, str | Path):
            frame = read_photo(frame)
        start = time.perf_counter()
        values = self.prepare(frame, self._values)
        return self.answer(values, top=top, preprocess_ms=(time.perf_counter() - start) * 1e3)

    def answer(self, values: npt.NDArray[Any], *, top: int = 5, preprocess_ms: float = 0.0) -> Classification:
        """Classify a frame that `prepare` fitted; `preprocess_ms` is what that took."""
        start = time.perf_counter()
        output = self.backend.invoke(values).reshape(-1)
        done = time.perf_counter()
        best = best_first(output, top)
        scores = self._scores(output, best)
        if math.isnan(scores[0]):  # no number is above it
            raise BackendError("the model's answer to this frame is no number: take another backend, or an int8 file")
        labels = self.labels
        named = tuple(zip([labels[index] for index in best], scores, strict=True))
        return Classification(
            label=named[0][0],
            index=best[0],
            score=named[0][1],
            top=named,
            preprocess_ms=preprocess_ms,
            invoke_ms=(done - start) * 1e3,
            post_ms=(time.perf_counter() - done) * 1e3,
        )

    def _scores(self, output: npt.NDArray[Any], best: list[int]) -> list[float]:
        """Probabilities of the best entries of a raw output [n]."""
        if self.contract.output.kind != "logits":
            return self.backend.dequantize(output[best]).tolist()  # type: ignore[no-any-return]
        logits = self.backend.dequantize(output)
        powers = np.exp(logits - logits[best[0]])
        return (powers[best] / powers.sum()).tolist()  # type: ignore[no-any-return]


def best_first(output: npt.NDArray[Any], count: int) -> list[int]:
    """Indices of the highest entries of a raw output ([n], finite), best first; of equal ones the first.

    What a quantized entry stands for rises with it, so that only the best ones need to be worked out.

    For the few that are asked for, going over all entries again takes a third of `argpartition`, which also leaves open
    which of equal entries it takes; sorting all takes eight times as long.
    """
    left, best = output.astype(np.float32), []
    for _ in range(min(count, output.size)):
        index = int(left.argmax())
        best.append(index)
        left[index] = -np.inf
    return best
