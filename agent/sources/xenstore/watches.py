# SPDX-License-Identifier: GPL-2.0-or-later
r"""The watches of a session and the events that are due, whatever the peer sends.

The payload of a watch event is two NUL-ended fields, and more of them for special watches:

    b"memory/target\0host-target\0"

An event only says "look again", so ten thousand of one kind are worth one, and one whose path
makes no sense is worth a look at everything its watch covers. That bounds the memory held.
"""

from __future__ import annotations

from typing import Final, NamedTuple

_NUL: Final = b"\0"
_FIELDS: Final = 2
MOST_EVENTS_DUE: Final = 64
"""More distinct paths than this and each watch is due as a whole instead."""


class WatchEvent(NamedTuple):
    """Something at or below `path` may have changed.

    Attributes:
        path: the key given to `watch()`, or one below it.
        token: the word given to `watch()` with it.
    """

    path: str
    token: str


class Watches:
    """Which keys are watched, by token, and what has happened to them since it was last asked."""

    def __init__(self) -> None:
        self._key_of: dict[str, str] = {}
        self._due: dict[WatchEvent, None] = {}

    def add(self, key: str, token: str) -> None:
        self._key_of[token] = key

    def discard(self, token: str) -> None:
        self._key_of.pop(token, None)
        self._due = {event: None for event in self._due if event.token != token}

    def clear(self) -> None:
        """Forget everything: the connection is gone."""
        self._key_of.clear()
        self._due.clear()

    @property
    def any_due(self) -> bool:
        """Whether `take` would return anything."""
        return bool(self._due)

    def key_of(self, token: str) -> str | None:
        """The key `token` stands for; None when it is not live."""
        return self._key_of.get(token)

    def note(self, payload: bytes) -> None:
        """Take the payload of one watch event; one of no live token is dropped."""
        fields = payload.split(_NUL, _FIELDS)
        if len(fields) < _FIELDS:
            return
        token = fields[1].decode("ascii", "replace")
        key = self._key_of.get(token)
        if key is None:
            return
        path = fields[0].decode("ascii", "replace")
        if not (path == key or path.startswith(key + "/")):
            path = key
        event = WatchEvent(path, token)
        if event not in self._due and len(self._due) >= MOST_EVENTS_DUE:
            self._due = {WatchEvent(self._key_of[due.token], due.token): None for due in self._due}
            event = WatchEvent(key, token)
        self._due[event] = None

    def take(self) -> list[WatchEvent]:
        """The events due, each once, oldest first; afterwards none is."""
        due = list(self._due)
        self._due.clear()
        return due
