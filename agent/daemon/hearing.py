# SPDX-License-Identifier: GPL-2.0-or-later
"""How the daemon hears xenstore: events, storms of them, the loss of the connection, its return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from agent.daemon import journal as j
from agent.daemon.allowance import Allowance
from agent.daemon.parts import Parts
from agent.sources.xenstore.errors import XenstoreError, XenstoreUnreachable

_AT_ONCE: Final = 30
_PER_S: Final = 20.0


class Hearing:
    """`due_s`: xenstore is left alone until then, because of a storm; None when there is none.

    `lost` is told the time when the connection is found to be gone, `back` when there is another.
    """

    def __init__(
        self, parts: Parts, lost: Callable[[float], None], back: Callable[[], None]
    ) -> None:
        self.due_s: float | None = None
        self._parts = parts
        self._lost = lost
        self._back = back
        self._allowance = Allowance(_AT_ONCE, _PER_S)

    def listen(self) -> None:
        """Have events, or the end of the connection, wake the daemon."""
        self.due_s = None
        bus = self._parts.bus
        self._parts.wakeups.listen_to(bus.session.fileno() if bus.connected else None)

    def events_wait(self, now_s: float) -> bool:
        """Whether events wait to be taken in, though none shows at the descriptor.

        So it is with those that came while a request was made.
        """
        if not self._parts.bus.connected or self.holds_back(now_s):
            return False
        try:
            return self._parts.bus.session.wait(0.0)
        except XenstoreError as error:
            self.lose(error, now_s)
            return False

    def holds_back(self, now_s: float) -> bool:
        """Whether there is a storm, and the next hearing is still to come."""
        return self.due_s is not None and now_s < self.due_s

    def hear(self, now_s: float) -> str | None:
        """Take the events in; why to look now, None if for nothing.

        In a storm of events the host is heard a few times a second.
        """
        if not self._allowance.take(now_s):
            self._parts.wakeups.listen_to(None)
            self.due_s = now_s + 1.0 / _PER_S
            return None
        if self.due_s is not None:
            self.listen()
        try:
            return "host" if self._parts.bus.listen() else None
        except XenstoreError as error:
            self.lose(error, now_s)
            return "xenstore-lost"

    def ask(self, now_s: float) -> None:
        """Find out whether xenstored lives: the kernel's device does not show when it has died."""
        if not self._parts.bus.connected:
            return
        try:
            self._parts.bus.ask()
        except XenstoreError as error:
            self.lose(error, now_s)

    def reconnect(self, now_s: float) -> bool:
        """Try again; whether there is a connection now."""
        try:
            connected = self._parts.bus.connect(now_s)
        except XenstoreUnreachable:
            connected = False
        self.listen()
        if connected:
            self._back()
            self._parts.journal.settled("xenstore")
            self._parts.say(j.NOTICE, "xenstore-back", "xenstore is back", j.EVENT_BURST)
        return connected

    def lose(self, error: XenstoreError, now_s: float) -> None:
        """The connection is gone."""
        self._parts.bus.lose(error, now_s)
        self.listen()
        self._lost(now_s)
        self._parts.say(j.WARNING, "xenstore", f"xenstore is lost: {error}", 3)
