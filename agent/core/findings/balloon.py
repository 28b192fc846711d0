# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules about the driver and its target: each looks at one situation and finds one thing or none.

A rule is a function; `agent.core.findings.registry` lists it with what it has to be able to read.
"""

from __future__ import annotations

from typing import Final

from agent.core.account.balloon_state import is_lent
from agent.core.account.situation import Situation
from agent.core.facts.kernel_release import KernelRelease
from agent.core.facts.snapshot import BalloonReading
from agent.core.facts.units import format_kib, kib_to_pages
from agent.core.findings.finding import Finding
from agent.core.findings.host_commands import free_memory, set_populated
from agent.core.findings.units_trap import (
    BALLOON_DIRECTORY,
    LEAST_KIB,
    TARGET_FILE,
    misread_host_target,
    misread_kernel_target,
)

ONLINE_ALL: Final = (
    "for s in /sys/devices/system/memory/memory*/state; do "
    'grep -q offline "$s" && echo online > "$s"; done'
)
# Between these releases a PV kernel counts the pages of the ISA window as missing (facts of
# drivers/xen/balloon.c, 6.15 to 6.18): 96 of them, a few more or less with the map.
_PHANTOM_SINCE: Final = KernelRelease(6, 15)
_PHANTOM_UNTIL: Final = KernelRelease(6, 19)
_PHANTOM_PAGES: Final = range(90, 111)


def no_driver(situation: Situation) -> Finding | None:
    """A Xen guest whose kernel has no balloon driver."""
    if situation.snapshot.balloon is not None:
        return None
    return Finding(
        "no-driver", "warning",
        "This kernel has no balloon driver, so the host cannot change the guest's memory.",
        {"xen_memory0": "absent"},
        "grep CONFIG_XEN_BALLOON /boot/config-$(uname -r)  # boot a kernel with =y",
        cause="The kernel was built without CONFIG_XEN_BALLOON, which is never a module; or this "
        "is a container whose /sys is not the guest's.",
    )  # fmt: skip


def target_cancelled(situation: Situation) -> Finding | None:
    """The driver gave up on its target and sleeps."""
    balloon = situation.snapshot.balloon
    if situation.state != "cancelled" or balloon is None:
        return None
    single = (
        "" if balloon.motion == "still" else " A single look cannot rule out that it is moving."
    )
    return Finding(
        "target-cancelled", "warning",
        "The kernel gave up on its target and will not try again by itself." + single,
        driver_numbers(balloon),
        _wake_up(situation, balloon),
        cause="Since Linux 5.15 the driver drops a target after max_retry_count refused attempts "
        f"and sleeps for an hour; echo 0 > {BALLOON_DIRECTORY}/max_retry_count keeps it trying. "
        + _why_refused(balloon),
        actor="either",
    )  # fmt: skip


def _wake_up(situation: Situation, balloon: BalloonReading) -> str:
    """A command that makes the driver try again, where that can help.

    Downwards it would only take what is free for a moment from a guest that has nothing left.
    It sleeps until target_kb - current_kb changes (drivers/xen/balloon.c, balloon_thread_cond), so
    writing the value that is there does nothing: the target is moved by a page, and back.
    """
    target_kib = balloon.target_kib or 0
    if target_kib < (balloon.current_kib or 0):
        return _keep_populated(situation, balloon)
    return f"echo {target_kib - 4} > {TARGET_FILE}; sleep 1; echo {target_kib} > {TARGET_FILE}"


def _keep_populated(situation: Situation, balloon: BalloonReading) -> str:
    """What ends the request for memory that the guest does not have."""
    command = set_populated(situation, balloon.current_kib or 0)
    return f"{command}  # on the host; or free memory in the guest"


def _why_refused(balloon: BalloonReading) -> str:
    """What stands in the way of a target, as far as it can be told from inside."""
    if (balloon.target_kib or 0) > (balloon.current_kib or 0):
        return (
            "Upwards it is the host that has no free memory, or this domain that has reached the "
            "limit the toolstack set for it in the hypervisor. From inside it cannot be told "
            "which: the hypervisor answers both alike."
        )
    return (
        "Downwards it is the guest that has no free memory: the driver takes only pages that are "
        "free without reclaiming hard, and leaves what the kernel reserves."
    )


def target_retrying(situation: Situation) -> Finding | None:
    """The last attempt failed and the driver tries again."""
    balloon = situation.snapshot.balloon
    if situation.state != "retrying" or balloon is None:
        return None
    if (balloon.target_kib or 0) > (balloon.current_kib or 0):
        wanted_kib = situation.host_target_on_kernel_scale_kib
        if wanted_kib is not None and wanted_kib < (balloon.target_kib or 0):
            return Finding(
                "target-retrying", "warning",
                "The hypervisor refused more memory; the kernel keeps trying.",
                {**driver_numbers(balloon), "wanted_kib": wanted_kib},
                f"echo {wanted_kib} > {TARGET_FILE}  # what the host asks for",
                cause="The kernel aims beyond what the host asks for, so the toolstack's limit in "
                "the hypervisor is in the way.",
            )  # fmt: skip
        return Finding(
            "target-retrying", "warning",
            "The hypervisor refused more memory; the kernel keeps trying.",
            driver_numbers(balloon),
            f"{free_memory(situation.snapshot)}; "
            f"{set_populated(situation, balloon.target_kib or 0)}  # on the host",
            cause=_why_refused(balloon),
            actor="host",
        )  # fmt: skip
    return Finding(
        "target-retrying", "warning",
        "The guest has no free memory to give back; the kernel keeps trying.",
        driver_numbers(balloon),
        _keep_populated(situation, balloon),
        cause=_why_refused(balloon),
        actor="either",
    )  # fmt: skip


def target_snapped(situation: Situation) -> Finding | None:
    """The host asks for more, the balloon is empty, and the driver has dropped the wish."""
    if not is_snapped(situation):
        return None
    balloon, wanted_kib = situation.snapshot.balloon, situation.host_target_on_kernel_scale_kib
    if balloon is None or wanted_kib is None:
        return None
    return Finding(
        "target-snapped", "warning",
        f"The host gives {format_kib(wanted_kib)}, but the balloon is empty and this kernel cannot "
        "add memory: target_kb fell back to what the guest has.",
        {
            "memory/target_kib": situation.snapshot.host.target_kib or 0,
            "wanted_kib": wanted_kib,
            "target_kib": balloon.target_kib or 0,
            "ballooned_kib": 0,
            "hotplug": "not in this kernel",
        },
        f"{set_populated(situation, balloon.current_kib or 0)}  # on the host, until it is booted "
        "with a larger maxmem=",
        cause="Without CONFIG_XEN_BALLOON_MEMORY_HOTPLUG the driver sets its target back to "
        "current (drivers/xen/balloon.c, reserve_additional_memory).",
        actor="either",
    )  # fmt: skip


def is_snapped(situation: Situation) -> bool:
    """Whether a wish for more was dropped for want of a place to put it."""
    balloon, wanted_kib = situation.snapshot.balloon, situation.host_target_on_kernel_scale_kib
    if balloon is None or wanted_kib is None or balloon.current_kib is None:
        return False
    empty = balloon.ballooned_kib == 0 and situation.snapshot.hotplug_unpopulated is None
    return empty and wanted_kib > balloon.current_kib == balloon.target_kib


def hotplug_offline(situation: Situation) -> Finding | None:
    """Memory the driver hot-added is offline, so the target cannot be reached."""
    term = situation.reconciliation.term("offline-blocks")
    blocks, balloon = situation.snapshot.blocks, situation.snapshot.balloon
    if term is None or blocks is None or balloon is None:
        return None
    wanted = (balloon.target_kib or 0) > (balloon.current_kib or 0)
    return Finding(
        "hotplug-offline", "warning" if wanted else "info",
        f"{format_kib(-term.kib)} of hot-added memory is offline"
        + (", and the host's target needs it." if wanted else "."),
        {
            "offline_blocks": len(blocks.offline),
            "offline_kib": -term.kib,
            "auto_online_blocks": blocks.auto_online or "unknown",
        },
        f"{ONLINE_ALL}  # for good: boot with memhp_default_state=online",
        cause="The balloon was empty, so the driver added a range of memory; it is not used until "
        "somebody puts its blocks online, which this kernel does not do by itself.",
    )  # fmt: skip


def target_overridden(situation: Situation) -> Finding | None:
    """The kernel aims at something the host did not ask for."""
    balloon = situation.snapshot.balloon
    wanted_kib = situation.host_target_on_kernel_scale_kib
    if balloon is None or balloon.target_kib is None or wanted_kib is None:
        return None
    if balloon.target_kib == wanted_kib or situation.snapshot.domain.domain_type == "dom0-pvh":
        return None
    if is_snapped(situation) or misread_kernel_target(situation) or not _makes_sense(situation):
        return None
    return Finding(
        "target-overridden", "warning",
        f"The kernel aims at {format_kib(balloon.target_kib)}, the host's target means "
        f"{format_kib(wanted_kib)}.",
        {
            "target_kib": balloon.target_kib,
            "memory/target_kib": situation.snapshot.host.target_kib or 0,
            "offset_kib": situation.offset.kib if situation.offset else 0,
        },
        _follow_or_ask(situation, balloon.target_kib, wanted_kib),
        cause="Somebody in the guest wrote target_kb, or the kernel missed the host's change.",
    )  # fmt: skip


def _makes_sense(situation: Situation) -> bool:
    """Whether the host's target is one to follow; other findings tell of the others."""
    host = situation.snapshot.host
    beyond = (host.target_kib or 0) > (host.static_max_kib or host.target_kib or 0)
    return not beyond and misread_host_target(situation) is None


