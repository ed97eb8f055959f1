"""MediaPipe Tasks' ImageClassifier beside edgesdk, on the same file and frames; for `device.py`."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

# Both run under MediaPipe's own Python, which has no edgesdk.
PLAYER = """
import json, sys, time
import numpy as np
from mediapipe import Image, ImageFormat
from mediapipe.tasks.python import BaseOptions
from mediapipe.tasks.python.vision import ImageClassifier, ImageClassifierOptions, RunningMode

frames, stamp = np.load(sys.argv[2]), 0
options = ImageClassifierOptions(
    base_options=BaseOptions(model_asset_path=sys.argv[1]), running_mode=RunningMode.VIDEO, max_results=5
)
with ImageClassifier.create_from_options(options) as classifier:
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            start = time.perf_counter()
            image = Image(image_format=ImageFormat.SRGB, data=frames[stamp % len(frames)])
            classifier.classify_for_video(image, stamp).classifications[0].categories[0].category_name
            times.append((time.perf_counter() - start) * 1e3)
            stamp += 1
        print(json.dumps(times), flush=True)
"""
FIRST_LABEL = """
import sys
from mediapipe import Image
from mediapipe.tasks.python import BaseOptions
from mediapipe.tasks.python.vision import ImageClassifier, ImageClassifierOptions
options = ImageClassifierOptions(base_options=BaseOptions(model_asset_path=sys.argv[1]), max_results=5)
with ImageClassifier.create_from_options(options) as classifier:
    classifier.classify(Image.create_from_file(sys.argv[2])).classifications[0].categories[0].category_name
"""


class MediaPipe:
    """Its classifier in VIDEO mode, in a process of its own.

    Args:
        python: of MediaPipe's environment.
        model: a .tflite with standard metadata.
        folder: for the frames.
        frames: uint8 [h, w, 3] BGR, classified again and again.
    """

    def __init__(self, python: Path, model: Path, folder: Path, frames: Sequence[Any]) -> None:
        file = folder / "frames.npy"
        np.save(file, np.stack([frame[..., ::-1] for frame in frames]))
        command = [str(python), "-I", "-c", PLAYER, str(model.resolve()), str(file)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def classify(self, count: int) -> list[float]:
        """Milliseconds of so many frames, one after another."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(count, file=self._process.stdin, flush=True)
        times: list[float] = json.loads(self._process.stdout.readline())
        return times

    def close(self) -> None:
        """End the process."""
        self._process.communicate()
