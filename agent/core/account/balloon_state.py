# SPDX-License-Identifier: GPL-2.0-or-later
"""What the balloon is doing, from the driver's numbers.

settled      current_kb is target_kb; or dom0 misses only what its backends have borrowed.
moving       on its way: it was seen to move, or its last attempt succeeded and nothing can refuse
             the next one.
retrying     the last attempt failed; the driver tries again after schedule_delay.
cancelled    the driver has given up (after max_retry_count attempts; an hour's sleep since 5.15)
             and sleeps until the target changes: retry_count and schedule_delay read 1, nothing
             moves.
unreachable  no retry can help: the target is above static-max, or needs memory that is hot-added
             but offline, or is beyond the map by what the host counts and the kernel does not.
unclear      off its target, and one look cannot tell whether it moves.
absent       no driver, or its numbers could not be read.

Relies on docs/design.md A13 and A26.
"""

from __future__ import annotations

from typing import Literal

from agent.core.account.driver import Driver, driver_of, may_hot_add
from agent.core.account.shortage import least_available_kib
from agent.core.account.target_offset import TargetOffset, counted_beyond_kib
from agent.core.facts.kernel_regimes import regime_of
from agent.core.facts.snapshot import BalloonReading, Snapshot

State = Literal["settled", "moving", "retrying", "cancelled", "unreachable", "unclear", "absent"]
Refusal = Literal["hypervisor", "guest-memory", "hot-add", "empty-balloon"]


def balloon_state(snapshot: Snapshot, offset: TargetOffset | None) -> State:
    """One of the states above, whatever could be read."""
    balloon = snapshot.balloon
    if balloon is None or balloon.current_kib is None or balloon.target_kib is None:
        return "absent"
    if balloon.current_kib == balloon.target_kib:
        return "settled"
    driver = driver_of(balloon)
    return "unclear" if driver is None else _off_target(snapshot, balloon, driver, offset)


def refused_by(snapshot: Snapshot, state: State) -> Refusal | None:
    """Who stands in the way of a target that is not reached, as far as the numbers tell.

    The hypervisor is asked only for pages that the balloon holds.  With an empty balloon the kernel
    would have to hot-add memory; where it was not built for that, nobody was ever asked.
    """
    driver = driver_of(snapshot.balloon)
    if driver is None or state in ("settled", "moving", "absent"):
        return None
    if not driver.grows:
        return "guest-memory"
    if driver.ballooned_kib:
        return "hypervisor"
    return "hot-add" if may_hot_add(snapshot) else "empty-balloon"


def _off_target(
    snapshot: Snapshot, balloon: BalloonReading, driver: Driver, offset: TargetOffset | None
) -> State:
    if _was_caught(balloon):
        return "moving"
    if _out_of_reach(snapshot, driver, offset):
        return "unreachable"
    if _failed_last(balloon):
        return "retrying"
    if seen_moving(snapshot):
        return "moving"
    return _without_a_failure(snapshot, balloon, driver)


def _was_caught(balloon: BalloonReading) -> bool:
    return balloon.motion == "moved" or balloon.read_while_moving


def _failed_last(balloon: BalloonReading) -> bool:
    """Whether the driver rests between two attempts."""
    return (balloon.retry_count or 1) > 1 or (balloon.schedule_delay_s or 1) > 1


def _without_a_failure(snapshot: Snapshot, balloon: BalloonReading, driver: Driver) -> State:
    """Off its target, and the numbers show neither motion nor a failed attempt."""
    if driver.lacks_with_empty_balloon:
        if snapshot.domain.is_dom0:
            return "settled"
        # A driver that can hot-add pauses about 1.5 s around adding a section.
        return "unclear" if counted_beyond_kib(snapshot) is None else "unreachable"
    if balloon.motion == "still":
        return "cancelled" if gives_up(snapshot) else "unclear"
    return "moving" if _cannot_be_refused(snapshot, balloon, driver) else "unclear"


