# SPDX-License-Identifier: GPL-2.0-or-later
"""From maxmem to what applications can use, every KiB named.

    maxmem      1048576
      ballooned         -524288
    current      524288
      struct-pages       -16384
      ...
    total        456048
      used               -75456
      ...
    available    380268

Each level is the one before plus its steps, exactly; a step that is only what was left over says
`inferred`.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from agent.core.account.headroom import limit_kib
from agent.core.account.reconcile import Reconciliation
from agent.core.account.situation import Situation
from agent.core.facts.snapshot import MemoryReading

LevelName = Literal["maxmem", "map", "current", "total", "available"]

# Terms of the reconciliation that make up the map as the balloon driver counts it; the others say
# where its RAM is.
_MAP_TERMS: Final = (
    "e820-ram", "partial-pages", "isa-hole", "page-zero", "released", "kernel-cut",
)  # fmt: skip


class Step(NamedTuple):
    """What lies between two levels; `kib` has its sign, and is never 0."""

    name: str
    kib: int
    why: str
    inferred: bool = False


class Level(NamedTuple):
    """A figure that people know, and the steps that lead to it from the level before."""

    name: LevelName
    kib: int
    steps: tuple[Step, ...]


class Waterfall(NamedTuple):
    """The levels that are known, the largest first; the first has no steps.

    `free_kib` and `cache_kib` are the two kinds of memory that make up the level "available".
    """

    levels: tuple[Level, ...]
    free_kib: int | None = None
    cache_kib: int | None = None


def waterfall(situation: Situation) -> Waterfall:
    """All levels that can be told; never raises."""
    snapshot = situation.snapshot
    current_kib = snapshot.balloon.current_kib if snapshot.balloon else None
    memory = snapshot.memory
    levels: list[Level] = []
    limit = limit_kib(snapshot)
    if limit is not None and current_kib is not None:
        levels.append(Level("maxmem", limit, ()))
    terms = situation.reconciliation.terms
    if terms:
        mapped_kib = sum(term.kib for term in terms if term.name in _MAP_TERMS)
        _add(levels, "map", mapped_kib, _to_map(levels, mapped_kib, situation.offset_kib))
    if current_kib is not None:
        steps = _to_current(levels, current_kib, situation.reconciliation)
        _add(levels, "current", current_kib, steps)
    if memory is None:
        return Waterfall(tuple(levels))
    parts = situation.overhead
    steps = [Step(t.name, -t.kib, t.why, t.inferred) for t in parts.terms] if parts else []
    _add(levels, "total", memory.total_kib, steps)
    _add(levels, "available", memory.available_kib, _to_available(memory))
    free_kib = min(memory.free_kib, memory.available_kib)
    return Waterfall(tuple(levels), free_kib, memory.available_kib - free_kib)


def _add(levels: list[Level], name: LevelName, kib: int, steps: list[Step]) -> None:
    """Append a level; the first one has nothing before it to come from."""
    levels.append(Level(name, kib, tuple(step for step in steps if step.kib) if levels else ()))


def _to_map(levels: list[Level], mapped_kib: int, offset_kib: int) -> list[Step]:
    """From the host's limit to the map."""
    if not levels:
        return []
    beyond_kib = levels[-1].kib - offset_kib - mapped_kib
    name, why = "not-in-the-map", "allowed by the host, but the map of this boot ends before it"
    if beyond_kib < 0:
        name, why = "map-beyond-maxmem", "hot-added RAM that the host's limit does not cover"
    apart = "counted by the host only: video memory, firmware, the legacy hole"
    return [Step("not-for-linux", -offset_kib, apart), Step(name, -beyond_kib, why)]


def _to_current(levels: list[Level], current_kib: int, result: Reconciliation) -> list[Step]:
    """From the map (or the limit) to what is populated."""
    if not levels:
        return []
    if result.identity is None:
        why = "somewhere between the host's limit and the guest"
        return [Step("not-populated", current_kib - levels[-1].kib, why, inferred=True)]
    steps = [
        Step(term.name, term.kib, term.why, term.inferred)
        for term in result.terms
        if term.name not in _MAP_TERMS and term.name != "current"
    ]
    return [*steps, Step("unexplained", -(result.unexplained_kib or 0), "in no count")]


def _to_available(memory: MemoryReading) -> list[Step]:
    """From MemTotal to MemAvailable.

    The kernel counts neither its low watermarks nor about half of the cache as available
    (mm/show_mem.c, si_mem_available); what is not in use and not available is `kept-back`.
    """
    idle_kib = min(memory.total_kib, memory.free_kib + memory.cached_kib)
    kept_kib = max(0, idle_kib - memory.available_kib)
    used_kib = memory.total_kib - memory.available_kib - kept_kib
    why = "free or cache, but not to be given away: watermarks, cache that is in use"
    return [
        Step("used", -used_kib, "by programs and by the kernel for them"),
        Step("kept-back", -kept_kib, why),
    ]
