# SPDX-License-Identifier: GPL-2.0-or-later
"""squeezed's policy, as arithmetic: who gets how much, and who is stuck.

Every domain that can balloon gets its dynamic-min and the same share of its dynamic range, so that
the host keeps some memory free.  Memory is freed before any is given.  A domain that has made no
progress for 5 s counts as inactive and the others make up for it.  Read in xen-api e2ee48d6883e,
ocaml/squeezed/lib/squeeze.ml, and held against recordings of it (tests/recordings).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

from agent.core.facts.units import MIB_KIB

INACCURACY_KIB: Final = 4
STUCK_AFTER_S: Final = 5.0
TOLERANCE_KIB: Final = 512
NOBODY: Final = -1

Verdict = Literal["success", "adjust", "failed"]


class Release(NamedTuple):
    """What releases of squeezed differ in.

    Attributes:
        kept_free_kib: what is always kept free.  9 MiB until v26.3.0 (4275f76a6c), which took
            Xen's own limit of 64 MiB for the first MiB of it.
        spares_who_cannot: the limit of a domain that cannot balloon is only ever raised, since
            v26.5.0 (0c3aaca7d4).
    """

    kept_free_kib: int
    spares_who_cannot: bool


V25: Final = Release(9 * MIB_KIB, spares_who_cannot=False)
V26_3: Final = Release(72 * MIB_KIB, spares_who_cannot=False)
V26_5: Final = Release(72 * MIB_KIB, spares_who_cannot=True)
KEPT_FREE_KIB: Final = V26_5.kept_free_kib


class Squeezable(NamedTuple):
    """A domain as squeezed sees it; `actual_kib` is without its memory-offset."""

    domid: int
    can_balloon: bool
    dynamic_min_kib: int
    target_kib: int
    dynamic_max_kib: int
    actual_kib: int

    @property
    def has_hit_target(self) -> bool:
        """Within a page."""
        return abs(self.actual_kib - self.target_kib) <= INACCURACY_KIB

    @property
    def range_kib(self) -> int:
        """How far its target may vary."""
        return max(0, self.dynamic_max_kib - self.dynamic_min_kib)

    @property
    def least_freeable_kib(self) -> int:
        """What it gives at least when it is asked down to dynamic-min."""
        return max(0, self.actual_kib - self.dynamic_min_kib - 2 * INACCURACY_KIB)

    def clipped_kib(self) -> int:
        """What an inactive domain may have: it can free memory, but not take any."""
        least_kib = min(self.target_kib, self.actual_kib)
        return min(self.dynamic_max_kib, max(self.dynamic_min_kib, least_kib))


class Iteration(NamedTuple):
    """One round: new targets and limits by domid; `stuck` are those to blame for a failure."""

    verdict: Verdict
    targets: Mapping[int, int]
    limits: Mapping[int, int]
    stuck: tuple[int, ...]


def proportional_targets(
    domains: Sequence[Squeezable], free_kib: int, wanted_free_kib: int
) -> dict[int, int]:
    """(target - min) / (max - min) is the same for all."""
    most_kib = free_kib + sum(domain.least_freeable_kib for domain in domains)
    surplus_kib = max(0, most_kib - wanted_free_kib)
    total_range_kib = sum(domain.range_kib for domain in domains)
    gamma = min(1.0, surplus_kib / total_range_kib) if total_range_kib else 0.0
    return {
        domain.domid: domain.dynamic_min_kib + int(gamma * domain.range_kib) for domain in domains
    }


def share_of_range(
    domains: Sequence[Squeezable], free_kib: int, kept_kib: int, least_kib: int, most_kib: int
) -> int:
    """What a domain of that range gets that is still to be built: all that are there count."""
    newcomer = Squeezable(NOBODY, True, least_kib, least_kib, most_kib, 0)
    return proportional_targets([newcomer, *domains], free_kib, kept_kib)[NOBODY]


def is_unbalanced(
    domains: Sequence[Squeezable], free_kib: int, kept_kib: int, now_s: float
) -> bool:
    """Whether one that looks for the first time would give any domain another target."""
    seen = Squeezer().iterate(domains, free_kib, kept_kib, now_s, enough_kib=None)
    has = {domain.domid: domain.target_kib for domain in domains}
    return seen.verdict == "adjust" and any(kib != has[n] for n, kib in seen.targets.items())


def is_enough_already(domains: Sequence[Squeezable], free_kib: int, wanted_free_kib: int) -> bool:
    """Whether a request need not move anybody: there is as much, and nobody is on its way."""
    at_rest = all(domain.has_hit_target for domain in domains if domain.can_balloon)
    return wanted_free_kib <= free_kib and at_rest


class Squeezer:
    """One attempt to bring the host's free memory to what is wanted; remembers who is stuck."""

    def __init__(self) -> None:
        self._actual_kib: dict[int, int] = {}
        self._progress_s: dict[int, float] = {}
        self._stuck: set[int] = set()
        self._inactive: frozenset[int] = frozenset()

    def is_active(self, domid: int) -> bool:
        """Whether the domain moves, or has nothing to do."""
        return domid in self._progress_s and domid not in self._stuck

    def iterate(
        self,
        domains: Sequence[Squeezable],
        free_kib: int,
        wanted_free_kib: int,
        now_s: float,
        *,
        enough_kib: int | None,
    ) -> Iteration:
        """One look at the host; done each second until the verdict is another than "adjust".

        Success is to have at least `enough_kib`, which is what is wanted unless a range was asked
        for; None: no more free than wanted, as in balancing.
        """
        self._watch(domains, now_s)
        active = [d for d in domains if d.can_balloon and self.is_active(d.domid)]
        inactive = frozenset(d.domid for d in domains) - {d.domid for d in active}
        newly_inactive, self._inactive = inactive - self._inactive, inactive
        targets = self._phase(active, proportional_targets(active, free_kib, wanted_free_kib))
        settled = all(domain.has_hit_target for domain in active)
        same = all(d.target_kib == targets.get(d.domid, d.target_kib) for d in active)
        goes_on = not settled or not same
        limits = {d.domid: d.target_kib for d in domains} | (targets if goes_on else {})
        limits |= {d.domid: d.clipped_kib() for d in domains if d.domid in newly_inactive}
        if goes_on:
            return Iteration("adjust", targets, limits, ())
        if enough_kib is None:
            enough = free_kib - wanted_free_kib < TOLERANCE_KIB
        else:
            enough = free_kib >= enough_kib
        stuck = tuple(d.domid for d in domains if d.can_balloon and d.domid in inactive)
        return Iteration("success" if enough else "failed", {}, limits, stuck)

    @staticmethod
    def _phase(active: Sequence[Squeezable], targets: Mapping[int, int]) -> dict[int, int]:
        """Those who give, as long as there are any; then those who get."""
        freeing = {
            d.domid: targets[d.domid]
            for d in active
            if targets[d.domid] < d.actual_kib - INACCURACY_KIB
        }
        return freeing or dict(targets)

    def _watch(self, domains: Sequence[Squeezable], now_s: float) -> None:
        for gone in self._progress_s.keys() - {domain.domid for domain in domains}:
            del self._progress_s[gone], self._actual_kib[gone]
            self._stuck.discard(gone)
        for domain in domains:
            domid, actual_kib = domain.domid, domain.actual_kib
            moved_kib = actual_kib - self._actual_kib.get(domid, actual_kib)
            self._actual_kib[domid] = actual_kib
            self._progress_s.setdefault(domid, now_s)
            away_kib = 0 if domain.has_hit_target else domain.target_kib - actual_kib
            if moved_kib * away_kib > 0:
                self._progress_s[domid] = now_s
                self._stuck.discard(domid)
            if away_kib and now_s - self._progress_s[domid] > STUCK_AFTER_S:
                self._stuck.add(domid)
