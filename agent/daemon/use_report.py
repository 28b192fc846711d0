# SPDX-License-Identifier: GPL-2.0-or-later
"""What a qube says of its use of memory, as promptly as Qubes' own meminfo-writer.

qmemman leaves a qube 1.3 times what it says: a figure that is too small, or late, lets it be taken
down to where its programs are killed.  What counts and when it is written anew is read in
QubesOS/qubes-linux-utils 25063069abf5, qmemman/meminfo-writer.c, and held against recordings of it
(tests/recordings).

meminfo-writer looks ten times a second for ever.  This one looks once a second; twice a second for
half a minute after the use has moved by 8 MB between two looks; and sooner, up to ten times a
second, when at the present speed half of the way to the next figure would be over.
"""

from __future__ import annotations

from typing import Final

from agent.core.facts.snapshot import MemoryReading
from agent.daemon.key_table import SWAPPED, USED
from agent.sources.meminfo import read_meminfo
from agent.sources.system_root import SystemRoot
from agent.sources.xen_memory import read_current_kib

CHANGE_KIB: Final = 30_000
LOOK_SOON_S: Final = 0.1
LOOK_CALM_S: Final = 1.0
_LOOK_WATCHFUL_S: Final = 0.5
_WATCHFUL_FOR_S: Final = 30.0
_SPEED_OVER_S: Final = 0.5  # so that what only flickers has none
_LEAP_KIB: Final = 8_000
_TRIES: Final = 3


def used_kib(memory: MemoryReading, current_kib: int | None) -> int:
    """Memory in use as Qubes counts it; what the kernel itself holds is in it.

    Negative where the kernel's figures are of two moments.
    """
    page_cache_kib = memory.cached_kib - memory.reclaimable_kib
    total_kib = current_kib or memory.total_kib
    return total_kib - memory.free_kib - memory.buffers_kib - page_cache_kib + swapped_kib(memory)


def swapped_kib(memory: MemoryReading) -> int:
    """Swap in use."""
    return memory.swap_total_kib - memory.swap_free_kib


def band_kib(now_kib: int, said_kib: int, total_kib: int) -> int:
    """By more than this the use has to differ from what was said of it to be said anew.

    Half of it is enough upwards where the qube is nearly full: above ten thirteenths, which is
    where 1.3 times its use is more than it has.
    """
    nearly_full = now_kib // 10 > -(-total_kib // 13)
    return CHANGE_KIB // 2 if nearly_full and now_kib > said_kib else CHANGE_KIB


class UseReport:
    """Says when to look, and from look to look what the host is to be told."""

    def __init__(self) -> None:
        self.due_s = float("-inf")
        self.said_kib: int | None = None
        self.swapped_kib = 0
        self._seen_kib: int | None = None
        self._earlier: tuple[float, int] | None = None
        self._watchful_until_s = float("-inf")

    def look(self, root: SystemRoot, now_s: float) -> None:
        """Read the two files that tell, so that they belong together, and plan the next look."""
        memory, current_kib = None, read_current_kib(root)
        for _ in range(_TRIES):
            before_kib, memory = current_kib, read_meminfo(root).value
            current_kib = read_current_kib(root)
            if current_kib == before_kib:
                break
        if memory is None:
            self.due_s = now_s + LOOK_CALM_S
        else:
            self.note(memory, current_kib, now_s)

    def note(self, memory: MemoryReading, current_kib: int | None, now_s: float) -> bool:
        """Take a look in; whether there is a new figure."""
        now_kib, total_kib = used_kib(memory, current_kib), current_kib or memory.total_kib
        self.swapped_kib = swapped_kib(memory)
        if now_kib < 0:  # never said
            self.due_s = now_s + LOOK_CALM_S
            return False
        first = self.said_kib is None
        said_kib = now_kib if self.said_kib is None else self.said_kib
        left_kib = band_kib(now_kib, said_kib, total_kib) - abs(now_kib - said_kib)
        # As in meminfo-writer, whatever follows a nothing is said.
        news = first or left_kib < 0 or (not said_kib and now_kib > 0)
        if news:
            self.said_kib, left_kib = now_kib, CHANGE_KIB
        self._plan(now_kib, left_kib, now_s, leaps=news and not first)
        return news

    def keys(self) -> dict[str, str]:
        if self.said_kib is None:
            return {}
        return {USED: str(self.said_kib), SWAPPED: str(self.swapped_kib)}

    def _plan(self, now_kib: int, left_kib: int, now_s: float, *, leaps: bool) -> None:
        seen_kib = now_kib if self._seen_kib is None else self._seen_kib
        self._seen_kib = now_kib
        if leaps or abs(now_kib - seen_kib) >= _LEAP_KIB:
            self._watchful_until_s = now_s + _WATCHFUL_FOR_S
        wait_s = LOOK_CALM_S if now_s >= self._watchful_until_s else _LOOK_WATCHFUL_S
        earlier_s, earlier_kib = self._earlier or (now_s, now_kib)
        elapsed_s, moved_kib = now_s - earlier_s, abs(now_kib - earlier_kib)
        if moved_kib and elapsed_s > 0:
            wait_s = max(LOOK_SOON_S, min(wait_s, left_kib / 2 / (moved_kib / elapsed_s)))
        if self._earlier is None or elapsed_s >= _SPEED_OVER_S:
            self._earlier = (now_s, now_kib)
        self.due_s = now_s + wait_s
