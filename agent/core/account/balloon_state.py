# SPDX-License-Identifier: GPL-2.0-or-later
"""What the balloon is doing, from the driver's numbers.

settled      current_kb is target_kb; or dom0 misses only what its backends have borrowed.
moving       on its way.
retrying     the last attempt failed; the driver tries again after schedule_delay.
cancelled    the driver has given up (since 5.15, after max_retry_count attempts) and sleeps for an
             hour or until the target changes: retry_count and schedule_delay read 1, nothing moves.
unreachable  no retry can help: the target is above static-max, or needs memory that is hot-added
             but offline, or that the kernel cannot add.
absent       no driver.

Relies on docs/design.md A13 and A26.
"""

from __future__ import annotations

from typing import Literal

from agent.core.account.target_offset import TargetOffset
from agent.core.facts.kernel_regimes import regime_of
from agent.core.facts.snapshot import BalloonReading, Snapshot

State = Literal["settled", "moving", "retrying", "cancelled", "unreachable", "absent"]


def balloon_state(snapshot: Snapshot, offset: TargetOffset | None) -> State:
    """The state at the moment of the snapshot."""
    balloon = snapshot.balloon
    if balloon is None or balloon.current_kib is None or balloon.target_kib is None:
        return "absent"
    if balloon.current_kib == balloon.target_kib:
        return "settled"
    return _state_off_target(snapshot, balloon, offset)


def _state_off_target(
    snapshot: Snapshot, balloon: BalloonReading, offset: TargetOffset | None
) -> State:
    if seen_moving(snapshot):
        return "moving"
    if _out_of_reach(snapshot, balloon, offset):
        return "unreachable"
    if (balloon.retry_count or 1) > 1 or (balloon.schedule_delay_s or 1) > 1:
        return "retrying"
    if lacks_with_empty_balloon(balloon):
        # A guest's driver pauses about 1.5 s around adding a section.
        return "settled" if snapshot.domain.is_dom0 else "moving"
    if not _gives_up(snapshot, balloon):
        return "moving"
    return "cancelled"


def seen_moving(snapshot: Snapshot) -> bool:
    """Whether the balloon was caught in motion, even by files that were read only once.

    MemTotal and the zones' managed pages are the same number, read at two moments.  And
    current_kb - MemTotal is a constant of the boot, which the log of an HVM or PVH guest tells.
    """
    balloon, memory, zones = snapshot.balloon, snapshot.memory, snapshot.zones
    if balloon is None or balloon.motion == "still":
        return False
    if balloon.motion == "moved" or balloon.read_while_moving:
        return True
    if memory is None or zones is None or balloon.current_kib is None:
        return False
    if memory.total_kib != zones.managed_pages * snapshot.domain.page_kib:
        return True
    log, domain_type = snapshot.boot_log, snapshot.domain.domain_type
    if log is None or domain_type not in ("pvh", "hvm"):
        return False
    return balloon.current_kib - memory.total_kib != log.physical_kib - log.mem_total_kib


def is_lent(snapshot: Snapshot, state: State) -> bool:
    """Whether a domain in that state is below its target because of its backends: normal there."""
    balloon = snapshot.balloon
    return state == "settled" and balloon is not None and lacks_with_empty_balloon(balloon)


def lacks_with_empty_balloon(balloon: BalloonReading) -> bool:
    """Whether the guest is below its target and the balloon holds nothing that could fill the gap.

    That tells pages lent to backends from pages refused.  Backends take what the balloon holds
    first, which leaves current_kb as it is; only when it is empty are pages of the guest's own
    ballooned out for them.  The hypervisor can refuse only what the driver asks for, a page of the
    balloon at a time, and what was refused stays in the balloon.
    """
    current_kib, target_kib = balloon.current_kib, balloon.target_kib
    if current_kib is None or target_kib is None or balloon.ballooned_kib is None:
        return False
    return current_kib < target_kib and balloon.ballooned_kib == 0


def _out_of_reach(snapshot: Snapshot, balloon: BalloonReading, offset: TargetOffset | None) -> bool:
    """Whether a target above current_kb can never be reached as things stand."""
    target_kib, static_max_kib = balloon.target_kib or 0, snapshot.host.static_max_kib
    if target_kib <= (balloon.current_kib or 0):
        return False
    if static_max_kib is not None and target_kib + (offset.kib if offset else 0) > static_max_kib:
        return True
    if balloon.ballooned_kib:
        return False
    return bool(snapshot.blocks and snapshot.blocks.offline)


def _gives_up(snapshot: Snapshot, balloon: BalloonReading) -> bool:
    """Whether this driver drops a target at all (max_retry_count 0: never)."""
    if balloon.max_retry_count == 0:
        return False
    return regime_of(snapshot.domain.kernel).gives_up