def _cannot_be_refused(snapshot: Snapshot, balloon: BalloonReading, driver: Driver) -> bool:
    """Whether a driver that has not been refused cannot have given up either.

    It gives up only after refusals; where it never does, a refusal would show as a retry.
    """
    if driver.grows:
        return balloon.retry_count is not None and not gives_up(snapshot)
    memory = snapshot.memory
    if memory is None:
        return False
    return memory.available_kib + driver.way_kib > least_available_kib(memory)


def seen_moving(snapshot: Snapshot) -> bool:
    """Whether the balloon was caught in motion, even by files that were read only once.

    They are read in this order: current_kb, MemTotal, the zones.  MemTotal and the zones' managed
    pages are the same number, read at two moments.  And current_kb - MemTotal is a constant of the
    boot, which the log of an HVM or PVH guest tells.
    """
    balloon, memory, zones = snapshot.balloon, snapshot.memory, snapshot.zones
    if balloon is None or _was_caught(balloon):
        return balloon is not None
    if balloon.motion == "still" or _failed_last(balloon):
        return False
    if memory is None or zones is None or balloon.current_kib is None:
        return False
    managed_kib = zones.managed_pages * snapshot.domain.page_kib
    if _counts_managed(snapshot) and leads_to_target(balloon, managed_kib - memory.total_kib):
        return True
    kept_kib = _kept_since_boot_kib(snapshot)
    return kept_kib is not None and leads_to_target(
        balloon, kept_kib - (balloon.current_kib - memory.total_kib)
    )


def _kept_since_boot_kib(snapshot: Snapshot) -> int | None:
    """current_kb - MemTotal of a balloon that stands still; None where the log does not tell it."""
    log, domain_type, blocks = snapshot.boot_log, snapshot.domain.domain_type, snapshot.blocks
    if log is None or not log.whole or domain_type not in ("pvh", "hvm"):
        return None
    if blocks is not None and blocks.offline:
        return None  # what is offline is in current_kb and not in MemTotal
    return log.physical_kib - log.mem_total_kib


def leads_to_target(balloon: BalloonReading, later_kib: int) -> bool:
    """Whether a figure that was read later shows the balloon nearer to its target.

    A difference the other way, or beyond the target, has another cause than a balloon that moves.
    """
    way_kib = (balloon.target_kib or 0) - (balloon.current_kib or 0)
    if not way_kib:
        return later_kib != 0
    return bool(later_kib) and (later_kib > 0) == (way_kib > 0) and abs(later_kib) <= abs(way_kib)


def _counts_managed(snapshot: Snapshot) -> bool:
    """Until Linux 3.11 the driver moved MemTotal and left the zones' managed pages as they were.

    drivers/xen/balloon.c: adjust_managed_page_count since 3dcc0571cd64.
    """
    kernel = snapshot.domain.kernel
    return kernel is None or kernel >= (3, 11)


def is_lent(snapshot: Snapshot, state: State) -> bool:
    """Whether a domain in that state is below its target because of its backends: normal there."""
    driver = driver_of(snapshot.balloon)
    return state == "settled" and driver is not None and driver.lacks_with_empty_balloon


def _out_of_reach(snapshot: Snapshot, driver: Driver, offset: TargetOffset | None) -> bool:
    """Whether a target above current_kb can never be reached as things stand."""
    static_max_kib = snapshot.host.static_max_kib
    if not driver.grows:
        return False
    offset_kib = offset.kib if offset else 0
    if static_max_kib is not None and driver.target_kib + offset_kib > static_max_kib:
        return True
    return not driver.ballooned_kib and bool(snapshot.blocks and snapshot.blocks.offline)


def gives_up(snapshot: Snapshot) -> bool:
    """Whether this driver drops a target that is refused: its own file tells (0: never)."""
    balloon = snapshot.balloon
    if balloon is not None and balloon.max_retry_count is not None:
        return balloon.max_retry_count != 0
    return regime_of(snapshot.domain.kernel).gives_up
