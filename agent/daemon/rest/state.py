# SPDX-License-Identifier: GPL-2.0-or-later
"""What survives a rest: which attributes of which objects, and all of it as bytes and back.

A class says in `SURVIVES_REST` which of its attributes do; the others its constructor makes anew.

The bytes are marshal's below one line that says whose they are, how many, and their checksum; what
is not exactly what the same version has written is nothing, and the daemon starts afresh. marshal,
as it is in the interpreter (json is a twentieth of what coming back loads), and knows tuples and
sets. It does not know named tuples, so those are lists here, which begin with what they are:
`["agent.core.policy.history:Nudge", 524288, 524292, 12.5]`, and a list begins with "".
"""

from __future__ import annotations

import binascii
import marshal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from agent import __version__

if TYPE_CHECKING:
    from agent.daemon.config.effective import Config
    from agent.daemon.parts import Started

MOST_BYTES: Final = 1 << 20
_SCHEMA: Final = 1
_PLAIN: Final = (bool, int, float, str, type(None))


class StateError(Exception):
    """It cannot be handed on, or what was handed on makes no sense."""


class Handed(NamedTuple):
    """What goes from the daemon to the one that comes back: descriptors, and what survives."""

    started: Started
    config: Config
    xenstore: int
    lock: int | None
    pressure: int | None
    kept: dict[str, Any]


def packed(value: object) -> bytes:
    """A value as bytes.

    Raises:
        StateError: it is too large, or of something that has no form here.
    """
    body = marshal.dumps(_plain(value))
    if len(body) > MOST_BYTES:
        raise StateError(f"there is more to hand on than {MOST_BYTES // 1024} KiB")
    return _head(body) + body


def unpacked(content: bytes) -> Any:
    """The value that was packed.

    Raises:
        StateError: this is not what `packed` of this version gives.
    """
    head, newline, body = content.partition(b"\n")
    if head + newline != _head(body):
        raise StateError("what was handed on is damaged, or another version's")
    try:
        return _made(marshal.loads(body))  # noqa: S302 - our own, by its checksum
    except (AttributeError, EOFError, ImportError, LookupError, TypeError, ValueError) as why:
        raise StateError(f"what was handed on makes no sense: {why!r}") from None


def kept(of: Any) -> dict[str, object]:
    """What survives of an object, and of those it is made of."""
    found = {name: getattr(of, name) for name in of.SURVIVES_REST}
    return {name: kept(one) if _survives(one) else one for name, one in found.items()}


def take_up(into: Any, what: dict[str, Any]) -> None:
    """Give an object that was made anew what survived of the one before.

    Raises:
        StateError: it is that of another kind of object.
    """
    if set(what) != set(into.SURVIVES_REST):
        raise StateError(f"no state of a {type(into).__name__}")
    for name, value in what.items():
        there = getattr(into, name)
        if _survives(there):
            take_up(there, value)
        else:
            setattr(into, name, value)


def _survives(one: object) -> bool:
    return hasattr(one, "SURVIVES_REST")


def _head(body: bytes) -> bytes:
    words = f"balloon-agent {__version__} rests {_SCHEMA} {len(body)} {binascii.crc32(body):08x}\n"
    return words.encode()


def _plain(value: Any) -> Any:
    """What marshal knows."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is dict:
        return {_plain(key): _plain(one) for key, one in value.items()}
    if kind in (tuple, set, frozenset):
        return kind(map(_plain, value))
    if kind is list:
        return ["", *map(_plain, value)]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return [f"{kind.__module__}:{kind.__name__}", *map(_plain, value)]
    raise StateError(f"a {kind.__name__} cannot be handed on")


def _made(plain: Any) -> Any:
    kind = type(plain)
    if kind is dict:
        return {_made(key): _made(one) for key, one in plain.items()}
    if kind in (tuple, set, frozenset):
        return kind(map(_made, plain))
    if kind is list:
        name, *items = map(_made, plain)
        return _class_of(name)._make(items) if name else items
    return plain


def _class_of(name: str) -> Any:
    """One of our named tuples; `_make` of it checks how many fields there are."""
    module, _, word = name.partition(":")
    ours = module.startswith("agent.")
    found = getattr(__import__(module, fromlist=[word]), word) if ours else None
    if not (isinstance(found, type) and issubclass(found, tuple)):
        raise StateError(f"{name[:80]} is no value of ours")
    return found
