# SPDX-License-Identifier: GPL-2.0-or-later
"""`typing`, as far as the daemon's modules need it while they run: that is next to nothing.

Postponed annotations are never looked at, and of the rest only NamedTuple does anything.  Loading
all of typing takes longer than a bare Python takes to start, and its NamedTuple compiles a function
for each of the daemon's 70 classes (Lib/collections, `namedtuple`), which is as long again.  Here a
class takes the compiled function of another one with as many fields, and what all of them can do
stands once.

Whoever asks for a name that is not here gets typing's own, which is loaded then.
"""

from __future__ import annotations

import _collections_abc
import sys
from _collections import _tuplegetter  # type: ignore[import-not-found]
from _collections_abc import Iterable

TYPE_CHECKING = False  # type checkers take it for typing's
if TYPE_CHECKING:
    from typing import Any


def stay_lean() -> None:
    """From now on in this process, which loads the daemon and nothing else.

    And collections.abc is had without `collections` (Lib/collections/abc.py has it from here).
    """
    sys.modules["typing"] = sys.modules[__name__]
    sys.modules.setdefault("collections.abc", _collections_abc)


def __getattr__(name: str) -> object:
    if name.startswith("__"):
        raise AttributeError(name)
    if sys.modules.get("typing") is sys.modules[__name__]:
        del sys.modules["typing"]
    if sys.modules.get("collections.abc") is _collections_abc:
        del sys.modules["collections.abc"]
    import typing  # noqa: PLC0415 - it costs 0.6 MiB

    return getattr(typing, name)


class _Word:
    """What is only said of a value, as `Optional[int]`."""

    def __getitem__(self, _of: object) -> _Word:
        return self


Final = Literal = NoReturn = Optional = Union = _Word()
BinaryIO = Callable = Tuple = _Word()  # tomllib's
if not TYPE_CHECKING:
    Any = _Word()


def TypeVar(_name: str) -> _Word:  # noqa: N802 - typing's name
    """Any type, which nobody asks for."""
    return _Word()


def cast(_kind: object, value: object) -> object:
    """The value as it is."""
    return value


class Protocol:
    """What an object can do, which nobody checks."""


def runtime_checkable(protocol: type) -> type:
    """That of importlib.abc: with a Protocol of ours typing's own would raise."""
    return protocol


class _Value(tuple):  # type: ignore[type-arg]
    """What every named tuple can do."""

    __slots__ = ()
    _fields: tuple[str, ...] = ()

    @classmethod
    def _make(cls, values: Iterable[object]) -> _Value:
        made = tuple.__new__(cls, values)
        if len(made) != len(cls._fields):
            raise TypeError(f"Expected {len(cls._fields)} arguments, got {len(made)}")
        return made

    def _replace(self, /, **changed: object) -> _Value:
        made = self._make(map(changed.pop, self._fields, self))
        if changed:
            raise ValueError(f"Got unexpected field names: {list(changed)!r}")
        return made

    def _asdict(self) -> dict[str, object]:
        return dict(zip(self._fields, self))

    def __getnewargs__(self) -> tuple[object, ...]:
        return tuple(self)

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items())
        return f"{type(self).__name__}({fields})"


class _Making(type):
    """Makes a named tuple of a class body; what is derived from that is an ordinary class."""

    def __new__(mcs, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> type:
        """Of `_Value`, as typing's are of tuple."""
        if not bases:
            return super().__new__(mcs, name, bases, body)
        fields = tuple(body.pop("__annotations__", ()))
        defaults = {field: body.pop(field) for field in fields if field in body}
        new = _function_of(fields)
        new.__defaults__ = tuple(defaults.values())
        new.__qualname__ = f"{name}.__new__"
        body.update((field, _tuplegetter(at, None)) for at, field in enumerate(fields))
        body.update(__slots__=(), __new__=new, _fields=fields, _field_defaults=defaults)
        return type(name, (_Value,), body)


class NamedTuple(metaclass=_Making):
    """The base of a value."""


_FUNCTIONS: dict[int, Any] = {}


def _function_of(fields: tuple[str, ...]) -> Any:
    """`def __new__(_cls, first, second): return tuple.__new__(_cls, (first, second))`."""
    function = _FUNCTIONS.get(len(fields))
    if function is None:
        names = "".join(f"_{at}, " for at in range(len(fields)))
        source = f"lambda _cls, {names}: new(_cls, ({names}))"
        function = _FUNCTIONS[len(fields)] = eval(source, {"new": tuple.__new__})  # noqa: S307
    code = function.__code__.replace(co_name="__new__", co_varnames=("_cls", *fields))
    return type(function)(code, function.__globals__)
