# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver and its target."""

from __future__ import annotations

from typing import Final

from agent.core.account.driver import Driver
from agent.core.account.situation import Situation
from agent.core.account.target_offset import counted_beyond_kib
from agent.core.facts.units import format_apart, format_kib
from agent.core.findings.examination import Examination
from agent.core.findings.finding import Finding, Fix, known
from agent.core.findings.guest_commands import BALLOON_DIRECTORY, FOR_GOOD, newer_kernel, put_online
from agent.core.findings.host_commands import hold_at
from agent.core.findings.quirks import driver_numbers, is_phantom
from agent.core.findings.registry import DRIVER, TARGET, check
from agent.core.findings.units_trap import follow_or_ask

# What makes a target that is not reached a consequence: of a target nobody meant, or of somebody
# who needs more than the host asks for.
_TARGET_IS_WRONG: Final = (
    "units-trap",
    "target-beyond-static-max",
    "host-target-garbage",
    "target-overridden",
    "memory-short",
    "memory-offset-spoilt",
    "pressure-after-deflate",
    "hotplug-offline",
    "hotplug-refused",
)


@check(
    "no-driver",
    severity="warning",
    do="boot a kernel with CONFIG_XEN_BALLOON, or set memory = maxmem",
)
def no_driver(seen: Examination) -> Finding | None:
    """A Xen domain whose kernel has no balloon driver; perhaps one whose agent claims it has."""
    if seen.snapshot.balloon is not None:
        return None
    claimed = seen.keys is not None and seen.keys.feature_balloon
    return Finding(
        summary="This kernel has no balloon driver, so the host cannot change the guest's memory"
        + (", although control/feature-balloon tells the host that it can." if claimed else "."),
        evidence={
            "xen_memory0": "absent",
            **({"control/feature-balloon": "present"} if claimed else {}),
        },
        cause="The kernel was built without CONFIG_XEN_BALLOON, which is never a module; or this "
        "is a container whose /sys is not the guest's."
        + (" An agent such as xe-daemon claims feature-balloon unasked." if claimed else ""),
        fixes=(newer_kernel(seen.distribution, "boot a kernel with CONFIG_XEN_BALLOON=y"),),
    )


@check(
    "target-cancelled",
    severity="warning",
    do="on the host `xl mem-set` to what it has; upwards again once the host can: the same target "
    "written twice does not wake the driver, `max_retry_count` 0 keeps it trying",
    needs=DRIVER,
    because=_TARGET_IS_WRONG,
)
def target_cancelled(seen: Examination) -> Finding | None:
    """The driver gave up on its target, and sleeps until that changes."""
    driver = seen.driver
    if seen.situation.state != "cancelled" or driver is None:
        return None
    return Finding(
        summary="The kernel gave up on its target and will not try again by itself.",
        evidence=driver_numbers(seen),
        cause="The driver drops a target after max_retry_count refused attempts and sleeps (an "
        f"hour, since Linux 5.15); echo 0 > {BALLOON_DIRECTORY}/max_retry_count keeps it trying. "
        + _why_refused(seen),
        fixes=(_hold(seen.situation, driver, "what it has; more once there is"),),
    )


def _lacks_its_offset(situation: Situation) -> bool:
    """Whether what the hypervisor refuses is what XAPI counts for the domain beyond its target."""
    offset_kib, driver = situation.snapshot.host.memory_offset_kib, situation.driver
    by_hypervisor = situation.refused_by == "hypervisor"
    return bool(driver and offset_kib and by_hypervisor and driver.way_kib == offset_kib)


