# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's side of xenstore: one connection, one watch, what the host says, and back-off.

Over a lost connection the daemon goes on without the host.  It is tried again after about a second,
then less and less often, up to a minute, until a connection has held for as long; the delay is
shaken so that many guests do not come back to a restarted xenstored in the same moment.  In a storm
of events the host is heard a few times a second.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from agent.core.facts.numbers import excerpt, key_kib
from agent.core.facts.snapshot import HostMemoryKeys
from agent.daemon.token_bucket import TokenBucket
from agent.sources.host_keys import HostFacts, read_host
from agent.sources.outcome import ABSENT, OK, Outcome, parsed
from agent.sources.xenstore.errors import (
    DeviceDenied,
    DeviceMissing,
    XenstoreError,
    XenstoreLost,
    XenstoreRefused,
    XenstoreUnreachable,
)
from agent.sources.xenstore.key_store import SessionKeys
from agent.sources.xenstore.session import XenstoreSession

REQUEST_S: Final = 1.5
CONNECT_S: Final = 15.0
"""Connecting takes a dozen requests; a start has 30 s."""
BACKOFF_FIRST_S: Final = 1.0
BACKOFF_LAST_S: Final = 60.0
HEARD_AT_ONCE: Final = 30
HEARD_PER_S: Final = 20.0
_WATCHED: Final = "memory"
_TARGET: Final = "memory/target"
_OWN_KEYS: Final = frozenset({"memory/meminfo", "memory/swapinfo"})  # what the guest writes itself

NO_FACTS: Final = HostFacts(HostMemoryKeys(), None, None, None, None)


class Up(NamedTuple):
    """Connected and watching; in a storm nothing is heard before `hears_at_s`."""

    since_s: float
    hears_at_s: float | None = None


class Down(NamedTuple):
    """No connection; None: nothing was tried yet."""

    because: str | None = None
    retry_at_s: float | None = None


News = Literal["host", "asked", "xenstore-lost", "reconnected"]
"""`asked`: what the host said is memory/target, be it with the same value."""