def _follow_or_ask(situation: Situation, target_kib: int, wanted_kib: int) -> str:
    """Nobody is told to paste a target below what the guest uses."""
    if wanted_kib < (situation.headroom.floor_kib or LEAST_KIB):
        command = set_populated(situation, target_kib)
        return f"{command}  # on the host: what the guest uses is more than it asks for"
    return f"echo {wanted_kib} > {TARGET_FILE}  # follow the host again"


def phantom_credit(situation: Situation) -> Finding | None:
    """Kernels that believe some hundred pages are missing, and may add 128 MiB for them."""
    snapshot, balloon = situation.snapshot, situation.snapshot.balloon
    kernel = snapshot.domain.kernel
    if balloon is None or kernel is None or snapshot.domain.domain_type != "pv":
        return None
    if not _PHANTOM_SINCE <= kernel < _PHANTOM_UNTIL:
        return None
    missing_kib = (balloon.target_kib or 0) - (balloon.current_kib or 0)
    if balloon.ballooned_kib or kib_to_pages(missing_kib) not in _PHANTOM_PAGES:
        return None
    return Finding(
        "phantom-credit", "warning",
        f"The driver misses {kib_to_pages(missing_kib)} pages that never were there.",
        driver_numbers(balloon),
        f"echo {balloon.current_kib} > {TARGET_FILE}  # until the next target of the host",
        cause="Linux 6.15 to 6.18 count the pages of a PV guest's ISA window as ballooned; fixed "
        "in 6.19. The driver may add a whole memory block for them.",
    )  # fmt: skip


def dom0_grant_gap(situation: Situation) -> Finding | None:
    """dom0 below its target because of pages mapped from guests."""
    balloon = situation.snapshot.balloon
    if balloon is None or not is_lent(situation.snapshot, situation.state):
        return None
    return Finding(
        "dom0-grant-gap", "info",
        "dom0 is below its target because backends borrowed ballooned pages; that is normal.",
        driver_numbers(balloon),
        "nothing to do",
        cause="Without CONFIG_XEN_UNPOPULATED_ALLOC, memory mapped from guests takes the place of "
        "pages that are ballooned out for it. The balloon is empty, so the hypervisor has refused "
        "nothing.",
        actor="nobody",
    )  # fmt: skip


def driver_numbers(balloon: BalloonReading) -> dict[str, int | float | str]:
    """The driver's state as evidence."""
    values = {
        "current_kib": balloon.current_kib,
        "target_kib": balloon.target_kib,
        "ballooned_kib": balloon.ballooned_kib,
        "retry_count": balloon.retry_count,
        "max_retry_count": balloon.max_retry_count,
        "schedule_delay_s": balloon.schedule_delay_s,
    }
    return {name: value for name, value in values.items() if value is not None}
