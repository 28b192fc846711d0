# SPDX-License-Identifier: GPL-2.0-or-later
"""The doctor's rules about the kernel: what it was built with and what its log complains of."""

from __future__ import annotations

from typing import Final

from agent.core.facts.kernel_release import KernelRelease
from agent.core.facts.units import format_kib, pages_to_kib
from agent.core.findings.examination import Examination
from agent.core.findings.finding import Finding, Severity
from agent.core.findings.host_commands import set_populated

# The boot is held until the balloon is at the first target; after 180 s without progress the
# kernel panics (xen.balloon_boot_timeout).
_BOOT_WAIT_TOLD_S: Final = 20.0
_P2M_BUG_BEFORE: Final = KernelRelease(4, 0)
_OVERHEAD_TOLD_PERCENT: Final = 15


def boot_waits_for_balloon(examination: Examination) -> Finding | None:
    """A boot that was held up until the balloon had shrunk, or went on without."""
    complaints = examination.complaints
    if complaints is None:
        return None
    wait_s, shortage = complaints.boot_wait_s, complaints.boot_shortage_pages
    if shortage is None and (wait_s is None or wait_s < _BOOT_WAIT_TOLD_S):
        return None
    evidence: dict[str, int | float | str] = {}
    if wait_s is not None:
        evidence["boot_wait_s"] = round(wait_s, 1)
    if shortage is not None:
        evidence["pages_not_freed"] = shortage
    # A wait that ended well is over: worth knowing, nothing to act on tonight.
    severity: Severity = "info" if shortage is None else "critical"
    summary = (
        f"Ballooning down at boot failed; {format_kib(pages_to_kib(shortage))} were missing."
        if shortage is not None
        else f"The boot waited {wait_s or 0:.0f} s for the balloon to shrink to its first target."
    )
    return Finding(
        "boot-waits-for-balloon", severity,
        summary,
        evidence,
        "xen.balloon_boot_timeout=600  # for the guest's kernel; or memory= nearer to maxmem=",
        cause="An HVM or PVH guest started below maxmem holds its boot until the difference is "
        "given back; without progress for xen.balloon_boot_timeout (180 s) it panics.",
        actor="either",
    )  # fmt: skip


def hotplug_refused(examination: Examination) -> Finding | None:
    """The kernel wanted to add memory for the balloon and could not."""
    complaints, situation = examination.complaints, examination.situation
    if complaints is None or not complaints.refusals:
        return None
    balloon = situation.snapshot.balloon
    wanted = balloon is not None and (balloon.target_kib or 0) > (balloon.current_kib or 0)
    current_kib = (balloon.current_kib or 0) if balloon else 0
    return Finding(
        "hotplug-refused", "warning" if wanted else "info",
        "The kernel could not add memory for a larger target.",
        {f"log_{n}": text for n, text in enumerate(complaints.refusals, 1)},
        f"{set_populated(situation, current_kib)}  # on the host; boot with more memory= to "
        "get beyond",
        cause="No range of the physical address space is left where memory may be added, or its "
        "page structures found no room.",
        actor="either",
    )  # fmt: skip


def p2m_bug(examination: Examination) -> Finding | None:
    """The crash of old PV kernels when memory grows past what the boot prepared."""
    complaints, kernel = examination.complaints, examination.situation.snapshot.domain.kernel
    if complaints is None or complaints.p2m_bug is None:
        return None
    return Finding(
        "p2m-bug", "critical",
        "The kernel crashed in its table of physical pages; its balloon stands still until a "
        "reboot.",
        {"kernel BUG at": complaints.p2m_bug, "kernel": str(kernel or "unknown")},
        "apt-get install linux-image-amd64  # a kernel since 4.0 has another table; until then "
        "keep the guest below 4 GiB",
        cause="A defect of old kernels, seen on Linux 3.2 to 3.7 when a PV guest grew past 4 GiB "
        "by hot-added memory."
        if kernel is None or kernel < _P2M_BUG_BEFORE
        else "Not the known defect of old kernels: this one is newer.",
    )  # fmt: skip


def hotplug_will_stay_offline(examination: Examination) -> Finding | None:
    """A larger target would be answered with memory that nobody puts online."""
    situation = examination.situation
    balloon, blocks = situation.snapshot.balloon, situation.snapshot.blocks
    if balloon is None or blocks is None or balloon.ballooned_kib != 0:
        return None
    if not situation.headroom.up_kib or situation.snapshot.hotplug_unpopulated is None:
        return None
    if blocks.auto_online != "offline" or blocks.offline:
        return None
    return Finding(
        "hotplug-will-stay-offline", "info",
        "A larger target will add memory that stays offline: the balloon is empty, and this "
        "kernel does not put added memory online.",
        {
            "auto_online_blocks": "offline",
            "ballooned_kib": 0,
            "up_kib": situation.headroom.up_kib,
        },
        "echo online > /sys/devices/system/memory/auto_online_blocks  # for good: boot with "
        "memhp_default_state=online",
        cause="CONFIG_MEMORY_HOTPLUG_DEFAULT_ONLINE is not set, and no udev rule was seen to help.",
    )  # fmt: skip


def hotplug_not_built(examination: Examination) -> Finding | None:
    """A kernel that cannot go beyond the map of its boot, where the host would let it."""
    config, situation = examination.config, examination.situation
    balloon = situation.snapshot.balloon
    if config is None or config.memory_hotplug or balloon is None:
        return None
    beyond_kib = (situation.headroom.up_kib or 0) - (balloon.ballooned_kib or 0)
    if beyond_kib <= pages_to_kib(256):
        return None
    return Finding(
        "hotplug-not-built", "info",
        f"{format_kib(beyond_kib)} of static-max are out of reach for this kernel.",
        {
            "CONFIG_XEN_BALLOON_MEMORY_HOTPLUG": "not set",
            "config": config.source,
            "beyond_kib": beyond_kib,
        },
        "grep MEMORY_HOTPLUG /boot/config-$(uname -r)  # boot a kernel with =y",
        cause="Without memory hotplug the balloon can only give back what it took.",
    )  # fmt: skip


def less_than_configured(examination: Examination) -> Finding | None:
    """MemTotal well below what the guest was given: the commonest question."""
    situation = examination.situation
    parts, balloon = situation.overhead, situation.snapshot.balloon
    if parts is None or balloon is None or not balloon.current_kib:
        return None
    share = parts.kib * 100 / balloon.current_kib
    if share <= _OVERHEAD_TOLD_PERCENT:
        return None
    options = [o for o in situation.snapshot.kernel_options if o.startswith(_RESERVING)]
    evidence: dict[str, int | float | str] = {
        "current_kib": balloon.current_kib,
        "mem_total_kib": balloon.current_kib - parts.kib,
        **{f"{term.name}_kib": term.kib for term in parts.terms},
    }
    if options:
        evidence["options"] = " ".join(options)
    return Finding(
        "less-than-configured", "info",
        f"MemTotal is {format_kib(parts.kib)} ({share:.0f} %) less than the guest was given.",
        evidence,
        "balloon-agent status  # shows where it went"
        + ("; a smaller maxmem= makes it less" if balloon.ballooned_kib else ""),
        cause="MemTotal is what is left when the kernel has taken its own code and tables, page "
        "structures for the whole map, and what its options reserve.",
        actor="nobody",
    )  # fmt: skip


_RESERVING: Final = ("crashkernel=", "swiotlb=", "hugepages=", "cma=")