def _why_refused(seen: Examination) -> str:
    situation, by = seen.situation, seen.situation.refused_by
    who = seen.snapshot.domain.called()
    if _lacks_its_offset(situation):
        return (
            f"What is missing ({format_kib(situation.snapshot.host.memory_offset_kib or 0)}) is "
            "exactly memory/memory-offset: the limit that XAPI set in the hypervisor leaves it out."
        )
    if by == "empty-balloon" and seen.complaints is not None and seen.complaints.refusals:
        by = "hot-add"  # the log tells that this kernel tries
    return {
        "hypervisor": "It is the host that has no free memory, or this domain that has reached the "
        "limit the toolstack set for it in the hypervisor. From inside it cannot be told which: "
        "the hypervisor answers both alike.",
        "guest-memory": f"It is {who} that has no free memory: the driver takes only pages that "
        "are free without reclaiming hard, and leaves what the kernel reserves.",
        "hot-add": "The balloon is empty, so the hypervisor was never asked: the kernel has to "
        "hot-add memory first, and that did not help.",
        "empty-balloon": "The balloon is empty and this kernel cannot hot-add memory, so the "
        "hypervisor was never asked.",
    }.get(by or "", "")


@check(
    "target-retrying",
    severity="warning",
    do="on the host `xl mem-set` to what it has, until it can have more",
    needs=DRIVER,
    because=_TARGET_IS_WRONG,
)
def target_retrying(seen: Examination) -> Finding | None:
    """The last attempt to get to the target failed, and the driver tries again.

    Upwards the host is out of memory, the domain is at its limit, or nothing can be hot-added;
    downwards the guest has nothing free.
    """
    situation, driver = seen.situation, seen.driver
    if situation.state != "retrying" or driver is None:
        return None
    if counted_beyond_kib(seen.snapshot) is not None:
        return None  # harmless; hvm-aims-beyond or hotplug-refused says so
    who = seen.snapshot.domain.called(first=True)
    refusals: dict[str | None, str] = {
        "hypervisor": "The hypervisor refused more memory; the kernel keeps trying.",
        "guest-memory": f"{who} has no free memory to give back; the kernel keeps trying.",
    }
    empty = "The balloon is empty, and the kernel finds no memory to add; it keeps trying."
    summary = refusals.get(situation.refused_by, empty)
    return Finding(
        summary=summary,
        evidence=driver_numbers(seen),
        cause=_why_refused(seen),
        fixes=(_hold(situation, driver, "what it has"),),
    )


def _hold(situation: Situation, driver: Driver, note: str) -> Fix:
    """The host asks for what the guest has; or corrects the limit that leaves something out."""
    if _lacks_its_offset(situation):
        return Fix(
            "host",
            note="a squeezed that adds memory-offset to the limit (its pull request 63) is needed; "
            "nothing in the guest helps",
        )
    return hold_at(situation, driver.current_kib, note)


@check(
    "not-seen-moving",
    severity="warning",
    do="look at the guest itself with `balloon-agent doctor`, which watches for some seconds",
    needs=DRIVER,
    unless=("hotplug-refused", "hotplug-offline"),
    because=_TARGET_IS_WRONG,
)
def not_seen_moving(seen: Examination) -> Finding | None:
    """Off its target, and one look cannot tell whether it is on its way or has given up."""
    situation, driver = seen.situation, seen.driver
    if situation.state != "unclear" or driver is None:
        return None
    waits = {
        "hot-add": "It waits for memory to be hot-added, or that was refused.",
        "empty-balloon": "Its balloon is empty, so the hypervisor was not asked for the rest.",
    }.get(situation.refused_by or "", "It may be moving, or the kernel has given up.")
    return Finding(
        summary=f"{seen.snapshot.domain.called(first=True)} is "
        f"{format_kib(abs(driver.way_kib))} off its target and was not seen to move. {waits}",
        evidence=driver_numbers(seen),
        cause="A driver that has given up shows the same numbers as one between two steps.",
        remark="balloon-agent doctor, in the guest itself: it watches for some seconds",
    )


