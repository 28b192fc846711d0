# SPDX-License-Identifier: GPL-2.0-or-later
"""By how much the kernel aims below `memory/target`: the driver's target_diff.

On HVM and PVH the host's target counts pages that Linux never sees as RAM (video memory, the
firmware's ranges).  Since Linux 4.13 the driver therefore takes the difference between the first
memory/static-max it reads and its own page count, once per boot, and subtracts it for ever
(drivers/xen/xen-balloon.c, watch_target; 5266b8e4445c).  The number is exported nowhere.

Relies on docs/design.md A15.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from agent.core.account.boot_facts import LARGEST_USUAL_KIB, BootFacts, mapped_kib
from agent.core.account.driver import driver_of
from agent.core.facts.kernel_regimes import regime_of
from agent.core.facts.memory_map import SYSTEM_RAM
from agent.core.facts.snapshot import Snapshot

Basis = Literal["same-scale", "static-max", "settled-target", "plain-map"]

# What libxl counts of a guest without EFI and the kernel does not, video memory apart: seen of
# every such guest in tests/captures.
_PLAIN_KIB: Final = {"pvh": 388, "hvm": 396}
_PLAIN_RANGES: Final = 3


class TargetOffset(NamedTuple):
    """`kib` = memory/target minus the kernel's target, and what that rests on."""

    kib: int
    basis: Basis


def target_offset(snapshot: Snapshot, boot: BootFacts) -> TargetOffset | None:
    """The offset, or None when neither static-max nor a settled balloon tells."""
    domain_type = snapshot.domain.domain_type
    if domain_type is None:
        return None
    if domain_type not in ("pvh", "hvm") or not regime_of(snapshot.domain.kernel).target_diff:
        return TargetOffset(0, "same-scale")
    by_static_max_kib = _by_static_max(snapshot, boot)
    candidates: tuple[tuple[int | None, Basis], ...] = (
        (by_static_max_kib, "static-max"),
        (_by_target(snapshot, settled=by_static_max_kib is None), "settled-target"),
    )
    found = [
        TargetOffset(kib, basis)
        for kib, basis in candidates
        if kib is not None and _usual(snapshot, kib)
    ]
    recorded = snapshot.boot_record is not None and snapshot.boot_record.static_max_kib is not None
    if not found or recorded:
        return found[0] if found else None
    # Where they differ, static-max was raised after the boot (xl mem-max, Edera), or a smaller
    # target was written in the guest: each makes its own figure too large.  Where both were, a map
    # as libxl makes it tells.
    least = min(found, key=lambda offset: offset.kib)
    plain_kib = _of_plain_map(snapshot)
    if plain_kib is not None and plain_kib < least.kib and found[0].kib != found[-1].kib:
        return TargetOffset(plain_kib, "plain-map")
    return least


def _of_plain_map(snapshot: Snapshot) -> int | None:
    """What the offset is of a guest of libxl whose map has no more ranges than hvmloader makes."""
    plain_kib = _PLAIN_KIB.get(snapshot.domain.domain_type or "")
    firmware_map = snapshot.firmware_map
    if plain_kib is None or firmware_map is None or snapshot.domain.toolstack != "libxl":
        return None
    if sum(region.kind == SYSTEM_RAM for region in firmware_map.regions) > _PLAIN_RANGES:
        return None
    return plain_kib + snapshot.host.video_kib


def _usual(snapshot: Snapshot, kib: int) -> bool:
    return 0 <= kib <= LARGEST_USUAL_KIB + snapshot.host.video_kib


def counted_beyond_kib(snapshot: Snapshot) -> int | None:
    """What an HVM or PVH kernel without an offset aims at beyond all that its map has, for ever.

    Before Linux 4.13 target_kb is the host's number, firmware and video memory included; with the
    whole map populated that much is missing, and is asked for again and again in vain.
    """
    driver, domain = driver_of(snapshot.balloon), snapshot.domain
    firmware_map = snapshot.firmware_map
    if driver is None or firmware_map is None or domain.domain_type not in ("hvm", "pvh"):
        return None
    if regime_of(domain.kernel).target_diff or not driver.lacks_with_empty_balloon:
        return None
    has_all = driver.current_kib >= mapped_kib(firmware_map, domain.domain_type)
    return driver.way_kib if has_all and _usual(snapshot, driver.way_kib) else None


def _by_static_max(snapshot: Snapshot, boot: BootFacts) -> int | None:
    """static-max less the pages the driver counted at boot."""
    record = snapshot.boot_record
    static_max_kib = (record and record.static_max_kib) or snapshot.host.static_max_kib
    if static_max_kib is None or boot.counted_kib is None:
        return None
    return snapshot.domain.whole_pages_kib(static_max_kib) - boot.counted_kib


def _by_target(snapshot: Snapshot, *, settled: bool) -> int | None:
    """memory/target less target_kb; where nothing else tells, only of a balloon that is there."""
    balloon, host_kib = snapshot.balloon, snapshot.host.target_kib
    if balloon is None or host_kib is None or balloon.target_kib is None:
        return None
    if settled and balloon.current_kib != balloon.target_kib:
        return None
    return snapshot.domain.whole_pages_kib(host_kib) - balloon.target_kib
