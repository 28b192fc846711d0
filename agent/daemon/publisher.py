# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes keys to xenstore: only what changed, not too often, never again what was refused.

What belongs to somebody else is neither written nor removed (`ownership`).

Relies on docs/design.md A20.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from agent.core.facts.numbers import LARGEST_SIGNED, key_decimal
from agent.daemon import key_table as k
from agent.daemon.ownership import Ownership
from agent.daemon.published_keys import Keys, is_worth_writing
from agent.daemon.token_bucket import TokenBucket
from agent.sources.outcome import OK, Outcome, parsed
from agent.sources.xenstore.errors import KeyDenied, XenstoreRefused
from agent.sources.xenstore.session import XenstoreSession

BURST: Final = 50
PER_S: Final = 5.0
REFUSED_PAUSE_S: Final = 60.0
_FIGURES: Final = frozenset(
    key.name for key in k.KEYS if key.name.startswith(k.BALLOON) and key.at_stop == "goes"
)
_FIGURES_OF_MEMORY: Final = frozenset({k.TOTAL, k.FREE})


class Published(NamedTuple):
    """What a round did: how many keys were written, (key, reason) of what was refused or left."""

    written: int
    refused: tuple[tuple[str, str], ...] = ()
    left: tuple[tuple[str, str], ...] = ()


class _Round(NamedTuple):
    """Over which connection, when, and what of it was refused."""

    session: XenstoreSession
    now_s: float
    refused: list[tuple[str, str]]


class Publisher:
    """Knows what xenstore has of us."""

    SURVIVES_REST: Final = (
        "sequence", "writes", "sent", "denied", "ownership",
        "_stale", "_has_looked", "_paused_until_s",
    )  # fmt: skip

    def __init__(self) -> None:
        self.sequence = 0
        self.writes = 0
        self.sent: dict[str, str] = {}
        self.denied: set[str] = set()
        self.ownership = Ownership()
        self._stale: set[str] = set()
        self._has_looked = False
        self._paused_until_s: dict[str, float] = {}
        self._bucket = TokenBucket(BURST, PER_S)

    def forget(self) -> None:
        """Another xenstored, or another host: nothing of ours is there any more."""
        self.sent.clear()
        self.denied.clear()
        self._stale.clear()
        self._has_looked = False
        self._paused_until_s.clear()

    def may_publish(self, key: str) -> bool:
        """Whether it is neither another's nor denied, as far as is known."""
        return key not in self.denied and key not in self.ownership.left

    def due_s(self, keys: Keys, now_s: float) -> float | None:
        """When there will be something to write; None when everything is said."""
        if self._changed(keys, now_s) or self._gone(keys):
            return now_s + (0.0 if self._bucket.has(now_s) else 1.0 / PER_S)
        # What goes along with another key has no pause, or one that is long over.
        wanted, paused = self._changed(keys, float("inf")), self._paused_until_s.items()
        return min((at_s for key, at_s in paused if key in wanted and at_s > now_s), default=None)

    def part(self, session: XenstoreSession, keys: Keys) -> None:
        """Write the last words, whatever was written a moment ago.

        Raises:
            XenstoreLost: the connection is gone.
        """
        self._bucket = TokenBucket(BURST, PER_S)
        self.publish(session, keys, float("inf"))

    def publish(
        self, session: XenstoreSession, keys: Keys, now_s: float, *, goes_on: bool = False
    ) -> Published:
        """Write what has changed; `seq` last, so that a reader of it finds the rest in place.

        Where the round before `goes_on`, the two count as one.

        Raises:
            XenstoreLost: the connection is gone; what was written counts as written.
        """
        if not self._has_looked:
            self._look_for_a_predecessor(session, keys)
        changed, gone = self._changed(keys, now_s), self._gone(keys)
        if not (changed or gone) or not (goes_on or self._bucket.take(now_s)):
            return Published(0)
        this = _Round(session, now_s, [])
        left = dict(self.ownership.left)
        written = sum(self._remove(key, this) for key in gone)
        written += sum(self._write(key, keys[key], this) for key in changed)
        told = k.UPDATED in keys and k.UPDATED in self.sent and k.UPDATED not in changed
        if told and _FIGURES_OF_MEMORY & set(changed):
            written += self._write(k.UPDATED, keys[k.UPDATED], this)
        if any(key.startswith(k.BALLOON) and key in self.sent for key in changed) or gone:
            self.sequence += 1
            written += self._write(k.SEQUENCE, str(self.sequence), this)
        self.writes += written
        news = [(key, why) for key, why in self.ownership.left.items() if key not in left]
        return Published(written, tuple(this.refused), tuple(news))

    def _changed(self, keys: Keys, now_s: float) -> list[str]:
        ours = [
            key
            for key in keys
            if self.may_publish(key) and now_s >= self._paused_until_s.get(key, float("-inf"))
        ]
        if not any(self._differs(key, keys) for key in ours):
            return []
        return [key for key in ours if self._differs(key, keys, exactly=True)]

    def _differs(self, key: str, keys: Keys, *, exactly: bool = False) -> bool:
        return key not in self.sent or is_worth_writing(key, self.sent[key], keys, exactly=exactly)

    def _gone(self, keys: Keys) -> list[str]:
        """What is no longer true of anything: a stale value is worse than none."""
        known = (*self.sent, *sorted(self._stale - self.sent.keys()))
        return [key for key in known if key not in keys and k.goes_when_untrue(key)]

    def _look_for_a_predecessor(self, session: XenstoreSession, keys: Keys) -> None:
        """A daemon before this one: its sequence goes on, its figures are not left to go stale."""
        self._has_looked = True
        self.ownership.look(session)
        try:
            there = {f"{k.BALLOON}/{name}" for name in session.list(k.BALLOON)}
            sequence = parsed(Outcome(session.read(k.SEQUENCE), OK), key_decimal).value or 0
            profile = session.read(k.PROFILE) if k.PROFILE in there else b""
        except XenstoreRefused:
            return  # there was none
        self._stale = there & _FIGURES
        if profile == b"xapi" and k.ACTIVE not in keys:
            self._stale.add(k.ACTIVE)
        if sequence < LARGEST_SIGNED:
            self.sequence = max(self.sequence, sequence)

    def _write(self, key: str, value: str, this: _Round) -> int:
        if not k.is_shared(key):
            return self._put(key, value, this)
        ownership = self.ownership
        ours = ownership.may_write(this.session, key, self.sent)
        if ours:
            ownership.made.add(key)
        else:
            self.sent.pop(key, None)
        # What is ours is recorded before it is there, and no longer than it is ours.
        record = ownership.record
        if self.sent.get(k.MADE, "") != record and not self._put(k.MADE, record, this):
            self._paused_until_s[key] = this.now_s + REFUSED_PAUSE_S
            return 0
        if not ours:
            return 0
        written = self._put(key, value, this)
        if not written:
            ownership.made.discard(key)
        return written

    def _put(self, key: str, value: str, this: _Round) -> int:
        try:
            this.session.write(key, value.encode("ascii"))
        except XenstoreRefused as error:
            if isinstance(error, KeyDenied):
                self.denied.add(key)
            else:
                self._paused_until_s[key] = this.now_s + REFUSED_PAUSE_S
            this.refused.append((key, error.errno_name))
            return 0
        self.sent[key] = value
        self._paused_until_s.pop(key, None)
        return 1

    def _remove(self, key: str, this: _Round) -> int:
        self.sent.pop(key, None)
        self._stale.discard(key)
        try:
            this.session.remove(key)
        except XenstoreRefused as error:
            this.refused.append((key, error.errno_name))
            return 0
        return 1
