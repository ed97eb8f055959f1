"""A frame in, a label out."""

import time
import warnings
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from edgesdk import modelfile
from edgesdk.contract import Contract
from edgesdk.errors import BackendError, ModelFileError
from edgesdk.preprocess import fit_frame, read_photo, to_tensor, value_table
from edgesdk.results import Classification, Verified
from edgesdk_device.backends import Backend, open_backend


class Model:
    """A checked file on a runtime, fed exactly as its contract says.

    Args:
        path: a .tflite that edgesdk wrote.
        backend: "auto", "litert" or "tflite-runtime".
        threads: CPU threads.

    Raises:
        ModelFileError: if the file is missing, damaged or has no contract.
        BackendError: if no runtime takes it.
    """

    def __init__(self, path: Path | str, *, backend: str = "auto", threads: int = 1) -> None:
        file = modelfile.read(path)
        self.contract: Contract = file.required_contract()
        self.sha256 = file.sha256
        self.backend: Backend = open_backend(file.content, backend, threads)
        tensor = self.backend.input
        if tensor.shape[1:] != self.contract.input.shape:
            raise ModelFileError(
                f"{path} takes {tensor.shape[1:]}, its contract says {self.contract.input.shape}: it is damaged"
            )
        self._table = value_table(self.contract.input, tensor.dtype, tensor.scale, tensor.zero_point)

    def prepare(self, frame: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A BGR frame (uint8 [h, w, 3]) -> the input tensor's values [height, width, channels]."""
        return to_tensor(fit_frame(frame, self.contract.input), self._table)

    def infer(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Pixels already at the model's size (uint8 [height, width, channels]) -> float32 [outputs]."""
        return self.backend.dequantize(self.backend.invoke(to_tensor(pixels, self._table)))

    def verify(self) -> Verified:
        """Replay the contract's golden inputs and compare with the outputs the file gave where it was made.

        Raises:
            ModelFileError: if the contract holds no golden outputs.
            BackendError: if the outputs have another number of entries.
        """
        golden = self.contract.golden
        if not golden:
            raise ModelFileError("the contract holds no golden outputs: make the file anew with `edgesdk convert`")
        largest = 0.0
        for item in golden:
            output = self.infer(item.pixels(self.contract.input))[:: item.stride]
            expected = item.expected()
            if output.shape != expected.shape:
                raise BackendError(f"the model gave {output.size} outputs, its golden output has {expected.size}")
            difference = np.abs(output - expected)
            largest = max(largest, float("inf") if np.isnan(difference).any() else float(difference.max()))
        tolerance = self.contract.tolerance.get(self.backend.family, 0.0)
        return Verified(
            ok=largest <= tolerance,
            max_difference=largest,
            tolerance=tolerance,
            backend=self.backend.name,
            inputs=len(golden),
        )

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

    Args, errors: as `Model`.

    Warns:
        UserWarning: if the contract says that the network was never trained.
    """

    def __init__(self, path: Path | str, *, backend: str = "auto", threads: int = 1) -> None:
        super().__init__(path, backend=backend, threads=threads)
        self.labels = self.contract.output.labels
        if not self.contract.output.classifies or len(self.labels) != int(np.prod(self.backend.output.shape)):
            raise ModelFileError(f"{path} is no classifier: its output is {self.contract.output.kind}")
        if not self.contract.source.trained:
            warnings.warn(
                f"{path} holds random weights: its labels mean nothing, only its size and speed do", stacklevel=2
            )

    def __call__(self, frame: npt.NDArray[Any] | Path | str, top: int = 5) -> Classification:
        """Classify one frame.

        Args:
            frame: uint8 [h, w, 3] BGR as OpenCV gives it, grey [h, w], or the path of a photo.
            top: how many of the best classes to name.

        Raises:
            ValueError: if the frame is of another dtype or shape.
            DataError: if the photo cannot be read.
        """
        if isinstance(frame, str | Path):
            frame = read_photo(frame)
        start = time.perf_counter()
        values = self.prepare(frame)
        prepared = time.perf_counter()
        raw = self.backend.invoke(values)
        done = time.perf_counter()
        scores = self.backend.dequantize(raw)
        if self.contract.output.kind == "logits":
            powers = np.exp(scores - scores.max())
            scores = powers / powers.sum()
        best = np.argsort(-scores, kind="stable")[:top].tolist()
        return Classification(
            label=self.labels[best[0]],
            index=best[0],
            score=float(scores[best[0]]),
            top=tuple((self.labels[i], float(scores[i])) for i in best),
            preprocess_ms=(prepared - start) * 1e3,
            invoke_ms=(done - prepared) * 1e3,
        )
