# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether what is read now is what this boot began with, and so worth keeping as boot.json."""

from __future__ import annotations

from agent.core.account.situation import Situation
from agent.core.facts.snapshot import BootRecord
from agent.core.facts.units import pages_to_kib
from agent.core.policy.history import is_at


def record_of(situation: Situation) -> BootRecord | None:
    """The boot's record, or None when there is one or it is too late to be sure.

    The balloon must rest where the host wants it, and that must be where the boot left it: by
    the kernel's log, or because the boot has only just ended.
    """
    snapshot, balloon = situation.snapshot, situation.snapshot.balloon
    nr_pages, log = situation.boot.nr_pages, snapshot.boot_log
    if snapshot.boot_record is not None or snapshot.firmware_map is None or nr_pages is None:
        return None
    if balloon is None or balloon.current_kib is None or balloon.ballooned_kib is None:
        return None
    released_pages = log.released_pages if log else 0
    at_boot_kib = pages_to_kib(nr_pages.pages - released_pages)
    wanted_kib = situation.host_target_on_kernel_scale_kib
    rests = balloon.current_kib == balloon.target_kib == at_boot_kib
    as_asked = wanted_kib is None or is_at(balloon.target_kib, wanted_kib)
    untouched = situation.boot.ram_kib == snapshot.firmware_map.ram_kib
    if not (rests and as_asked and untouched):
        return None
    return BootRecord(
        current_kib=balloon.current_kib,
        ballooned_kib=balloon.ballooned_kib,
        e820_ram_kib=snapshot.firmware_map.ram_kib,
        host_target_kib=snapshot.host.target_kib,
        static_max_kib=snapshot.host.static_max_kib,
    )
