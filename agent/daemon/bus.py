# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's side of xenstore: one connection, one watch, what the host says, and back-off.

Over a lost connection the daemon goes on without the host.  It is tried again after about a second,
then less and less often, up to a minute, until a connection has held for as long; the delay is
shaken so that many guests do not come back to a restarted xenstored in the same moment.
"""

from __future__ import annotations

import os
from typing import Final

from agent.core.facts.snapshot import HostWishes
from agent.core.facts.untrusted import excerpt, parse_kib
from agent.sources.host_wishes import HostFacts, read_host
from agent.sources.outcome import ABSENT, OK, malformed
from agent.sources.xenstore.errors import XenstoreError, XenstoreLost, XenstoreUnreachable
from agent.sources.xenstore.key_store import SessionKeys
from agent.sources.xenstore.session import XenstoreSession

REQUEST_S: Final = 1.5  # so that a stop never takes two seconds
BACKOFF_FIRST_S: Final = 1.0
BACKOFF_LAST_S: Final = 60.0
_WATCHED: Final = "memory"
_TARGET: Final = "memory/target"
_OWN_KEYS: Final = frozenset({"memory/meminfo", "memory/swapinfo"})  # what the guest writes itself

NO_FACTS: Final = HostFacts(HostWishes(), None, None, None, None)


class Bus:
    """`facts` is what the host said last; empty while there is no connection."""

    def __init__(self, path: str) -> None:
        self.session = XenstoreSession(path, REQUEST_S)
        self.facts = NO_FACTS
        self.statuses: dict[str, str] = {"xenstore": ABSENT}
        self.lost_because: str | None = None
        self.connections = 0
        self.retry_at_s: float | None = None
        self._failures = 0
        self._connected_s: float | None = None

    @property
    def connected(self) -> bool:
        """Whether there is a connection that has not shown itself to be dead."""
        return self.session.connected

    def connect(self, now_s: float) -> bool:
        """Connect, watch and read everything; on failure `retry_at_s` says when to try again.

        Raises:
            XenstoreUnreachable: there is nothing to connect to.
        """
        try:
            self.session.connect()
            self.session.watch(_WATCHED, _WATCHED)
            self.read_all()
        except XenstoreUnreachable as error:
            self.lose(error, now_s)
            raise
        except XenstoreError as error:
            self.lose(error, now_s)
        if not self.connected:
            return False
        self._connected_s = now_s
        self.lost_because = self.retry_at_s = None
        self.connections += 1
        return True

    def lose(self, error: XenstoreError, now_s: float) -> None:
        """The connection is gone, or of no use."""
        self.session.close()
        self.lost_because = str(error)
        self.facts = NO_FACTS
        self.statuses = {"xenstore": error.status}
        if self._connected_s is not None and now_s - self._connected_s >= BACKOFF_LAST_S:
            self._failures = 0
        self._connected_s = None
        delay_s = min(BACKOFF_LAST_S, BACKOFF_FIRST_S * 2.0 ** min(self._failures, 10))
        self._failures += 1
        shaken = 0.5 + os.urandom(1)[0] / 510
        self.retry_at_s = now_s + delay_s * shaken

    def listen(self) -> bool:
        """Take the events that have come; whether the host has said something.

        Raises:
            XenstoreLost: the connection is gone.
        """
        paths = {event.path for event in self.session.events()} - _OWN_KEYS
        if not paths:
            return False
        if paths == {_TARGET}:
            self._read_target()
        else:  # some other key, or the watch itself: at its registration and after a resume
            self.read_all()
        return True

    def read_all(self) -> None:
        """Everything the host says of this domain.

        Raises:
            XenstoreLost: the connection is gone.
        """
        self.facts, self.statuses = read_host(SessionKeys(self.session))
        if not self.session.connected:
            raise XenstoreLost(self.statuses.get("xenstore", "connection lost"))

    def ask(self) -> None:
        """One question, to which only an xenstored that lives has an answer.

        Raises:
            XenstoreLost: there is none, or the connection is gone.
        """
        self._read_target()

    def _read_target(self) -> None:
        try:
            raw = self.session.read(_TARGET)
        except XenstoreLost:
            raise
        except XenstoreError as error:
            self._note_target(None, None, error.status)
            return
        judged = parse_kib(raw)
        if judged.value is None:
            self._note_target(None, excerpt(raw), malformed(judged.why))
        else:
            self._note_target(judged.value, None, OK)

    def _note_target(self, target_kib: int | None, text: str | None, status: str) -> None:
        wishes = self.facts.wishes._replace(target_kib=target_kib, target_text=text)
        self.facts = self.facts._replace(wishes=wishes)
        self.statuses[f"xenstore.{_TARGET}"] = status

    def close(self) -> None:
        """The end."""
        self.session.close()
