# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel: what it was built with and what its log complains of."""

from __future__ import annotations

from typing import Final

from agent.core.account.target_offset import counted_beyond_kib
from agent.core.facts.kernel_release import KernelRelease
from agent.core.facts.units import MIB_KIB, format_kib, pages_to_kib
from agent.core.findings.examination import Examination
from agent.core.findings.finding import Finding, what_is_known
from agent.core.findings.guest_commands import always_online, newer_kernel
from agent.core.findings.host_commands import configure, hold_at, in_words_of
from agent.core.findings.quirks import AIMS_BEYOND
from agent.core.findings.registry import DRIVER, check

# The boot is held until the balloon is at the first target; after 180 s without progress the
# kernel panics (xen.balloon_boot_timeout).
_BOOT_WAIT_TOLD_S: Final = 20.0
_P2M_BUG_BEFORE: Final = KernelRelease(4, 0)
_OVERHEAD_TOLD_PERCENT: Final = 15
_LOG: Final = "kernel-messages"
_RESERVING: Final = ("crashkernel=", "swiotlb=", "hugepages=", "cma=")


@check(
    "boot-waits-for-balloon",
    severity="info; critical when it failed",
    do="`memory=` nearer to `maxmem=`; a longer timeout makes nothing faster",
    needs=(_LOG,),
)
def boot_waits_for_balloon(seen: Examination) -> Finding | None:
    """The boot was held 20 s and more until the balloon had shrunk, or went on without."""
    complaints = seen.complaints
    if complaints is None:
        return None
    wait_s, shortage = complaints.boot_wait_s, complaints.boot_shortage_pages
    if shortage is None and (wait_s is None or wait_s < _BOOT_WAIT_TOLD_S):
        return None
    evidence = {"boot_wait_s": wait_s and round(wait_s, 1), "pages_not_freed": shortage}
    return Finding(
        # A wait that ended well is over: worth knowing, nothing to act on tonight.
        severity="info" if shortage is None else "critical",
        summary=f"The boot waited {wait_s or 0:.0f} s for the balloon to shrink to its first "
        "target."
        if shortage is None
        else f"Ballooning down at boot failed; {format_kib(pages_to_kib(shortage))} were missing.",
        evidence=what_is_known(evidence),
        cause="An HVM or PVH guest started below maxmem holds its boot until the difference is "
        "given back; without progress for xen.balloon_boot_timeout (180 s) it panics.",
        fixes=(configure(seen.snapshot, "memory= nearer to maxmem=, or equal", qubes="maxmem 0"),),
    )


@check(
    "hotplug-refused",
    severity="warning; info when not needed, or harmless",
    do="`xl mem-set` to what it has; boot with more memory to get beyond",
    needs=(_LOG,),
)
def hotplug_refused(seen: Examination) -> Finding | None:
    """The kernel could not add memory for a larger target."""
    complaints, driver = seen.complaints, seen.driver
    if complaints is None or not complaints.refusals:
        return None
    beyond_kib = counted_beyond_kib(seen.snapshot)
    needed = driver is not None and driver.grows and beyond_kib is None
    return Finding(
        severity="warning" if needed else "info",
        summary="The kernel could not add memory for a larger target."
        if beyond_kib is None
        else f"The kernel tries in vain to add {format_kib(beyond_kib)}, which the host counts and "
        "no guest can have. This is harmless.",
        evidence={f"log_{n}": text for n, text in enumerate(complaints.refusals, 1)},
        cause="No range of the physical address space is left where memory may be added, or its "
        "page structures found no room."
        if beyond_kib is None
        else AIMS_BEYOND,
        fixes=(hold_at(seen.situation, driver.current_kib, "boot with more memory= to get beyond"),)
        if needed and driver is not None
        else (),
    )


@check("p2m-bug", severity="critical", do="a newer kernel; reboot", needs=(_LOG,))
def p2m_bug(seen: Examination) -> Finding | None:
    """The kernel crashed in arch/x86/xen/p2m.c, as old PV kernels do past 4 GiB."""
    complaints, kernel = seen.complaints, seen.snapshot.domain.kernel
    if complaints is None or complaints.p2m_bug is None:
        return None
    what = "a kernel since 4.0 has another table; until then keep the guest below 4 GiB"
    return Finding(
        summary="The kernel crashed in its table of physical pages; its balloon stands still until "
        "a reboot.",
        evidence={"kernel BUG at": complaints.p2m_bug, "kernel": str(kernel or "unknown")},
        cause="A defect of old kernels, seen on Linux 3.2 to 3.7 when a PV guest grew past 4 GiB "
        "by hot-added memory."
        if kernel is None or kernel < _P2M_BUG_BEFORE
        else "Not the known defect of old kernels: this one is newer.",
        fixes=(newer_kernel(seen.distribution, what),),
    )


