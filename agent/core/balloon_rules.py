# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules about the balloon and its target: each looks at one situation and finds one thing or none.

A rule is added by writing a function and putting it into `BALLOON_RULES`.
"""

from typing import Final

from agent.core.balloon_state import is_lent
from agent.core.finding import Finding
from agent.core.situation import Situation
from agent.core.snapshot import BalloonReading
from agent.core.units import format_kib

_TARGET_FILE: Final = "/sys/devices/system/xen_memory/xen_memory0/target_kb"
_ONLINE_ALL: Final = (
    "for s in /sys/devices/system/memory/memory*/state; do "
    'grep -q offline "$s" && echo online > "$s"; done'
)


def no_driver(situation: Situation) -> Finding | None:
    """A Xen guest whose kernel has no balloon driver."""
    if situation.snapshot.balloon is not None:
        return None
    return Finding(
        "no-driver", "warning",
        "This kernel has no balloon driver, so the host cannot change the guest's memory.",
        {"xen_memory0": "absent"},
        "boot a kernel with CONFIG_XEN_BALLOON=y (it is never a module), or set memory = maxmem",
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
        _numbers(balloon),
        f"wake the driver: echo {balloon.target_kib} > {_TARGET_FILE}",
    )  # fmt: skip


def target_retrying(situation: Situation) -> Finding | None:
    """The last attempt failed and the driver tries again."""
    balloon = situation.snapshot.balloon
    if situation.state != "retrying" or balloon is None:
        return None
    if (balloon.target_kib or 0) > (balloon.current_kib or 0):
        summary = (
            "The hypervisor refused more memory; the kernel keeps trying. From inside it cannot "
            "be told whether the host is out of memory or this domain is at its limit."
        )
        fix = "on the host: xl info | grep free_memory; then xl mem-set DOMAIN SIZE"
    else:
        summary = "The guest has no free memory to give back; the kernel keeps trying."
        fix = "raise the target on the host (xl mem-set DOMAIN SIZE), or free memory in the guest"
    return Finding("target-retrying", "warning", summary, _numbers(balloon), fix)


def target_beyond_static_max(situation: Situation) -> Finding | None:
    """The host asks for more than the domain may ever have."""
    host = situation.snapshot.host
    if host.target_kib is None or host.static_max_kib is None:
        return None
    if host.target_kib <= host.static_max_kib:
        return None
    return Finding(
        "target-beyond-static-max", "warning",
        f"The host asks for {format_kib(host.target_kib)}, the domain may have at most "
        f"{format_kib(host.static_max_kib)}.",
        {"memory/target_kib": host.target_kib, "memory/static-max_kib": host.static_max_kib},
        "on the host: xl mem-set DOMAIN SIZE within maxmem, or xl mem-max DOMAIN SIZE first",
    )  # fmt: skip


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
        f"{_ONLINE_ALL}  (for good: boot with memhp_default_state=online)",
    )  # fmt: skip


def target_overridden(situation: Situation) -> Finding | None:
    """The kernel aims at something the host did not ask for."""
    balloon = situation.snapshot.balloon
    wanted_kib = situation.host_target_on_kernel_scale_kib
    if balloon is None or balloon.target_kib is None or wanted_kib is None:
        return None
    if balloon.target_kib == wanted_kib or situation.snapshot.domain.domain_type == "dom0-pvh":
        return None
    return Finding(
        "target-overridden", "warning",
        f"The kernel aims at {format_kib(balloon.target_kib)}, the host's target means "
        f"{format_kib(wanted_kib)}: somebody in the guest wrote target_kb, or the kernel missed "
        "the host's change.",
        {
            "target_kib": balloon.target_kib,
            "memory/target_kib": situation.snapshot.host.target_kib or 0,
            "offset_kib": situation.offset.kib if situation.offset else 0,
        },
        f"follow the host again: echo {wanted_kib} > {_TARGET_FILE}",
    )  # fmt: skip


def host_target_garbage(situation: Situation) -> Finding | None:
    """memory/target is there but is no number."""
    text = situation.snapshot.host.target_text
    if text is None:
        return None
    return Finding(
        "host-target-garbage", "warning",
        "The host's memory/target is not a number; the kernel keeps its last target.",
        {"memory/target": text},
        "on the host: xenstore-write /local/domain/DOMID/memory/target KIB, or xl mem-set",
    )  # fmt: skip


def marked_uncooperative(situation: Situation) -> Finding | None:
    """XAPI's squeezed gave up on this guest."""
    if not situation.snapshot.host.uncooperative:
        return None
    return Finding(
        "marked-uncooperative", "warning",
        "The host has marked this guest uncooperative: it was off its target for 20 s.",
        {"memory/uncooperative": "present"},
        "see the other findings; the mark goes when the target is reached",
    )  # fmt: skip


def static_max_moved(situation: Situation) -> Finding | None:
    """static-max was rewritten after boot; the driver uses the one it read first."""
    record, now_kib = situation.snapshot.boot_record, situation.snapshot.host.static_max_kib
    recorded_kib = record.static_max_kib if record else None
    by_record = recorded_kib is not None and now_kib is not None and recorded_kib != now_kib
    by_offset = (
        situation.offset is not None
        and situation.offset.basis == "settled-target"
        and now_kib is not None
    )
    if not by_record and not by_offset:
        return None
    return Finding(
        "static-max-moved", "info",
        "memory/static-max was changed after boot; the kernel goes by the one it read first.",
        {"memory/static-max_kib": now_kib or 0},
        "nothing to do; a reboot lets the kernel read the new one",
    )  # fmt: skip


def videoram_minus_one(situation: Situation) -> Finding | None:
    """Old toolstacks write -1 for "no video memory"."""
    if situation.snapshot.host.videoram_kib != -1:
        return None
    return Finding(
        "videoram-minus-one", "info",
        "The toolstack wrote -1 as video memory, which makes xl mem-set miss by 1 KiB.",
        {"memory/videoram_kib": -1},
        "on the host: set videoram=0 in the domain's configuration",
    )  # fmt: skip


def hvm_below_configured(situation: Situation) -> Finding | None:
    """An HVM guest has less than configured by design."""
    offset, domain_type = situation.offset, situation.snapshot.domain.domain_type
    if domain_type != "hvm" or offset is None or offset.kib == 0 or situation.state != "settled":
        return None
    return Finding(
        "hvm-below-configured", "info",
        f"The kernel aims {format_kib(offset.kib)} below the host's target: the host counts "
        "firmware and video pages that are no RAM. This is by design.",
        {"offset_kib": offset.kib, "offset_basis": offset.basis},
        "nothing to do",
    )  # fmt: skip


def dom0_grant_gap(situation: Situation) -> Finding | None:
    """dom0 below its target because of pages mapped from guests."""
    balloon = situation.snapshot.balloon
    if balloon is None or not is_lent(situation.snapshot):
        return None
    return Finding(
        "dom0-grant-gap", "info",
        "dom0 is below its target because backends borrowed ballooned pages; that is normal.",
        _numbers(balloon),
        "nothing to do; a kernel with CONFIG_XEN_UNPOPULATED_ALLOC=y does not need to borrow",
    )  # fmt: skip


def _numbers(balloon: BalloonReading) -> dict[str, int | float | str]:
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


BALLOON_RULES: Final = (
    no_driver,
    target_cancelled,
    target_retrying,
    target_beyond_static_max,
    hotplug_offline,
    target_overridden,
    host_target_garbage,
    marked_uncooperative,
    static_max_moved,
    videoram_minus_one,
    hvm_below_configured,
    dom0_grant_gap,
)
