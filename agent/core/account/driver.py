# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver's three numbers where all of them could be read: what rules compute with."""

from __future__ import annotations

from typing import NamedTuple

from agent.core.facts.snapshot import BalloonReading, Snapshot


class Driver(NamedTuple):
    """KiB; `target_kib` may be below zero (a target less the driver's offset can be)."""

    current_kib: int
    target_kib: int
    ballooned_kib: int

    @property
    def way_kib(self) -> int:
        """How far it is to the target; below zero when memory is to be given back."""
        return self.target_kib - self.current_kib

    @property
    def grows(self) -> bool:
        return self.way_kib > 0

    @property
    def lacks_with_empty_balloon(self) -> bool:
        """Whether the guest is below its target and the balloon holds nothing to fill the gap.

        That tells pages lent to backends from pages refused.  Backends take what the balloon holds
        first, which leaves current_kb as it is; only when it is empty are pages of the guest's own
        ballooned out for them.  The hypervisor can refuse only what the driver asks for, a page of
        the balloon at a time, and what was refused stays in the balloon.
        """
        return self.grows and not self.ballooned_kib


def driver_of(balloon: BalloonReading | None) -> Driver | None:
    """None where one of the numbers is missing: no rule is to compute with an invented 0."""
    if balloon is None or balloon.current_kib is None or balloon.target_kib is None:
        return None
    if balloon.ballooned_kib is None:
        return None
    return Driver(balloon.current_kib, balloon.target_kib, balloon.ballooned_kib)


def may_hot_add(snapshot: Snapshot) -> bool:
    """Since 4.4 a kernel that can hot-add has a switch for it (/proc/sys/xen/balloon)."""
    kernel = snapshot.domain.kernel
    return snapshot.hotplug_unpopulated is not None or kernel is None or kernel < (4, 4)
