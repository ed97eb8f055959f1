"""What the device side costs on top of the model: frame to label, motion JPEG, age of an answer, start and memory.

    python benchmarks/device.py [--rounds N] [--models DIR]      about five minutes on 2 cores, no data needed

Everything that is compared runs interleaved in one run. The networks have random weights, which decide no speed; their
labels mean nothing. MediaPipe runs beside them on the same files and frames, in VIDEO mode, in an environment and a
process of its own; where it cannot be installed its rows are left out. Writes benchmarks/results/<board>/device.md and
device.json.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from headless_beside import headless_opencv
from mediapipe_beside import FIRST_LABEL, MediaPipe
from mediapipe_reads import MEDIAPIPE, UnavailableError, mediapipe_python
from results import save

from edgesdk import Answer, CaptureOptions, Classifier, Frame, Stream, open_source, verbs
from edgesdk.atomic import make_folder
from edgesdk.contract import blocks_frame
from edgesdk.progress import remark
from edgesdk.results import Classification
from edgesdk_device.board import board_name, load_average
from edgesdk_device.cameras import LiveSource
from edgesdk_device.cameras.jpeg import decode_jpeg

HEIGHT, WIDTH = 480, 640
CYCLED = 16
VIDEO_FRAMES = 210
MODELS = {
    "0.5-160 int8": {"width": 0.5, "res": 160, "quantize": "int8"},
    "0.5-160 float32": {"width": 0.5, "res": 160, "quantize": "float32"},
    "1.0-224 int8": {"width": 1.0, "res": 224, "quantize": "int8"},
}
FASTEST = "0.5-160 int8"

OUR_FIRST_LABEL = "import sys, edgesdk; edgesdk.Classifier(sys.argv[1])(sys.argv[2]).label"
BARE_IMPORTS = "import numpy, cv2; from ai_edge_litert.interpreter import Interpreter"
PEAK = "\nprint(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One claim: a ratio of two things that ran interleaved, and what it should be."""

    what: str
    ratio: float
    target: float
    ours: str
    theirs: str
    at_least: bool = False

    @property
    def verdict(self) -> str:
        """The target, and whether it is met."""
        met = self.ratio >= self.target if self.at_least else self.ratio <= self.target
        return f"{'>=' if self.at_least else '<='} {self.target:g} {'ok' if met else 'MISSED'}"


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What every section gets; `samples` keeps all that was measured, for the JSON."""

    models: dict[str, Path]
    folder: Path
    frames: list[Any]
    rounds: int
    mediapipe: Path | None
    samples: dict[str, list[float]]

    def keep(self, name: str, values_ms: Iterable[float]) -> None:
        """Add samples in milliseconds."""
        self.samples.setdefault(name, []).extend(values_ms)

    def shuffled(self, works: Iterable[str]) -> list[str]:
        """In another order each time: a busy machine gives more time to who comes after one that waited."""
        return random.sample(list(works), len(list(works)))

    def p(self, percent: int, name: str) -> float:
        """A percentile of the samples of that name, in milliseconds."""
        return float(np.percentile(self.samples[name], percent))

    def compare(self, what: str, ours: str, theirs: str, target: float, percent: int = 50) -> Row:
        """A row from a percentile of two kinds of samples."""
        a, b = self.p(percent, ours), self.p(percent, theirs)
        told = [f"{value:.3f} ms p{percent} ({name})" for value, name in ((a, ours), (b, theirs))]
        return Row(what=what, ratio=a / b, target=target, ours=told[0], theirs=told[1])


def frames_to_labels(bench: Bench) -> Iterator[Row]:
    """A raw 640x480 frame to its top 5, against the runtime alone and MediaPipe's VIDEO mode."""
    for name, path in bench.models.items():
        ours, bare, theirs = (f"{name}: {way}" for way in ("Classifier", "invoke", "MediaPipe VIDEO"))
        with Classifier(path, backend="litert", threads=1) as classify, Classifier(path) as chosen:
            auto = f"{name}: Classifier as it comes ({chosen.backend.name}, threads {chosen.backend.threads})"
            player = None if bench.mediapipe is None else MediaPipe(bench.mediapipe, path, bench.folder, bench.frames)
            works: dict[str, Callable[[], list[float]]] = {
                bare: lambda run=classify.backend.run: [timed(run) for _ in range(CYCLED)],  # type: ignore[misc]
                ours: lambda call=classify: [timed(call, frame) for frame in bench.frames],  # type: ignore[misc]
                auto: lambda call=chosen: [timed(call, frame) for frame in bench.frames],  # type: ignore[misc]
            }
            if player is not None:
                works[theirs] = lambda play=player: play.classify(CYCLED)  # type: ignore[misc]
            for work in works.values():
                work()  # warm up
            for _ in range(bench.rounds):
                for way in bench.shuffled(works):
                    bench.keep(way, works[way]())
            if player is not None:
                player.close()
        yield bench.compare(f"{name}: raw frame to top 5, of invoke alone, 1 thread", ours, bare, 1.15)
        if player is not None:
            yield bench.compare(f"{name}: raw frame to top 5, of MediaPipe VIDEO", auto, theirs, 0.6)


