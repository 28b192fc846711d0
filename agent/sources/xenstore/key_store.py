# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading xenstore keys as outcomes, from a capture's files or from a session with xenstored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from agent.core.facts.numbers import MalformedError
from agent.sources.outcome import ABSENT, OK, Outcome, parsed
from agent.sources.system_root import SystemRoot
from agent.sources.xenstore.errors import XenstoreError, XenstoreLost

T = TypeVar("T")


class KeyStore(Protocol):
    """The guest's own part of xenstore; keys are relative to it."""

    def read(self, key: str) -> Outcome[bytes]: ...

    def names(self, key: str) -> Outcome[tuple[str, ...]]: ...

    def may_write(self, key: str) -> Outcome[bool]:  # noqa: ARG002 - nobody knows
        """Whether this domain may write a key, or make one below it."""
        return Outcome(None, ABSENT)


class Session(Protocol):
    """What is needed: the daemon's `session.XenstoreSession`, or `pyxs_client.StoreClient`."""

    def connect(self) -> None:
        """Open the session, or raise XenstoreError."""

    def read(self, key: str) -> bytes:
        """The value, or raise XenstoreError."""
        ...

    def list(self, key: str) -> list[str]:
        """The names below, or raise XenstoreError."""
        ...


class CapturedKeys(KeyStore):
    """`xenstore/<key>` below a capture: a value is a file, a key with children a directory."""

    def __init__(self, root: SystemRoot) -> None:
        self._root = root

    def read(self, key: str) -> Outcome[bytes]:
        return parsed(self._root.read(f"xenstore/{key}"), str.encode)

    def names(self, key: str) -> Outcome[tuple[str, ...]]:
        return self._root.names(f"xenstore/{key}")


class SessionKeys(KeyStore):
    """Keys over a session.  One that is lost stays lost: its deadline is paid once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lost: str | None = None
        try:
            session.connect()
        except XenstoreError as error:
            self._lost = error.status

    def read(self, key: str) -> Outcome[bytes]:
        return self._asked(self._session.read, key)

    def names(self, key: str) -> Outcome[tuple[str, ...]]:
        return parsed(self._asked(self._session.list, key), tuple)

    def may_write(self, key: str) -> Outcome[bool]:
        """Whether this domain may write a key, by the permissions xenstored tells."""
        domid = self.read("domid")
        # Commands ask for them, as xenstored writes them (`n0`, `r5`), the owner first.
        permissions = getattr(self._session, "permissions", None)
        if domid.value is None or permissions is None:
            return Outcome(None, domid.status if domid.value is None else ABSENT)
        me = domid.value.decode("ascii", "backslashreplace")
        return parsed(self._asked(permissions, key), lambda entries: _may_write(entries, me))

    def _asked(self, ask: Callable[[str], T], key: str) -> Outcome[T]:
        if self._lost is not None:
            return Outcome(None, self._lost)
        try:
            return Outcome(ask(key), OK)
        except XenstoreError as error:
            if isinstance(error, XenstoreLost):
                self._lost = error.status
            return Outcome(None, error.status)


def _may_write(entries: list[str], domid: str) -> bool:
    if not entries or "" in entries:
        raise MalformedError("no owner, or an entry that says nothing")
    letter = next((entry[0] for entry in entries[1:] if entry[1:] == domid), entries[0][0])
    return entries[0][1:] == domid or letter in "wb"


class NoKeys(KeyStore):
    """No xenstore at all; every key has the same status."""

    def __init__(self, status: str = ABSENT) -> None:
        self._status = status

    def read(self, key: str) -> Outcome[bytes]:  # noqa: ARG002 - the interface
        return Outcome(None, self._status)

    def names(self, key: str) -> Outcome[tuple[str, ...]]:  # noqa: ARG002 - the interface
        return Outcome(None, self._status)
