# SPDX-License-Identifier: GPL-2.0-or-later
"""What the balloon driver did in each era of the kernel: one table.

A regime says how the counters start, where the memory beyond the boot allocation goes, how the
worker sleeps and gives up, and which files exist.  Each row names its source.  Distributions
backport, so a kernel image names its regime and `regime_of` is only the default by release.

The agent has a table of its own, `agent.core.facts.kernel_regimes`, on purpose: either was read
from the kernels by itself, and a mistake in one of them is told by the other
(tests/sim_backend/guest/test_both_tables_agree.py).
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from agent.core.facts.kernel_regimes import Clamp
from agent.core.facts.kernel_release import KernelRelease
from agent.core.facts.memory_map import FOUR_GIB


class Regime(NamedTuple):
    """One era of drivers/xen/balloon.c and its neighbours.

    engine: "timer" retries each second for ever; "work" is a delayed work item with doubling
        delay; "thread" the same as a kernel thread that can give up for an hour.
    pv_current: where `current_kb` of a PV guest starts.  "nr-pages" (released pages not taken
        off), "less-released", or "present" (what the zones hold, less extra regions).
    hvm_current: "max-pfn" counts holes as memory, "present" does not.
    pv_extra: who holds the E820 RAM that was not populated at boot.
    map_limit: how much of maxmem the map may cover: ten times nr_pages in all, only up to the
        hypervisor's limit at boot, or ten times nr_pages besides nr_pages.
    corrects_offset: HVM and PVH subtract static-max minus boot memory from every host target.
    asks_available: deflating the guest stops at si_mem_available().
    without_hotplug: what a target beyond an empty balloon does when memory cannot be hot-added.
    first_hot_add: the lowest address tried for the first hot-added range; 0 is right above RAM.
    pvh_dom0_extra: what becomes of the host's RAM that a PVH dom0 was not given.  Left "unusable";
        RAM for unpopulated-alloc and "counted" as if dom0 had it; or RAM that is "not-counted".
    p2m_end: a PV guest that puts hot-added memory to use at this address or beyond crashes its
        balloon's worker (kernel BUG at arch/x86/xen/p2m.c); 0: it does not.
    huge_units: knows the option balloon_hugepages, which makes the balloon move 2 MiB at a time.
    """

    name: str
    first: KernelRelease
    engine: Literal["timer", "work", "thread"]
    pv_current: Literal["nr-pages", "less-released", "present"]
    hvm_current: Literal["max-pfn", "present"]
    pv_extra: Literal["balloon", "unpopulated"]
    map_limit: Clamp
    corrects_offset: bool
    max_retry_count: int
    asks_available: bool
    without_hotplug: Literal["clamp", "snap"]
    source: str
    first_hot_add: int = 0
    pvh_dom0_extra: Literal["unusable", "counted", "not-counted"] = "unusable"
    p2m_end: int = 0
    huge_units: bool = False
    backoff_files: bool = True
    driver_kb_file: bool = False


_OLD: Final = Regime(
    name="2.6.32-xen",
    first=KernelRelease(2, 6, 18),
    engine="timer",
    pv_current="nr-pages",
    hvm_current="max-pfn",
    pv_extra="balloon",
    map_limit="map-10x",
    corrects_offset=False,
    max_retry_count=0,
    asks_available=False,
    without_hotplug="clamp",
    source="xen/next-2.6.32 arch/x86/xen/setup.c:199-264, drivers/xen/balloon.c:449-505",
    huge_units=True,
    backoff_files=False,
    driver_kb_file=True,
)
_V2_6_39: Final = _OLD._replace(
    name="2.6.39-3.0",
    first=KernelRelease(2, 6, 39),
    engine="work",
    huge_units=False,
    backoff_files=True,
    driver_kb_file=False,
    source="95170b2e23d and 06f521d5d67 drivers/xen/balloon.c, both 2.6.39-rc1; "
    "2.6.39.3 and 3.0.1 arch/x86/xen/setup.c: ten times in all, whatever the reservation",
)
_V3_1: Final = _V2_6_39._replace(
    name="3.1",
    first=KernelRelease(3, 1),
    map_limit="max-reservation",
    source="d312ae878b6a (3.1-rc6) xen_get_max_pages() for every domain, seen in 3.1.3 "
    "arch/x86/xen/setup.c:188, also in 3.0.8; ended by d3db728125c4 in 3.1.6 and 3.2",
)
_V3_2: Final = _V3_1._replace(
    name="3.2-3.12",
    first=KernelRelease(3, 2),
    pv_current="less-released",
    map_limit="extra-10x",
    p2m_end=FOUR_GIB,
    source="3.2 arch/x86/xen/setup.c:170-273, drivers/xen/balloon.c:593-596; the crash in p2m.c "
    "as reported of 3.2, 3.4.18 and 3.7.6 (qubes-issues 733)",
)
_V3_13: Final = _V3_2._replace(
    name="3.13-4.3",
    first=KernelRelease(3, 13),
    p2m_end=0,
    hvm_current="present",
    source="3.13 drivers/xen/balloon.c:647-649 get_num_physpages(); 3.11 counts max_pfn",
)
_V4_4: Final = _V3_13._replace(
    name="4.4-4.12",
    first=KernelRelease(4, 4),
    without_hotplug="snap",
    source="4.4.60 drivers/xen/balloon.c:716-745; 4.2 still clamps the credit",
)
_V4_13: Final = _V4_4._replace(
    name="4.13-5.8",
    first=KernelRelease(4, 13),
    corrects_offset=True,
    source="5266b8e4445c 'xen: fix booting ballooned down hvm guest'",
)
_V5_9: Final = _V4_13._replace(
    name="5.9-5.14",
    first=KernelRelease(5, 9),
    pv_extra="unpopulated",
    source="torvalds@0ea8a56d drivers/xen/unpopulated-alloc.c init()",
)
_V5_15: Final = _V5_9._replace(
    name="5.15-5.17",  # and stable from 5.10.70 and 5.14.9 on
    first=KernelRelease(5, 15),
    engine="thread",
    max_retry_count=4,
    asks_available=True,
    source="8480ed9c2bbd, 'xen/balloon: fix cancelled balloon action'; seen on 5.10.223",
)
_V5_18: Final = _V5_15._replace(
    name="5.18-6.8",
    first=KernelRelease(5, 18),
    pv_extra="balloon",
    source="2022-04 'don't use PV mode extra memory for zone device'; seen on 6.1.192",
)
_V6_9: Final = _V5_18._replace(
    name="6.9-6.14",
    first=KernelRelease(6, 9),
    pv_extra="unpopulated",
    first_hot_add=FOUR_GIB,
    pvh_dom0_extra="counted",
    source="arch_xen_unpopulated_init; seen on 6.12.107; xen_reserve_extra_memory for PVH dom0",
)
_V6_15: Final = _V6_9._replace(
    name="6.15-6.18",
    first=KernelRelease(6, 15),
    pv_current="present",
    pvh_dom0_extra="not-counted",
    source="Xilinx@80a81375 balloon_init: current is the zones' present pages for every type; "
    "87af633689ce 'fix balloon target initialization for PVH dom0'",
)
_V6_19: Final = _V6_9._replace(
    name="6.19",
    first=KernelRelease(6, 19),
    pvh_dom0_extra="not-counted",
    source="0949c646 'Partial revert ...'",
)
_V7_0: Final = _V6_19._replace(
    name="7.0",
    first=KernelRelease(7, 0),
    source="b13cd24c 'improve accuracy of initial balloon target for dom0': the hypervisor's word, "
    "for a PV dom0 the same pages; domU seen on 7.2.13",
)

REGIMES: Final = (
    _OLD,
    _V2_6_39,
    _V3_1,
    _V3_2,
    _V3_13,
    _V4_4,
    _V4_13,
    _V5_9,
    _V5_15,
    _V5_18,
    _V6_9,
    _V6_15,
    _V6_19,
    _V7_0,
)


def regime_of(release: KernelRelease) -> Regime:
    """The regime of a mainline kernel of that release."""
    fitting = [regime for regime in REGIMES if regime.first <= release]
    return fitting[-1] if fitting else REGIMES[0]
