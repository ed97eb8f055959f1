"""A folder of weights files: which of them a network starts from."""

from functools import cache
from pathlib import Path

from edgesdk.errors import WeightsError
from edgesdk.spec import ModelSpec
from edgesdk_train.narrow import fits, wider_spec
from edgesdk_train.weights import Pretrained, read_weights


@cache
def pick_weights(folder: Path | str, spec: ModelSpec) -> Path:
    """The file of the network's very width, else of the next wider one, whose channels are then cut.

    Of several that fit as well, the one whose name holds the resolution.

    Raises:
        WeightsError: if none in the folder fits the network or a wider one.
    """
    found: list[tuple[float, bool, str]] = []
    for path in sorted(Path(folder).glob("*.h5")):
        pretrained = _read(path)
        if fits(spec, pretrained):
            width: float | None = spec.width
        else:
            wider = wider_spec(spec, pretrained)
            width = None if wider is None else wider.width
        if width is not None:
            found.append((width, str(spec.res) not in path.stem.split("_"), str(path)))
    if not found:
        raise WeightsError(f"no .h5 file in {folder} holds weights of {spec.name} or a wider one: add one")
    return Path(min(found)[2])


@cache
def _read(path: Path) -> Pretrained:
    return read_weights(path)
