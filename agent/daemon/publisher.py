# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes keys to xenstore: only what changed, not too often, and never again what was refused.

Relies on docs/design.md A20.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from agent.core.facts.untrusted import LARGEST_SIGNED, parse_decimal
from agent.daemon.allowance import Allowance
from agent.daemon.published_keys import (
    BALLOON,
    FEATURE,
    FIGURES,
    SEQUENCE,
    UPDATED,
    Keys,
    is_worth_writing,
)
from agent.sources.xenstore.errors import KeyDenied, XenstoreRefused
from agent.sources.xenstore.session import XenstoreSession

BURST: Final = 50
PER_S: Final = 5.0
REFUSED_PAUSE_S: Final = 60.0


class Published(NamedTuple):
    """What a round did: how many keys were written, and (key, reason) of what was refused."""

    written: int
    refused: tuple[tuple[str, str], ...] = ()


class Publisher:
    """Knows what xenstore has of us."""

    def __init__(self) -> None:
        self.sequence = 0
        self.writes = 0
        self.sent: dict[str, str] = {}
        self.denied: set[str] = set()
        self._left: set[str] = set()
        self._has_looked = False
        self._paused_until_s: dict[str, float] = {}
        self._allowance = Allowance(BURST, PER_S)

    def forget(self) -> None:
        """Another xenstored, or another host: nothing of ours is there any more."""
        self.sent.clear()
        self.denied.clear()
        self._left.clear()
        self._has_looked = False
        self._paused_until_s.clear()

    def due_s(self, keys: Keys, now_s: float) -> float | None:
        """When there will be something to write; None when everything is said."""
        if not self._changed(keys, float("inf")) and not self._gone(keys):
            return None
        if self._changed(keys, now_s) or self._gone(keys):
            return now_s + (0.0 if self._allowance.has(now_s) else 1.0 / PER_S)
        return min(self._paused_until_s.values(), default=None)

    def part(self, session: XenstoreSession, keys: Keys) -> Published:
        """Write the last words, whatever was written a moment ago.

        Raises:
            XenstoreLost: the connection is gone.
        """
        self._allowance = Allowance(BURST, PER_S)
        return self.publish(session, keys, float("inf"))

    def publish(
        self, session: XenstoreSession, keys: Keys, now_s: float, time_of_day: str = ""
    ) -> Published:
        """Write what has changed; `seq` last, so that a reader of it finds the rest in place.

        `time_of_day` goes to data/updated with new figures of memory; XAPI looks for it.

        Raises:
            XenstoreLost: the connection is gone; what was written counts as written.
        """
        if not self._has_looked:
            self._look_for_a_predecessor(session)
        changed, gone = self._changed(keys, now_s), self._gone(keys)
        if not (changed or gone) or not self._allowance.has(now_s):
            return Published(0)
        self._allowance.take(now_s)
        refused: list[tuple[str, str]] = []
        written = sum(self._remove(session, key, refused) for key in gone)
        for key in changed:
            written += self._write(session, key, keys[key], now_s, refused)
        if time_of_day and any(key.startswith("data/meminfo_") for key in changed):
            written += self._write(session, UPDATED, time_of_day, now_s, refused)
        if any(key.startswith(BALLOON) and key in self.sent for key in changed) or gone:
            self.sequence += 1
            written += self._write(session, SEQUENCE, str(self.sequence), now_s, refused)
        self.writes += written
        return Published(written, tuple(refused))

    def _changed(self, keys: Keys, now_s: float) -> list[str]:
        return [
            key
            for key in keys
            if key not in self.denied
            and now_s >= self._paused_until_s.get(key, float("-inf"))
            and (key not in self.sent or is_worth_writing(key, self.sent[key], keys))
        ]

    def _gone(self, keys: Keys) -> list[str]:
        """What is no longer true of anything: a stale value is worse than none."""
        lasting = (SEQUENCE, UPDATED, FEATURE)
        known = (*self.sent, *sorted(self._left - self.sent.keys()))
        return [key for key in known if key not in keys and key not in lasting]

    def _look_for_a_predecessor(self, session: XenstoreSession) -> None:
        """A daemon before this one: its sequence goes on, its figures are not left to go stale."""
        self._has_looked = True
        try:
            names = session.list(BALLOON)
            sequence = parse_decimal(session.read(SEQUENCE)).value or 0
        except XenstoreRefused:
            return  # there was none
        self._left = {key for key in FIGURES if key.rpartition("/")[2] in names}
        if sequence < LARGEST_SIGNED:
            self.sequence = max(self.sequence, sequence)

    def _write(
        self,
        session: XenstoreSession,
        key: str,
        value: str,
        now_s: float,
        refused: list[tuple[str, str]],
    ) -> int:
        try:
            session.write(key, value.encode("ascii"))
        except KeyDenied as error:
            self.denied.add(key)
            refused.append((key, error.errno_name))
            return 0
        except XenstoreRefused as error:
            self._paused_until_s[key] = now_s + REFUSED_PAUSE_S
            refused.append((key, error.errno_name))
            return 0
        self.sent[key] = value
        self._paused_until_s.pop(key, None)
        return 1

    def _remove(self, session: XenstoreSession, key: str, refused: list[tuple[str, str]]) -> int:
        self.sent.pop(key, None)
        self._left.discard(key)
        try:
            session.remove(key)
        except XenstoreRefused as error:
            refused.append((key, error.errno_name))
            return 0
        return 1
