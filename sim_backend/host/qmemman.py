# SPDX-License-Identifier: GPL-2.0-or-later
"""qmemman's arithmetic: what each guest prefers, and how a host's memory follows from it.

A guest prefers 1.3 times what it says it uses, at least 200 MiB and at most its maximum; dom0 350
MiB more.  When there is enough, everything is given away in proportion to that; when there is not,
those above go down to what they prefer and the rest share what is free less what that yields: a
slip, but so it is.  Read in qubes-core-admin 1ad5f9b84dc1, qubes/qmemman (algo.py, and
systemstate.py for when it is worth the trouble), and held against recordings of it
(tests/recordings).

qmemman counts bytes; a size in KiB here has fractions down to one byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from agent.core.facts.units import KIB, MIB_KIB

CACHE_FACTOR: Final = 1.3
LEAST_KIB: Final = 200 * MIB_KIB
DOM0_BOOST_KIB: Final = 350 * MIB_KIB
SAFETY_NET: Final = 1.05  # asked of a donor, so that rounding leaves nobody a little short
ROUNDING: Final = 0.999
KEPT_FREE_KIB: Final = 50 * MIB_KIB
LEAST_FREE_KIB: Final = 25 * MIB_KIB
LEAST_TRANSFER_KIB: Final = 150 * MIB_KIB
LEAST_GAIN_KIB: Final = 15 * MIB_KIB  # for one below what it prefers
LEAST_GIFT_KIB: Final = 10 * MIB_KIB  # of a donor, when memory is short


class Member(NamedTuple):
    """A domain that said what it uses; `actual_kib` is what it has or may have at any time."""

    domid: int
    used_kib: int
    actual_kib: float
    max_kib: float
    last_target_kib: float

    @property
    def preferred_kib(self) -> float:
        """What it would be given if there were neither too much nor too little."""
        wanted_kib = self.used_kib * CACHE_FACTOR
        if self.domid == 0:
            return whole_bytes(min(wanted_kib + DOM0_BOOST_KIB, self.max_kib))
        return whole_bytes(max(min(wanted_kib, self.max_kib), LEAST_KIB))

    @property
    def needed_kib(self) -> float:
        """What it lacks; negative when it has more than it prefers."""
        return self.preferred_kib - self.actual_kib


Request = tuple[int, float]
"""domid, and what it shall have in KiB."""


def whole_bytes(kib: float) -> float:
    """Rounded towards zero to a byte."""
    return int(kib * KIB) / KIB


def requests_to_free(wanted_kib: float, members: Sequence[Member]) -> list[Request]:
    """Whom to ask down for so much memory; nobody when all together cannot give it."""
    donors = [member for member in members if member.needed_kib < 0]
    available_kib = -sum(member.needed_kib for member in donors)
    if available_kib < wanted_kib or not available_kib:
        return []
    share = wanted_kib / available_kib
    return [
        (m.domid, whole_bytes(m.actual_kib + m.needed_kib * share * SAFETY_NET)) for m in donors
    ]


def balanced(free_kib: float, members: Sequence[Member]) -> list[Request]:
    """What each shall have; those who give come first.  `free_kib` is beside what is kept free."""
    available_kib = free_kib - sum(member.needed_kib for member in members)
    if available_kib > 0:
        return _with_plenty(available_kib, members)
    return _when_short(free_kib, members)


def is_worth_it(requests: Sequence[Request], members: Sequence[Member], free_kib: float) -> bool:
    """Not for small change.  `free_kib` is all that Xen has free."""
    if KEPT_FREE_KIB - free_kib > LEAST_GAIN_KIB:
        return True
    by_domid = {member.domid: member for member in members}
    moved_kib = 0.0
    for domid, target_kib in requests:
        member = by_domid[domid]
        change_kib = target_kib - member.last_target_kib
        moved_kib += abs(change_kib)
        if 0 < member.last_target_kib < member.preferred_kib and change_kib > LEAST_GAIN_KIB:
            return True
    return moved_kib + abs(free_kib - KEPT_FREE_KIB) > LEAST_TRANSFER_KIB


def _with_plenty(available_kib: float, members: Sequence[Member]) -> list[Request]:
    total_kib = sum(member.preferred_kib for member in members)
    if not total_kib:
        return []  # dom0 alone, and it may have nothing: qmemman itself would divide by it
    targets: dict[int, float] = {}
    left_kib, takers = 0.0, 0
    for member in members:
        share = member.preferred_kib / total_kib
        target_kib = whole_bytes(ROUNDING * (member.preferred_kib + share * available_kib))
        if target_kib > member.max_kib:
            left_kib += target_kib - member.max_kib
        else:
            takers += 1
        targets[member.domid] = min(target_kib, member.max_kib)
    _share_out(left_kib, takers, targets, members)
    givers_first = sorted(members, key=lambda m: targets[m.domid] >= m.actual_kib)
    return [(m.domid, targets[m.domid]) for m in givers_first]


def _share_out(
    left_kib: float, takers: int, targets: dict[int, float], members: Sequence[Member]
) -> None:
    """What some cannot take for their maximum goes to the others in equal parts."""
    while left_kib > 0 and takers > 0:
        bonus_kib = whole_bytes(ROUNDING * (left_kib / takers))
        left_kib = 0.0
        for member in members:
            target_kib = targets[member.domid]
            if target_kib >= member.max_kib:
                continue
            if target_kib + bonus_kib >= member.max_kib:
                left_kib += target_kib + bonus_kib - member.max_kib
                takers -= 1
            targets[member.domid] = min(target_kib + bonus_kib, member.max_kib)


def _when_short(free_kib: float, members: Sequence[Member]) -> list[Request]:
    donors = [m for m in members if m.needed_kib < 0 or m.actual_kib >= m.max_kib]
    takers = [m for m in members if m not in donors]
    giving = [m for m in donors if -m.needed_kib >= LEAST_GIFT_KIB]
    requests: list[Request] = [(m.domid, m.preferred_kib) for m in giving]
    to_give_kib = free_kib + sum(m.needed_kib for m in giving)
    if to_give_kib < 0:
        return requests
    total_kib = sum(member.preferred_kib for member in takers)
    for m in takers:
        target_kib = m.actual_kib + m.preferred_kib / total_kib * to_give_kib
        requests.append((m.domid, min(whole_bytes(ROUNDING * target_kib), m.max_kib)))
    return requests