def motion_jpeg(bench: Bench) -> Iterator[Row]:
    """A motion-JPEG file through the stream, against the model alone or decoding alone, whichever is slower.

    The quickest tenth of many short rounds counts, each of the stream's two threads on a core of its own: work on two
    cores suffers twice from whatever else the machine does.
    """
    video = bench.folder / "camera.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 30, (WIDTH, HEIGHT))
    for index in range(VIDEO_FRAMES):
        writer.write(bench.frames[index % CYCLED])
    writer.release()
    for name, path in bench.models.items():
        ours, bare, decode, fit = (
            f"{name}, motion JPEG: {way}" for way in ("stream", "invoke", "decode", "preprocess")
        )
        with Classifier(path, backend="litert", threads=1) as classify:

            def answers(classify: Classifier = classify, fit: str = fit) -> Iterator[None]:
                with open_source(video) as source:
                    for answer in spread(Stream(source, classify)):
                        bench.keep(fit, [answer.age.preprocess_ms])
                        yield

            def frames() -> Iterator[None]:
                with open_source(video) as source:
                    yield from (None for _ in source)

            def runs(run: Callable[[], None] = classify.backend.run) -> Iterator[None]:
                yield from (run() for _ in range(VIDEO_FRAMES))

            works: dict[str, Callable[[], Iterator[None]]] = {ours: answers, decode: frames, bare: runs}
            for _ in range(max(4, bench.rounds // 2)):
                for way in bench.shuffled(works):
                    bench.keep(way, [pace_ms(works[way]())])
        bound = bench.p(10, decode) + bench.p(50, fit) > bench.p(10, bare)
        slower, target = (decode, 0.9) if bound else (bare, 0.96)
        yield Row(
            what=f"{name}: motion-JPEG frames a second, of {'decoding' if bound else 'invoke'} alone, 1 thread",
            ratio=bench.p(10, slower) / bench.p(10, ours),
            target=target,
            ours=f"{1e3 / bench.p(10, ours):.0f} frames/s",
            theirs=f"{1e3 / bench.p(10, slower):.0f} frames/s",
            at_least=True,
        )


def spread(stream: Stream) -> Iterator[Answer]:
    """The answers, each thread of the stream on a core of its own: some hosts' kernels keep both on one for minutes."""
    free = os.sched_getaffinity(0)
    try:
        answers = iter(stream)
        yield next(answers)
        for core, thread in zip(free, threading.enumerate(), strict=False):
            os.sched_setaffinity(thread.native_id or 0, {core})
        yield from answers
    finally:
        os.sched_setaffinity(0, free)


def pace_ms(work: Iterator[None]) -> float:
    """Milliseconds a step; opening a source, starting a thread and the first steps are no part of a pace."""
    deque(islice(work, 10), maxlen=0)
    start = time.perf_counter()
    steps = sum(1 for _ in work)
    return (time.perf_counter() - start) * 1e3 / steps


class Driver:
    """A camera's driver: a JPEG every thirtieth of a second into one of four buffers; with none free it is lost."""

    buffers, fps = 4, 30

    def __init__(self, frames: list[bytes]) -> None:
        self._frames, self._full = frames, deque[tuple[bytes, float]]()
        self._changed, self._stop = threading.Condition(), threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        due, index = time.monotonic(), 0
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            with self._changed:
                if len(self._full) < self.buffers:
                    self._full.append((self._frames[index % len(self._frames)], time.monotonic()))
                    self._changed.notify()
            due, index = due + 1 / self.fps, index + 1

    def read(self) -> Frame:
        """The oldest frame that waits, decoded; the reader's side of `LiveSource` too."""
        with self._changed:
            while not self._full:
                self._changed.wait()
            data, arrived = self._full.popleft()
        image, now = decode_jpeg(data), time.monotonic()
        return Frame(image=image, index=0, captured_at=now, capture_ms=(now - arrived) * 1e3)

    def interrupt(self) -> None:
        """The next frame does it."""

    def close(self) -> None:
        """Stop the camera."""
        self._stop.set()
        self._thread.join()


class Slow(Classifier):
    """A model that takes 40 ms, by waiting."""

    def answer(self, values: Any, *, top: int = 5, preprocess_ms: float = 0.0) -> Classification:
        """As the quick one, later."""
        due = time.perf_counter() + 0.04
        answer = super().answer(values, top=top, preprocess_ms=preprocess_ms)
        time.sleep(max(0.0, due - time.perf_counter()))
        return answer


def ages(bench: Bench) -> Iterator[Row]:
    """How old an answer is, from the frame's arrival in the driver, against a loop of read and classify."""
    encoded = [cv2.imencode(".jpg", frame)[1].tobytes() for frame in bench.frames]
    kinds = (("a 40 ms model", Slow, 0.4), ("a fast model", Classifier, 1.2))
    for name, kind, target in kinds:
        ours, theirs = f"{name}: stream", f"{name}: loop"
        with kind(bench.models[FASTEST], backend="litert") as classify:
            for _ in range(max(2, bench.rounds // 10)):
                driver = Driver(encoded)
                for number in range(60):
                    frame = driver.read()
                    classify(frame.image)
                    if number >= 10:  # until the buffers are as full as they get
                        bench.keep(theirs, [(time.monotonic() - frame.captured_at) * 1e3 + frame.capture_ms])
                driver.close()
                driver = Driver(encoded)
                with LiveSource(lambda opened=driver: opened, "driver", options=CaptureOptions()) as source:  # type: ignore[misc]
                    for answer in islice(Stream(source, classify), 10, 60):
                        frame = answer.frame
                        bench.keep(ours, [(time.monotonic() - frame.captured_at) * 1e3 + frame.capture_ms])
                driver.close()
        yield bench.compare(f"{name} at 30 frames a second: age of the answer, of a loop", ours, theirs, target, 95)


def starting(bench: Bench) -> Iterator[Row]:
    """A fresh process to its first label, and the most memory it ever held."""
    photo = bench.folder / "photo.jpg"
    cv2.imwrite(str(photo), bench.frames[0])
    model = bench.models[FASTEST]
    works = {"edgesdk": (sys.executable, OUR_FIRST_LABEL), "bare imports": (sys.executable, BARE_IMPORTS)}
    if bench.mediapipe is not None:
        works["MediaPipe"] = (str(bench.mediapipe), FIRST_LABEL)
    headless = headless_opencv()
    if headless is not None:
        works["headless OpenCV"] = works["edgesdk"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    memory: dict[str, list[int]] = {name: [] for name in works}
    for round_ in range(-1, max(3, bench.rounds // 4)):
        for name in bench.shuffled(works):
            python, code = works[name]
            command = [python, "-W", "ignore", "-c", code + PEAK, str(model), str(photo)]
            path = {"PYTHONPATH": str(headless)} if name == "headless OpenCV" else {}
            start = time.perf_counter()
            done = subprocess.run(command, check=True, capture_output=True, env=environment | path, text=True)
            if round_ >= 0:
                bench.keep(f"start: {name}", [(time.perf_counter() - start) * 1e3])
                memory[name].append(int(done.stdout.split()[-1]))
    yield bench.compare("fresh process to first label, of bare imports", "start: edgesdk", "start: bare imports", 1.2)
    if bench.mediapipe is not None:
        yield bench.compare("the same, of MediaPipe", "start: edgesdk", "start: MediaPipe", 0.25)
        held = {name: float(np.median(values)) / 1024 for name, values in memory.items()}
        without = f" ({held['headless OpenCV']:.0f} with OpenCV's headless wheel)" if headless is not None else ""
        yield Row(
            what="peak memory of that process, of MediaPipe",
            ratio=held["edgesdk"] / held["MediaPipe"],
            target=0.45,
            ours=f"{held['edgesdk']:.0f} MiB{without}, the bare imports {held['bare imports']:.0f}",
            theirs=f"{held['MediaPipe']:.0f} MiB",
        )


#: Each yields the rows of the table; what 20 viewers of the web page cost belongs here too.
SECTIONS = (frames_to_labels, motion_jpeg, ages, starting)


def timed(work: Any, *arguments: Any) -> float:
    """Milliseconds of one call."""
    start = time.perf_counter()
    work(*arguments)
    return (time.perf_counter() - start) * 1e3


def make_frames() -> list[Any]:
    """Sixteen pictures with edges, slopes and a little noise, so that their JPEGs are as heavy as a camera's."""
    rng, frames = np.random.default_rng(0), []
    for seed in range(CYCLED):
        smooth = cv2.GaussianBlur(blocks_frame(seed, HEIGHT, WIDTH), (0, 0), 6).astype(np.int16)
        frames.append(np.clip(smooth + rng.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8))
    return frames


def make_models(folder: Path) -> dict[str, Path]:
    """The three files, converted where they are not there yet."""
    paths = {name: folder / f"mobilenet_v1_{name.replace(' ', '_')}.tflite" for name in MODELS}
    for name, options in MODELS.items():
        if not paths[name].exists():
            remark(f"converting {name}, random weights", quiet=False)
            verbs.convert(weights="none", out=paths[name], **options)  # type: ignore[arg-type]
    return paths


def find_mediapipe() -> Path | None:
    try:
        return mediapipe_python()
    except UnavailableError as reason:
        remark(f"without MediaPipe: {reason}", quiet=False)
        return None


def table(rows: list[Row], bench: Bench) -> str:
    head = "| what | ratio | target | ours | against |\n| --- | --- | --- | --- | --- |"
    lines = [f"| {row.what} | {row.ratio:.3f} | {row.verdict} | {row.ours} | {row.theirs} |" for row in rows]
    note = (
        f"{board_name()}; {bench.rounds} rounds; networks with random weights; "
        f"{MEDIAPIPE if bench.mediapipe else 'no MediaPipe'}; load {load_average():.1f} at the end"
    )
    return "\n".join((head, *lines)) + f"\n\n{note}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=80, help="more rounds, steadier ratios (%(default)s)")
    parser.add_argument("--models", type=Path, help="a folder to keep the converted files in")
    parser.add_argument("--only", choices=[section.__name__ for section in SECTIONS], help="one section, not saved")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*random weights")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(
            models=make_models(make_folder(options.models or scratch)),
            folder=Path(scratch),
            frames=make_frames(),
            rounds=options.rounds,
            mediapipe=find_mediapipe(),
            samples={},
        )
        for section in SECTIONS:
            if options.only in (None, section.__name__):
                for row in section(bench):
                    rows.append(row)
                    print(f"{row.ratio:6.3f}  {row.verdict:14}  {row.what}: {row.ours}, {row.theirs}", flush=True)
    if options.only is None:
        save("device.md", table(rows, bench))
        facts = [asdict(row) | {"verdict": row.verdict} for row in rows]
        samples = {name: [round(value, 4) for value in values] for name, values in bench.samples.items()}
        save("device.json", json.dumps({"rows": facts, "samples_ms": samples}))


if __name__ == "__main__":
    main()
