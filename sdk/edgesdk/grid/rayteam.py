"""One network learned on several machines: Ray starts the workers, TensorFlow's MultiWorkerMirroredStrategy adds up.

What the first worker writes comes into the run folder after each epoch. Where a worker is lost all begin again from
there.
"""

import json
import os
import socket
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgesdk import __version__
from edgesdk.atomic import make_folder, write_bytes
from edgesdk.errors import EngineError, RunError
from edgesdk.grid.rayengine import (
    LOST,
    Cargo,
    Files,
    check_version,
    connect,
    fetch,
    limit_threads,
    read_files,
    store,
    unpack_cargo,
)
from edgesdk.photos.data import Dataset
from edgesdk.preprocess import ImageInput
from edgesdk.progress import remark
from edgesdk.quiet import import_tensorflow
from edgesdk.runfolder import RUN_FILE, Learning, Run, refuse_other_kind
from edgesdk.spec import ModelSpec

POLL_S = 2.0
PLACE_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What the workers are told: the arguments of `learn` that travel."""

    spec: ModelSpec
    image_input: ImageInput
    data: str
    weights: str
    learning: Learning
    tensorboard: bool
    resume: bool


@dataclass(frozen=True, kw_only=True)
class RayTeam:
    """Workers on a Ray cluster that learn one network together.

    Attributes:
        workers: how many; each has `cpus` and `gpus`.
    """

    workers: int = 1
    cpus: float = 1
    gpus: float = 0

    def __post_init__(self) -> None:
        if self.workers < 1 or self.cpus <= 0 or self.gpus < 0:
            raise ValueError(
                f"{self.workers} workers with {self.cpus:g} CPUs and {self.gpus:g} GPUs each, expected at least 1, "
                "more than 0 and at least 0"
            )

    def learn(
        self,
        dataset: Dataset,
        spec: ModelSpec,
        image_input: ImageInput,
        *,
        data: str,
        weights: str,
        learning: Learning,
        folder: Path,
        teacher: Any = None,
        tensorboard: bool = False,
        resume: bool = False,
        quiet: bool = False,
    ) -> Run:
        """As `edgesdk_train.learn.learn`; of photos in shards each worker reads only its own.

        Raises:
            EngineError: if the cluster has no room, or workers are lost again and again.
            ValueError: if there is a teacher, which one process listens to.
            EdgeSDKError: as `learn`.
        """
        if teacher is not None:
            raise ValueError("a teacher is learned from in this process: leave out --engine ray")
        refuse_other_kind(folder, RUN_FILE)
        if not resume and (folder / RUN_FILE).is_file():
            raise RunError(f"{folder} holds a run: continue it with --resume, or name another folder with -o")
        ray = connect(self.cpus, self.gpus)
        lesson = Lesson(
            spec=spec,
            image_input=image_input,
            data=data,
            weights=weights,
            learning=learning,
            tensorboard=tensorboard,
            resume=resume,
        )
        cargo = ray.put(Cargo.of(dataset))
        content = None
        if weights != "none":
            from edgesdk_train.weights import find_weights

            path = find_weights(weights, spec)
            lesson, content = replace(lesson, weights=path.name), ray.put(path.read_bytes())
        make_folder(folder)
        room = ray.util.placement_group([{"CPU": self.cpus, "GPU": self.gpus}] * self.workers, strategy="SPREAD")
        try:
            if not room.wait(PLACE_S):
                raise EngineError(
                    f"the cluster has no room for {self.workers} workers with {self.cpus:g} CPUs and {self.gpus:g} "
                    f"GPUs after {PLACE_S:.0f} s: ask for less, or wait until others are done"
                )
            for lost in range(LOST + 1):
                run = self._try(ray, room, lesson, [cargo], [content], folder)
                if run is not None:
                    return run
                remark(f"a worker was lost, {lost + 1} of at most {LOST}: all go on from the last epoch", quiet=quiet)
                lesson = replace(lesson, resume=True)
        finally:
            ray.util.remove_placement_group(room)
        raise EngineError(f"workers were lost {LOST + 1} times: give them more memory, and continue with --resume")

    def _try(
        self, ray: Any, room: Any, lesson: Lesson, cargo: list[Any], content: list[Any], folder: Path
    ) -> Run | None:
        """The finished run; None if a worker was lost."""
        files = read_files(folder)
        place = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(room)
        learner = ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, max_concurrency=2, scheduling_strategy=place)
        members = [learner(Member).remote(self.cpus, index, __version__) for index in range(self.workers)]
        lost = ray.exceptions.RayActorError
        try:
            addresses = [fetch(ray, member.address.remote()) for member in members]
            tasks = [member.learn.remote(lesson, cargo, content, files, folder.name, addresses) for member in members]
            waiting = tasks
            while waiting:
                done, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=POLL_S)
                found = fetch(ray, members[0].changed.remote())
                files = _keep(folder, files, found)
                for task in done:
                    fetch(ray, task)
            run: Run = ray.get(tasks[0])
            return run
        except EngineError as error:
            if isinstance(error.__cause__, lost) or _broken(error.__cause__):
                return None
            raise
        finally:
            for member in members:
                ray.kill(member)


def _broken(error: Any) -> bool:
    """Whether TensorFlow says that another worker does not answer."""
    return type(getattr(error, "cause", None)).__name__ in ("UnavailableError", "AbortedError", "InternalError")


def _keep(folder: Path, before: Files, found: tuple[Files, list[str]]) -> Files:
    changed, names = found
    if not names:  # the worker has not begun
        return before
    after = {name: content for name, content in (before | changed).items() if name in names}
    store(folder, before, after)
    return after


class Member:
    """A worker, in a process of its own."""

    def __init__(self, cpus: float, index: int, version: str) -> None:
        """Of the version of edgesdk that starts it."""
        check_version(version)
        limit_threads(cpus)
        self._index, self._seen = index, dict[str, tuple[int, int]]()
        self._place = tempfile.TemporaryDirectory(prefix="edgesdk-")
        self._folder: Path | None = None

    def address(self) -> str:
        """A host and port that TensorFlow's workers can reach this one at."""
        import ray

        host = ray.util.get_node_ip_address()
        with socket.socket() as probe:
            probe.bind((host, 0))
            return f"{host}:{probe.getsockname()[1]}"

    def learn(
        self,
        lesson: Lesson,
        cargo: list[Any],
        content: list[Any],
        files: Files,
        name: str,
        addresses: list[str],
    ) -> Run:
        """Learn with the others, in a folder of the run's name that begins with these files."""
        import ray

        folder = make_folder(Path(self._place.name) / name)
        store(folder, {}, files)
        self._folder, strategy = folder, None
        weights = lesson.weights
        if weights != "none":
            weights = str(write_bytes(Path(self._place.name) / weights, ray.get(content[0])))
        if len(addresses) > 1:
            task = {"type": "worker", "index": self._index}
            os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
        import_tensorflow()
        if len(addresses) > 1:
            import tensorflow as tf

            strategy = tf.distribute.MultiWorkerMirroredStrategy()  # before TensorFlow computes anything
        from edgesdk_train.learn import learn
        from edgesdk_train.team import Team

        return learn(
            unpack_cargo(cargo),
            lesson.spec,
            lesson.image_input,
            data=lesson.data,
            learning=lesson.learning,
            tensorboard=lesson.tensorboard,
            resume=lesson.resume,
            weights=weights,
            folder=folder,
            team=Team(index=self._index, count=len(addresses), strategy=strategy),
            quiet=True,
        )

    def changed(self) -> tuple[Files, list[str]]:
        """(the files that changed since this was asked, the names of all)."""
        if self._folder is None:
            return {}, []
        files: Files = {}
        names = []
        for path in sorted(self._folder.rglob("*")):
            try:
                if path.name.startswith(".") or not path.is_file():
                    continue
                name, state = path.relative_to(self._folder).as_posix(), path.stat()
                names.append(name)
                if self._seen.get(name) != (state.st_mtime_ns, state.st_size):
                    files[name] = path.read_bytes()
                    self._seen[name] = state.st_mtime_ns, state.st_size
            except FileNotFoundError:  # replaced or removed while it was looked at
                continue
        return files, names
