# SPDX-License-Identifier: GPL-2.0-or-later
"""kdump: the crash kernel boots in the memory reserved for it, in the same domain.

It has no balloon and knows nothing of the one before.  At the first look at memory/target it takes
static-max less the little it finds for its constant (Linux 4.13 and later), or none at all: it
then gives its memory away, or grabs for all the host ever allowed.  xenopsd removes memory/target
before such a boot for that reason (xc/domain.ml:2246-2251).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from agent.core.facts.memory_map import SYSTEM_RAM, Region, memory_map
from agent.core.facts.snapshot import BootLog
from agent.core.facts.units import MIB_KIB, PAGE_BYTES, PAGE_KIB
from sim_backend.guest.boot import LAST_LINE_S, Boot

OVERHEAD_KIB: Final = 40 * MIB_KIB
BASE: Final = 0x10000000  # crashkernel=...@256M


def crash_boot(before: Boot, reserved_kib: int, left_kib: int) -> Boot:
    """The boot of a crash kernel in `reserved_kib`: a small map, no balloon, the same domain.

    `left_kib` is what the guest still had: memory that was ballooned out is nobody's reserve.

    Raises:
        ValueError: that is no room for a kernel, or more than there is.
    """
    pages = reserved_kib // PAGE_KIB
    if not OVERHEAD_KIB < reserved_kib <= left_kib:
        raise ValueError(f"a crash kernel cannot run in {reserved_kib} KiB")
    freed_kib = before.log.freed_later_kib
    return replace(
        before,
        map=memory_map((Region(BASE, BASE + pages * PAGE_BYTES - 1, SYSTEM_RAM),)),
        present_pages=pages,
        spanned_pages=pages,
        driver=replace(before.driver, current_pages=pages, low_pages=0, high_pages=0),
        unpopulated_pages=0,
        scratch_pages=0,
        mem_total_kib=reserved_kib - OVERHEAD_KIB,
        overhead_kib=OVERHEAD_KIB,
        log=BootLog(reserved_kib, OVERHEAD_KIB + freed_kib, freed_kib, 0, LAST_LINE_S),
    )
