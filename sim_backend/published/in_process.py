# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated domain for a command in the same process: its snapshot, files, keys and time.

Most commands look at it once, at the moment its scenario is told for.  `play` starts its story
from the beginning and lets it run in step with real time, for screens that are refreshed; when
the story is over it begins again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from agent.core.facts.snapshot import Snapshot
from agent.sources.outcome import ABSENT, OK, Outcome, malformed
from agent.sources.system_root import SMALL_LIMIT_BYTES, SystemRoot
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.guest.readings import SILENT
from sim_backend.stories import catalogue

AFTER_THE_STORY_S: Final = 5.0


class Simulation:
    """One scenario's guest.

    Raises:
        KeyError: there is no such scenario.
    """

    def __init__(self, name: str) -> None:
        self._scenario = catalogue.load(name)
        self.domain = self._scenario.domain()
        self._playing_since_s: float | None = None
        self._story_began_s = 0.0

    def play(self) -> None:
        """From now on the story runs, from its beginning and as fast as real time."""
        self.domain = self._scenario.build(0).domain
        self._playing_since_s = time.monotonic()
        self._story_began_s = self.domain.now_s()

    def snapshot(self) -> Snapshot:
        if self._playing_since_s is not None:
            played_s = time.monotonic() - self._playing_since_s
            if played_s > self._scenario.duration_s + AFTER_THE_STORY_S:
                self.play()
            else:
                self.domain.advance_to(self._story_began_s + played_s)
        return self.domain.snapshot()

    def let_pass(self, seconds: float) -> None:
        """Virtual time passes at once; while playing, real time does."""
        if self._playing_since_s is not None:
            time.sleep(seconds)
        else:
            self.domain.advance_to(self.domain.now_s() + seconds)


class SimulatedRoot(SystemRoot):
    """The simulated kernel's files, read as if they lay on a disk."""

    def __init__(self, domain: SimulatedDomain) -> None:
        super().__init__("/nonexistent")
        self._domain = domain

    def read_bytes(self, relative: str, limit_bytes: int = SMALL_LIMIT_BYTES) -> Outcome[bytes]:
        text = self._domain.files().get(relative)
        if text is None:
            return Outcome(None, ABSENT)
        content = text.encode()
        if len(content) > limit_bytes:
            return Outcome(None, malformed(f"longer than {limit_bytes} bytes"))
        return Outcome(content, OK)

    def names(self, relative: str) -> Outcome[tuple[str, ...]]:
        return _names_below(relative, self._domain.files())


class SimulatedKeys:
    """The simulated guest's part of xenstore."""

    def __init__(self, domain: SimulatedDomain) -> None:
        self._store = domain.store

    def read(self, key: str) -> Outcome[bytes]:
        if self._store.silent:
            return Outcome(None, SILENT)
        text = self._store.read(key)
        return Outcome(None, ABSENT) if text is None else Outcome(text.encode(), OK)

    def names(self, key: str) -> Outcome[tuple[str, ...]]:
        if self._store.silent:
            return Outcome(None, SILENT)
        return _names_below(key, self._store.items())

    def may_write(self, key: str) -> Outcome[bool]:
        """Whether the toolstack gave it to the guest."""
        if self._store.silent:
            return Outcome(None, SILENT)
        return Outcome(self._store.guest_may_write(key), OK)


def _names_below(directory: str, paths: Mapping[str, str]) -> Outcome[tuple[str, ...]]:
    """The first part of every path below a directory."""
    prefix = f"{directory}/"
    below = {path[len(prefix) :].partition("/")[0] for path in paths if path.startswith(prefix)}
    return Outcome(tuple(sorted(below)), OK) if below else Outcome(None, ABSENT)