@check(
    "hotplug-will-stay-offline",
    severity="info",
    do="`memhp_default_state=online`",
    needs=(*DRIVER, "memory-blocks"),
    unless=("hotplug-refused",),
)
def hotplug_will_stay_offline(seen: Examination) -> Finding | None:
    """A larger target would be answered with memory that nobody puts online."""
    driver, blocks = seen.driver, seen.snapshot.blocks
    if driver is None or blocks is None or driver.ballooned_kib:
        return None
    if not seen.situation.headroom.up_kib or seen.snapshot.hotplug_unpopulated is None:
        return None
    if blocks.auto_online != "offline" or blocks.offline:
        return None
    return Finding(
        summary="A larger target will add memory that stays offline: the balloon is empty, and "
        "this kernel does not put added memory online.",
        evidence={
            "auto_online_blocks": "offline",
            "ballooned_kib": driver.ballooned_kib,
            "up_kib": seen.situation.headroom.up_kib,
        },
        cause="CONFIG_MEMORY_HOTPLUG_DEFAULT_ONLINE is not set, and no udev rule was seen to help.",
        fixes=(always_online(),),
    )


@check(
    "hotplug-not-built",
    severity="info",
    do="a kernel with CONFIG_XEN_BALLOON_MEMORY_HOTPLUG",
    needs=("kernel-config",),
)
def hotplug_not_built(seen: Examination) -> Finding | None:
    """The kernel cannot go beyond the map of its boot, where the host would let it."""
    config, driver = seen.config, seen.driver
    if config is None or config.memory_hotplug or driver is None:
        return None
    beyond_kib = (seen.situation.headroom.up_kib or 0) - driver.ballooned_kib
    if beyond_kib <= MIB_KIB:
        return None
    return Finding(
        summary=f"{format_kib(beyond_kib)} of the maximum are out of reach for this kernel.",
        evidence={
            "CONFIG_XEN_BALLOON_MEMORY_HOTPLUG": "not set",
            "config": config.source,
            "beyond_kib": beyond_kib,
        },
        cause="Without memory hotplug the balloon can only give back what it took.",
        fixes=(newer_kernel(seen.distribution, "boot a kernel with that option set to y"),),
    )


@check(
    "less-than-configured",
    severity="info",
    do="see the waterfall of `status`",
    needs=(*DRIVER, "meminfo"),
)
def less_than_configured(seen: Examination) -> Finding | None:
    """MemTotal is 15 % and more below what the guest was given: the commonest question."""
    parts, driver = seen.situation.overhead, seen.driver
    if parts is None or driver is None or driver.current_kib <= 0:
        return None
    share = parts.kib * 100 / driver.current_kib
    if share <= _OVERHEAD_TOLD_PERCENT:
        return None
    options = [o for o in seen.snapshot.kernel_options if o.startswith(_RESERVING)]
    evidence = {
        "current_kib": driver.current_kib,
        "mem_total_kib": driver.current_kib - parts.kib,
        **{f"{term.name}_kib": term.kib for term in parts.terms},
        "options": " ".join(options) or None,
    }
    structs = any(t.name == "struct-pages" and 2 * t.kib > parts.kib for t in parts.terms)
    domain = seen.snapshot.domain
    # The map of dom0 is the host's, whatever it may have.
    by_maxmem = structs and driver.ballooned_kib and not domain.is_dom0
    smaller = (
        in_words_of(domain.toolstack, "; a smaller maxmem= makes it less") if by_maxmem else ""
    )
    return Finding(
        summary=f"MemTotal is {format_kib(parts.kib)} ({share:.0f} %) less than {domain.called()} "
        "was given.",
        evidence=what_is_known(evidence),
        cause="MemTotal is what is left when the kernel has taken its own code and tables, page "
        "structures for the whole map, and what its options reserve.",
        remark=f"balloon-agent status shows where it went{smaller}",
    )