@check(
    "target-snapped",
    severity="warning",
    do="boot with more `maxmem=`, or a kernel with memory hotplug",
    needs=(*DRIVER, TARGET),
    because=("maxmem-unreachable",),
)
def target_snapped(seen: Examination) -> Finding | None:
    """The host gives more, but the driver set its target back.

    The balloon is empty, and the kernel cannot add memory.
    """
    driver, wanted_kib = seen.driver, seen.situation.host_target_on_kernel_scale_kib
    if driver is None or wanted_kib is None or seen.snapshot.hotplug_unpopulated is not None:
        return None
    if driver.ballooned_kib or driver.way_kib or wanted_kib <= driver.current_kib:
        return None
    return Finding(
        summary=f"The host gives {format_kib(wanted_kib)}, but the balloon is empty and this "
        "kernel cannot add memory: target_kb fell back to what the guest has.",
        evidence={
            "memory/target_kib": known(seen.snapshot.host.target_kib),
            "wanted_kib": wanted_kib,
            "target_kib": driver.target_kib,
            "ballooned_kib": driver.ballooned_kib,
            "hotplug": "not in this kernel",
        },
        cause="Without CONFIG_XEN_BALLOON_MEMORY_HOTPLUG the driver sets its target back to "
        "current (drivers/xen/balloon.c, reserve_additional_memory).",
        fixes=(
            hold_at(seen.situation, driver.current_kib, "until it is booted with a larger maximum"),
        ),
    )


@check(
    "hotplug-offline",
    severity="warning; info when not needed",
    do="put the blocks online; `memhp_default_state=online`",
    needs=(*DRIVER, "memory-blocks"),
)
def hotplug_offline(seen: Examination) -> Finding | None:
    """Memory blocks are offline: hot-added, or put offline by hand."""
    term = seen.situation.reconciliation.term("offline-blocks")
    blocks, driver = seen.snapshot.blocks, seen.driver
    by_hand_kib = seen.situation.boot.offlined_kib
    if blocks is None or driver is None or not (term or by_hand_kib):
        return None
    added_kib = -term.kib if term else 0
    needed = driver.grows and added_kib > 0
    return Finding(
        severity="warning" if needed else "info",
        summary=(
            f"{format_kib(added_kib)} of hot-added memory is offline"
            + (", and the host's target needs it." if needed else ".")
            if added_kib
            else f"{format_kib(by_hand_kib)} of the memory of the boot was put offline; it is "
            "populated, and nobody can use it."
        ),
        evidence={
            "offline_blocks": len(blocks.offline),
            "offline_kib": added_kib or by_hand_kib,
            "auto_online_blocks": known(blocks.auto_online),
        },
        cause="The balloon was empty, so the driver added a range of memory; it is not used until "
        "somebody puts its blocks online, which this kernel does not do by itself."
        if added_kib
        else "The driver does not hear of blocks that are put offline: what it counts as the "
        "guest's stays the same (mm/memory_hotplug.c, offline_pages).",
        fixes=(put_online(blocks.offline, FOR_GOOD if added_kib else ""),),
    )


@check(
    "target-overridden",
    severity="warning",
    do="write the right `target_kb`",
    needs=(*DRIVER, TARGET),
    unless=("target-snapped", "units-trap", "target-beyond-static-max"),
    because=("memory-short", "pressure-after-deflate", "hole-given-away"),
)
def target_overridden(seen: Examination) -> Finding | None:
    """The kernel aims at something else than the host's target."""
    situation, driver = seen.situation, seen.driver
    wanted_kib = situation.host_target_on_kernel_scale_kib
    if driver is None or wanted_kib is None or driver.target_kib == wanted_kib:
        return None
    off_kib = wanted_kib - driver.target_kib
    if seen.snapshot.domain.domain_type == "dom0-pvh" or is_phantom(seen, off_kib):
        return None
    if 0 < -off_kib <= situation.hole_kib:
        return None  # it has been given back what the driver counts for a hole
    return Finding(
        summary=f"The kernel aims at {format_apart(driver.target_kib, wanted_kib)}, the host's "
        "target means "
        f"{format_apart(max(0, wanted_kib), driver.target_kib)}.",
        evidence={
            "target_kib": driver.target_kib,
            "memory/target_kib": known(seen.snapshot.host.target_kib),
            "offset_kib": known(situation.offset and situation.offset.kib),
        },
        cause="Somebody in the guest wrote target_kb, or the kernel missed the host's change.",
        fixes=(follow_or_ask(seen, wanted_kib),),
    )
