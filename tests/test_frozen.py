import copy
import pickle
from dataclasses import FrozenInstanceError, asdict, fields, is_dataclass, replace
from typing import Any

import pytest

from edgesdk.frozen import field, frozen


@frozen
class Point:
    """Of a test."""

    x: int
    y: int = 0
    tags: dict[str, str] = field(default_factory=dict)


@frozen
class Quiet:
    """Of a test."""

    x: int
    many: tuple[int, ...] = field(repr=False)


@frozen
class Positive:
    """Of a test."""

    x: int

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError(f"x is {self.x}, expected at least 0")


def test_it_is_a_dataclass_like_any_other() -> None:
    point = Point(y=2, x=1)
    assert is_dataclass(point) and [item.name for item in fields(point)] == ["x", "y", "tags"]
    assert asdict(point) == {"x": 1, "y": 2, "tags": {}}
    assert repr(point) == "Point(x=1, y=2, tags={})"
    assert repr(Quiet(x=1, many=(1, 2))) == "Quiet(x=1)"
    assert replace(point, x=3) == Point(x=3, y=2)
    assert pickle.loads(pickle.dumps(point)) == copy.deepcopy(point) == point
    assert Point(x=1).tags is not Point(x=1).tags


def test_it_is_compared_and_hashed_by_its_fields() -> None:
    assert Positive(x=1) == Positive(x=1) != Positive(x=2)
    assert Positive(x=1) != Point(x=1)
    assert len({Positive(x=1), Positive(x=1)}) == 1


def test_it_is_frozen() -> None:
    point: Any = Point(x=1)
    with pytest.raises(FrozenInstanceError, match="'x'"):
        point.x = 2
    with pytest.raises(FrozenInstanceError, match="'x'"):
        del point.x
    with pytest.raises(FrozenInstanceError, match="'z'"):
        point.z = 2


def test_only_its_fields_make_it() -> None:
    made: Any = Point
    with pytest.raises(TypeError, match="without its 'x'"):
        made(y=1)
    with pytest.raises(TypeError, match="no 'z'"):
        made(x=1, z=1)
    with pytest.raises(TypeError):
        made(1)
    with pytest.raises(ValueError, match="x is -1"):
        Positive(x=-1)
