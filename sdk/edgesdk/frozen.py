"""Frozen, keyword-only dataclasses that are quickly made.

`dataclass(frozen=True, kw_only=True)` writes and compiles methods for each class, and a device waits for that at every
start. The classes that a first label needs are made with `frozen` instead: their methods are the ones below, the same
for all.
"""

from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field
from typing import Any, ClassVar, NoReturn, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def frozen(kind: type[T]) -> type[T]:
    """The class as `dataclass(frozen=True, kw_only=True)` gives it; `fields`, `replace` and `asdict` take it too.

    Of a field its default and `repr` are looked at, and each annotation is a field.
    """
    made = dataclass(init=False, repr=False, eq=False)(kind)
    for method in _METHODS:
        setattr(made, method, _Value.__dict__[method])
    return made


class _Value:
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __init__(self, /, **given: Any) -> None:
        values = self.__dict__
        for name, item in self.__dataclass_fields__.items():
            if name in given:
                values[name] = given.pop(name)
            elif item.default is not MISSING:
                values[name] = item.default
            elif item.default_factory is not MISSING:
                values[name] = item.default_factory()
            else:
                raise TypeError(f"{type(self).__qualname__} is made without its {name!r}")
        if given:
            raise TypeError(f"{type(self).__qualname__} has no {next(iter(given))!r}")
        if hasattr(self, "__post_init__"):
            self.__post_init__()

    def __repr__(self) -> str:
        fields = self.__dataclass_fields__.items()
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name, item in fields if item.repr)
        return f"{type(self).__qualname__}({shown})"

    def __eq__(self, other: object) -> bool:
        return _values(self) == _values(other) if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash(_values(self))

    def __setattr__(self, name: str, _: Any) -> NoReturn:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise FrozenInstanceError(f"cannot delete field {name!r}")


_METHODS = ("__init__", "__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__")


def _values(made: Any) -> tuple[Any, ...]:
    return tuple(getattr(made, name) for name in made.__dataclass_fields__)
