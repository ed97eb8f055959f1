"""The cells of a grid on a Ray cluster: one task a cell, the photos shipped once, the results in the one folder.

Ray places the tasks by the CPUs and GPUs that a cell needs, and runs a cell again whose worker was lost (P. Moritz et
al., Ray: A Distributed Framework for Emerging AI Applications, arXiv 1712.05889).
"""

import itertools
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgesdk import __version__
from edgesdk.atomic import make_folder, write_bytes
from edgesdk.errors import EdgeSDKError, EngineError, MissingPackageError
from edgesdk.grid.engine import Step
from edgesdk.grid.workshop import Workshop
from edgesdk.photos.data import Dataset
from edgesdk.photos.photo import Photo, Span
from edgesdk.preprocess import Pixels
from edgesdk.runfolder import MODEL_FILE
from edgesdk.spec import ModelSpec

LOST = 3  # times that a cell is run again whose worker was lost
CANCEL_S, CANCEL_AGAIN_S = 10.0, 0.5
Files = dict[str, bytes]  # name in a folder -> content
Kept = dict[str, bytes | None]  # the same, with None for what is as it was before


@dataclass(frozen=True, kw_only=True)
class Cargo:
    """A data set as it travels: the files' bytes lie in one array, which the processes of a machine share.

    Photos in shards stay there: every worker sees these under the same name.
    """

    dataset: Dataset
    content: Pixels
    ends: dict[int, tuple[int, int]]

    @classmethod
    def of(cls, dataset: Dataset) -> "Cargo":
        """With every photo's file read.

        Raises:
            DataError: if one cannot be read.
        """
        chunks, ends, end = [], {}, 0
        for index, photo in enumerate(dataset.photos):
            if not isinstance(photo.content, Span):
                chunks.append(photo.file_bytes())
                ends[index] = end, end + len(chunks[-1])
                end += len(chunks[-1])
        bare = tuple(p if isinstance(p.content, Span) else replace(p, content=None) for p in dataset.photos)
        content = np.frombuffer(b"".join(chunks), np.uint8)
        return cls(dataset=replace(dataset, photos=bare), content=content, ends=ends)

    def unpack(self) -> Dataset:
        """The data set, its photos in memory."""

        def filled(index: int, photo: Photo) -> Photo:
            if index not in self.ends:
                return photo
            start, end = self.ends[index]
            return replace(photo, content=self.content[start:end])

        photos = tuple(filled(index, photo) for index, photo in enumerate(self.dataset.photos))
        return replace(self.dataset, photos=photos)


def connect(cpus: float, gpus: float) -> Any:
    """The module `ray`, connected: to the cluster that RAY_ADDRESS names, to a running one, or to a new one here.

    Raises:
        MissingPackageError: if Ray is not installed.
        EngineError: if the cluster is not there, or has no machine for so many CPUs and GPUs.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what Ray will do anyway, and warns of
    try:
        import ray
    except ImportError as error:
        raise MissingPackageError("Ray", "ray", "--engine ray") from error
    if not ray.is_initialized():
        try:
            ray.init(log_to_driver=False, logging_level="error")
        except Exception as error:  # Ray has no class of its own for a node that does not start in time
            where = os.environ.get("RAY_ADDRESS", "this machine")
            raise EngineError(
                f"cannot reach or start Ray on {where} ({' '.join(str(error).split())[:120]}): start it with `ray "
                "start --head`, or set RAY_ADDRESS"
            ) from error
    machines = [machine["Resources"] for machine in ray.nodes() if machine["Alive"]]
    if not any(m.get("CPU", 0) >= cpus and m.get("GPU", 0) >= gpus for m in machines):
        most = max((m.get("CPU", 0) for m in machines), default=0), max((m.get("GPU", 0) for m in machines), default=0)
        raise EngineError(
            f"no machine of the cluster has {cpus:g} CPUs and {gpus:g} GPUs, the most are {most[0]:g} and {most[1]:g}: "
            "ask for less with --cpus and --gpus"
        )
    return ray


class RayEngine:
    """Each cell a task on a Ray cluster, with so many CPUs and GPUs."""

    def __init__(self, *, cpus: float = 1, gpus: float = 0) -> None:
        """Connects, see `connect`.

        Raises:
            ValueError: if a cell needs nothing.
        """
        if cpus <= 0 or gpus < 0:
            raise ValueError(f"a cell needs {cpus:g} CPUs and {gpus:g} GPUs, expected more than 0 and at least 0")
        self._ray = connect(cpus, gpus)
        self._cpus = cpus
        self._task = self._ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=LOST)(_work_on_cell)
        self._shipped: dict[str, Any] = {}

    def run(self, step: Step, work: Workshop, specs: Sequence[ModelSpec]) -> Iterator[ModelSpec]:
        """In the order in which they are done; what is not done when this stops is cancelled.

        Raises:
            EngineError: if a worker was lost again and again.
            EdgeSDKError, ValueError: as the step, of the first cell that fails.
        """
        cargo = self._ship(work.dataset.fingerprint, lambda: Cargo.of(work.dataset))
        bare = replace(work, dataset=replace(work.dataset, photos=()), frozen=None, quiet=True)
        told = self._cpus, __version__
        waiting: dict[Any, tuple[ModelSpec, Files]] = {}
        left = iter(specs)
        room = 2 * max(1, int(self._ray.cluster_resources().get("CPU", 1) / self._cpus))
        try:
            while True:
                # No more than keep all busy: what waits has its files in memory.
                for spec in itertools.islice(left, room - len(waiting)):
                    files = {name: (work.folder / name).read_bytes() for name in work.files_of(spec)}
                    task = self._task.remote(step, bare, spec, [cargo], self._weights(work, spec), files, *told)
                    waiting[task] = spec, files
                if not waiting:
                    return
                (done, *_), _ = self._ray.wait(list(waiting))
                spec, files = waiting.pop(done)
                store(work.folder, files, fetch(self._ray, done))
                yield spec
        finally:
            cancel(self._ray, waiting)

    def _ship(self, name: str, make: Any) -> Any:
        if name not in self._shipped:
            self._shipped[name] = self._ray.put(make())
        return self._shipped[name]

    def _weights(self, work: Workshop, spec: ModelSpec) -> tuple[str, list[Any]] | None:
        """(the file's name, where its bytes are) of what a network starts from."""
        path = work.weights_file(spec)
        return None if path is None else (path.name, [self._ship(str(path), path.read_bytes)])


def fetch(ray: Any, task: Any) -> Any:
    """What a task or a method of an actor returned.

    Raises:
        EngineError: if its worker was lost.
        EdgeSDKError, ValueError: as it raised them.
    """
    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, EdgeSDKError | ValueError):
            raise error.cause from None
        raise EngineError(f"a worker failed with {' '.join(str(error.cause).split())[:200]}") from error
    except ray.exceptions.RayError as error:
        raise EngineError(
            f"a worker was lost and could not be replaced ({type(error).__name__}): see Ray's logs, and give each cell "
            "more memory; the same command continues where it stopped"
        ) from error


