"""Where the cells of a grid are worked on: here one after another, or on a Ray cluster all at once.

Both leave the same files in the same folder, so that either goes on with what the other began.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, get_args

from edgesdk.spec import ModelSpec

if TYPE_CHECKING:
    from edgesdk.grid.workshop import Workshop

Step = Callable[["Workshop", ModelSpec], object]
EngineName = Literal["local", "ray"]


class Engine(Protocol):
    """What works on cells."""

    def run(self, step: Step, work: "Workshop", specs: Sequence[ModelSpec]) -> Iterator[ModelSpec]:
        """Do a step of `Workshop` for each network; yields each once all that the step made is in `work.folder`."""
        ...


class LocalEngine:
    """One cell after another, in this process."""

    def run(self, step: Step, work: "Workshop", specs: Sequence[ModelSpec]) -> Iterator[ModelSpec]:
        """In the order of the networks."""
        for spec in specs:
            step(work, spec)
            yield spec


def make_engine(name: EngineName, *, cpus: float = 1, gpus: float = 0) -> Engine:
    """The engine of a name; on Ray each cell is given so many CPUs and GPUs.

    Raises:
        ValueError: if there is none of that name, or a cell needs nothing.
        MissingPackageError, EngineError: as `RayEngine`.
    """
    if name not in get_args(EngineName):
        raise ValueError(f"engine is {name!r}, expected one of {', '.join(get_args(EngineName))}")
    if name == "local":
        return LocalEngine()
    from edgesdk.grid.rayengine import RayEngine

    return RayEngine(cpus=cpus, gpus=gpus)
