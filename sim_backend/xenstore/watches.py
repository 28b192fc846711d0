# SPDX-License-Identifier: GPL-2.0-or-later
"""Watches: who wants to hear of which path, found by the path that changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sim_backend.xenstore.names import ancestry

Deliver = Callable[[str, str], None]


class Watch(NamedTuple):
    """One watch of one client of the store.

    `age`: the serial numbers of client and watch, the order in which watches are told.
    `deliver`: takes path and token of an event.  `prefix_chars`: how much of a path its owner
    never wrote.
    """

    age: tuple[int, int]
    domid: int
    deliver: Deliver
    path: str
    token: str
    prefix_chars: int

    def tell(self, path: str) -> None:
        """Deliver an event: to its owner a changed path is relative when the watch is."""
        self.deliver(path[self.prefix_chars :], self.token)


class WatchTable:
    """All watches of a store, by path, so that a change costs its depth and not their number."""

    def __init__(self) -> None:
        self._by_path: dict[str, list[Watch]] = {}

    def add(self, watch: Watch) -> None:
        self._by_path.setdefault(watch.path, []).append(watch)

    def remove(self, watch: Watch) -> None:
        beside = self._by_path[watch.path]
        beside.remove(watch)
        if not beside:
            del self._by_path[watch.path]

    def concerned(self, path: str, *, exact: bool) -> list[Watch]:
        """Watches on `path`, and unless `exact` on any directory above; oldest client first."""
        places = [path] if exact else ancestry(path)
        found = [watch for place in places for watch in self._by_path.get(place, ())]
        return sorted(found, key=lambda watch: watch.age)