def cancel(ray: Any, tasks: Iterable[Any]) -> None:
    """End tasks and their workers, and see them end: one that Ray is just handing to a worker misses the first call."""
    left, end = list(tasks), time.monotonic() + CANCEL_S
    while left and time.monotonic() < end:
        for task in left:
            ray.cancel(task, force=True)
        _, left = ray.wait(left, num_returns=len(left), timeout=CANCEL_AGAIN_S)


def store(folder: Path, before: Files, after: Mapping[str, bytes | None]) -> None:
    """Keep what a worker made of the files that it was given; a run's network last, which makes it a run."""
    for name in sorted(after, key=lambda name: (Path(name).name == MODEL_FILE, name)):
        if (content := after[name]) is not None and content != before.get(name):
            make_folder((folder / name).parent)
            write_bytes(folder / name, content)
    for name in before.keys() - after.keys():
        (folder / name).unlink(missing_ok=True)


def read_files(folder: Path) -> Files:
    """Every file below a folder but those being written."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def check_version(version: str) -> None:
    """Refuse to work for another version of edgesdk, whose results may be others.

    Raises:
        EngineError: if it is another.
    """
    if version != __version__:
        raise EngineError(f"a worker has edgesdk {__version__}, expected {version}: install that on every machine")


def unpack_cargo(cargo: list[Any]) -> Dataset:
    """The data set, unpacked once in each worker process."""
    (reference,) = cargo
    if reference.hex() not in _UNPACKED:
        import ray

        _UNPACKED.clear()
        _UNPACKED[reference.hex()] = ray.get(reference).unpack()
    return _UNPACKED[reference.hex()]


_UNPACKED: dict[str, Dataset] = {}


def limit_threads(cpus: float) -> None:
    """As many threads for TensorFlow as the CPUs that the task was given; it must not be loaded yet."""
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = str(max(1, int(cpus)))


def _work_on_cell(
    step: Step,
    work: Workshop,
    spec: ModelSpec,
    cargo: list[Any],
    weights: tuple[str, list[Any]] | None,
    files: Files,
    cpus: float,
    version: str,
) -> Kept:
    """In a worker: the step, in a folder of its own with the cell's files; returns what became of these."""
    check_version(version)
    limit_threads(cpus)
    with tempfile.TemporaryDirectory(prefix="edgesdk-") as place:
        folder, named = make_folder(Path(place) / "work"), "none"
        store(folder, {}, files)
        if weights is not None:
            import ray

            name, (content,) = weights
            named = str(write_bytes(Path(place) / name, ray.get(content)))
        step(replace(work, dataset=unpack_cargo(cargo), folder=folder, weights=named), spec)
        made = read_files(folder)
        return {name: None if content == files.get(name) else content for name, content in made.items()}
