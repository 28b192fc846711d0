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

from agent.core.account.boot_facts import BootFacts, uncounted_kib
from agent.core.facts.kernel_regimes import regime_of
from agent.core.facts.snapshot import Snapshot
from agent.core.facts.units import PAGE_KIB

Basis = Literal["same-scale", "static-max", "settled-target"]

# Seen: 388 KiB (PVH) and 396 KiB (HVM without video memory); real ones add the video memory,
# 16 MiB at most by default, and XAPI's shim.
LARGEST_USUAL_KIB: Final = 128 * 1024


class TargetOffset(NamedTuple):
    """`kib` = memory/target minus the kernel's target, and what that rests on."""

    kib: int
    basis: Basis


def target_offset(snapshot: Snapshot, boot: BootFacts) -> TargetOffset | None:
    """The offset, or None when neither static-max nor a settled balloon tells."""
    domain_type = snapshot.domain.domain_type
    if domain_type is None:
        return None
    if snapshot.domain.is_pv or domain_type == "dom0-pvh":
        return TargetOffset(0, "same-scale")
    if not regime_of(snapshot.domain.kernel).target_diff:
        return TargetOffset(0, "same-scale")
    by_static_max = _by_static_max(snapshot, boot)
    by_target = _by_settled_target(snapshot)
    if by_static_max is not None and _usual(by_static_max):
        return TargetOffset(by_static_max, "static-max")
    if by_target is not None and _usual(by_target):
        # static-max was rewritten after the boot (xl mem-max, Qubes): it does not tell any more.
        return TargetOffset(by_target, "settled-target")
    return None


def _usual(kib: int) -> bool:
    return 0 <= kib <= LARGEST_USUAL_KIB


def _by_static_max(snapshot: Snapshot, boot: BootFacts) -> int | None:
    """static-max less the pages the driver counted at boot."""
    static_max_kib = snapshot.host.static_max_kib
    if snapshot.boot_record is not None:
        static_max_kib = snapshot.boot_record.static_max_kib or static_max_kib
    if static_max_kib is None or snapshot.firmware_map is None or boot.ram_kib is None:
        return None
    counted_kib = boot.ram_kib - uncounted_kib(snapshot.firmware_map, snapshot.domain.domain_type)
    return static_max_kib // PAGE_KIB * PAGE_KIB - counted_kib  # the driver counts whole pages


def _by_settled_target(snapshot: Snapshot) -> int | None:
    """memory/target less target_kb, where the balloon has reached what it aims at."""
    balloon, host_kib = snapshot.balloon, snapshot.host.target_kib
    if balloon is None or host_kib is None or balloon.target_kib is None:
        return None
    if balloon.current_kib != balloon.target_kib:
        return None
    return host_kib - balloon.target_kib