class Link:
    """`facts` is what the host said last; empty while there is no connection.

    `news` is what has happened and nobody has taken note of yet.
    """

    SURVIVES_REST: Final = ("state", "facts", "statuses", "connections", "_failures")

    def __init__(self, path: str) -> None:
        self.session = XenstoreSession(path, REQUEST_S)
        self.state: Up | Down = Down()
        self.facts = NO_FACTS
        self.statuses: dict[str, str] = {"xenstore": ABSENT}
        self.connections = 0
        self.news: set[News] = set()
        self._failures = 0
        self._bucket = TokenBucket(HEARD_AT_ONCE, HEARD_PER_S)

    def resume(self, descriptor: int) -> None:
        """Go on with the connection of an earlier program, and its watch.

        Raises:
            OSError: the descriptor is none.
        """
        self.session.adopt(descriptor, _WATCHED, _WATCHED)

    @property
    def may_rest(self) -> bool:
        """Whether all that the host has said is taken in, and whatever it says shows."""
        return self.descriptor is not None and not self.news and self.session.can_be_handed_on

    @property
    def is_up(self) -> bool:
        """Whether there is a connection that has not shown itself to be dead."""
        return isinstance(self.state, Up) and self.session.connected

    @property
    def due_s(self) -> float | None:
        """When to try again, or to hear again what a storm says."""
        return self.state.hears_at_s if isinstance(self.state, Up) else self.state.retry_at_s

    @property
    def descriptor(self) -> int | None:
        """What shows that there is something to hear; None while that is of no interest."""
        return self.session.fileno() if self.is_up and self.due_s is None else None

    def serve(self, now_s: float, *, shows: bool) -> bool:
        """Whatever is due: another try, or what the host has said; it shows in `news`.

        True where something was done, though it may be no news.
        """
        if self.due_s is not None and now_s < self.due_s:
            return False
        if isinstance(self.state, Down):
            if self.due_s is None:
                return False
            self._try_again(now_s)
        elif shows or self.due_s is not None or self.has_events(now_s):
            self._hear(now_s)
        else:
            return False
        return True

    def has_events(self, now_s: float) -> bool:
        """Whether events wait to be taken in, though none may show at the descriptor.

        So it is with those that came while a request was made.
        """
        if self.descriptor is None:
            return False
        try:
            return self.session.has_events()
        except XenstoreError as error:
            self.lose(error, now_s)
            return False

    def connect(self, now_s: float) -> None:
        """Connect, watch and read everything; on failure the state says when to try again.

        Raises:
            DeviceMissing: there is no xenstore.
            DeviceDenied: there is, but not for this user.
        """
        try:
            self.session.connect()
            self.session.end_by(time.monotonic() + CONNECT_S)
            self.session.watch(_WATCHED, _WATCHED)
            self.read_all()
            self.session.end_by(None)
        except XenstoreError as error:
            self.lose(error, now_s)
            if isinstance(error, (DeviceMissing, DeviceDenied)):
                raise
            return
        self.state = Up(now_s)
        self.connections += 1
        self.news.discard("xenstore-lost")

    def lose(self, error: XenstoreError, now_s: float) -> None:
        """The connection is gone, or of no use."""
        self.session.close()
        if isinstance(self.state, Up):
            self.news.add("xenstore-lost")
            if now_s - self.state.since_s >= BACKOFF_LAST_S:
                self._failures = 0
        self.facts = NO_FACTS
        self.statuses = {"xenstore": error.status}
        delay_s = min(BACKOFF_LAST_S, BACKOFF_FIRST_S * 2.0 ** min(self._failures, 10))
        self._failures += 1
        shaken = 0.5 + os.urandom(1)[0] / 510
        self.state = Down(str(error), max(now_s, time.monotonic()) + delay_s * shaken)

    def while_up(self, request: Callable[[], None], now_s: float) -> None:
        """Make a request where there is a connection; one that turns out to be gone is lost."""
        if not self.is_up:
            return
        try:
            request()
        except XenstoreError as error:
            self.lose(error, now_s)

    def ask(self, now_s: float) -> None:
        """Find out whether xenstored lives: the kernel's device does not show when it has died."""
        self.while_up(self._read_target, now_s)

    def read_all(self) -> None:
        """Everything the host says of this domain.

        Raises:
            XenstoreLost: the connection is gone.
        """
        self.facts, self.statuses = read_host(SessionKeys(self.session))
        if not self.session.connected:
            raise XenstoreLost(self.statuses.get("xenstore", "connection lost"))

    def _try_again(self, now_s: float) -> None:
        try:
            self.connect(now_s)
        except XenstoreUnreachable:
            return
        if self.is_up:
            self.news.add("reconnected")

    def _hear(self, now_s: float) -> None:
        assert isinstance(self.state, Up)
        if not self._bucket.take(now_s):
            self.state = self.state._replace(hears_at_s=now_s + 1.0 / HEARD_PER_S)
            return
        self.state = self.state._replace(hears_at_s=None)
        try:
            paths = {event.path for event in self.session.events()} - _OWN_KEYS
            if paths == {_TARGET}:
                self._read_target()
            elif paths:  # some other key, or the watch itself: at its registration, after a resume
                self.read_all()
        except XenstoreError as error:
            self.lose(error, now_s)
            return
        if paths:
            self.news.add("host")
        if paths & {_TARGET, _WATCHED}:  # after a resume the kernel takes the target up again, too
            self.news.add("asked")

    def _read_target(self) -> None:
        try:
            raw = Outcome(self.session.read(_TARGET), OK)
        except XenstoreRefused as error:
            raw = Outcome(None, error.status)
        target = parsed(raw, key_kib)
        garbled = raw.value if target.value is None else None
        memory = self.facts.memory._replace(
            target_kib=target.value, target_text=None if garbled is None else excerpt(garbled)
        )
        self.facts = self.facts._replace(memory=memory)
        self.statuses[f"xenstore.{_TARGET}"] = target.status
