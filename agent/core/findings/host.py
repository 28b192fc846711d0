# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules about what the host says of this domain in xenstore."""

from __future__ import annotations

import re
from typing import Final

from agent.core.account.situation import Situation
from agent.core.facts.snapshot import Snapshot
from agent.core.facts.units import MIB_KIB, format_kib
from agent.core.findings.finding import Finding
from agent.core.findings.host_commands import host_name_of, raise_maximum, set_memory, set_range
from agent.core.findings.units_trap import LEAST_KIB, misread_host_target

# XAPI and xl allow the toolstack's own difference; what is larger is a contradiction.
_SLACK_KIB: Final = MIB_KIB
# In a text as `agent.core.facts.untrusted.excerpt` quotes it.
_LEADING_DIGITS: Final = re.compile(r"""["'](?: |\\[tnrvf]|\\x0[bc])*([0-9]{1,64})""", re.ASCII)


def target_beyond_static_max(situation: Situation) -> Finding | None:
    """The host asks for more than the domain may ever have."""
    host = situation.snapshot.host
    if host.target_kib is None or host.static_max_kib is None:
        return None
    if host.target_kib <= host.static_max_kib or misread_host_target(situation) is not None:
        return None
    return Finding(
        "target-beyond-static-max", "warning",
        f"The host asks for {format_kib(host.target_kib)}, the domain may have at most "
        f"{format_kib(host.static_max_kib)}.",
        {"memory/target_kib": host.target_kib, "memory/static-max_kib": host.static_max_kib},
        f"{set_memory(situation.snapshot, host.static_max_kib)}  # on the host; or raise "
        f"static-max: {raise_maximum(situation.snapshot, host.target_kib)}",
        cause="memory/target was written by hand, or by a tool that does not look at static-max; "
        "the kernel tries, and the hypervisor refuses.",
        actor="host",
    )  # fmt: skip


def host_limits_contradict(situation: Situation) -> Finding | None:
    """dynamic-min above dynamic-max, or either above static-max."""
    host = situation.snapshot.host
    limits = (
        ("memory/dynamic-min", host.dynamic_min_kib),
        ("memory/dynamic-max", host.dynamic_max_kib),
        ("memory/static-max", host.static_max_kib),
    )
    known = [(name, kib) for name, kib in limits if kib is not None]
    if all(low <= high + _SLACK_KIB for (_, low), (_, high) in zip(known, known[1:])):
        return None
    return Finding(
        "host-limits-contradict", "warning",
        "The host's limits contradict each other: they should rise from dynamic-min over "
        "dynamic-max to static-max.",
        {f"{name}_kib": kib for name, kib in known},
        f"{_range_in_order(situation.snapshot)}  # on the host",
        cause="The keys were written one by one, or by two tools.",
        actor="host",
    )  # fmt: skip


def _range_in_order(snapshot: Snapshot) -> str:
    """The same dynamic range the right way round, within static-max."""
    host = snapshot.host
    most_kib = host.static_max_kib
    sizes = [kib for kib in (host.dynamic_min_kib, host.dynamic_max_kib) if kib is not None]
    within = sorted(kib if most_kib is None else min(kib, most_kib) for kib in sizes)
    return set_range(snapshot, within[0], within[-1])


def host_target_garbage(situation: Situation) -> Finding | None:
    """memory/target is there but is no plain number."""
    text = situation.snapshot.host.target_text
    if text is None:
        return None
    read_kib = _what_the_kernel_reads_kib(text)
    deadly = read_kib is not None and read_kib < LEAST_KIB
    key = f"/local/domain/{host_name_of(situation.snapshot)}/memory/target"
    return Finding(
        "host-target-garbage", "critical" if deadly else "warning",
        "The host's memory/target is not a number; the kernel keeps its last target."
        if read_kib is None
        else f"The host's memory/target is not a plain number; the kernel reads "
        f"{format_kib(read_kib)} from it.",
        {"memory/target": text},
        f"xenstore-write {key} {_sound_target_kib(situation)}  # on the host: KiB, digits only",
        cause="Something on the host writes the key without looking at what it writes."
        + ("" if read_kib is None else " The kernel takes the digits and ignores the rest."),
        actor="host",
    )  # fmt: skip


def _what_the_kernel_reads_kib(excerpt: str) -> int | None:
    """What `xenbus_scanf(..., "%llu")` finds in the key: digits after blanks (balloon.c)."""
    digits = _LEADING_DIGITS.match(excerpt)
    return int(digits[1]) % (1 << 64) if digits else None


def _sound_target_kib(situation: Situation) -> int:
    """A target as the host counts it that changes nothing, or stops a fall."""
    balloon = situation.snapshot.balloon
    offset_kib = situation.offset.kib if situation.offset else 0
    target_kib = (balloon.target_kib if balloon else None) or 0
    current_kib = (balloon.current_kib if balloon else None) or 0
    return (target_kib if target_kib >= LEAST_KIB else current_kib) + offset_kib


def marked_uncooperative(situation: Situation) -> Finding | None:
    """XAPI's squeezed gave up on this guest."""
    host, balloon = situation.snapshot.host, situation.snapshot.balloon
    if not host.uncooperative:
        return None
    evidence: dict[str, int | float | str] = {"memory/uncooperative": "present"}
    if host.target_kib is not None and balloon is not None and balloon.current_kib is not None:
        evidence["memory/target_kib"] = host.target_kib
        evidence["memory/memory-offset_kib"] = host.memory_offset_kib or 0
        evidence["current_kib"] = balloon.current_kib
    return Finding(
        "marked-uncooperative", "warning",
        "The host has marked this guest uncooperative: it was off its target for 20 s.",
        evidence,
        "balloon-agent status  # the other findings say why; the mark goes at the target",
        cause="The balloon moves too slowly or is stuck; or XAPI's memory-offset for this domain "
        "is wrong, which only a reboot calibrates again.",
        actor="either",
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
        cause="xl mem-max, or Qubes, which moves static-max with the target.",
        actor="nobody",
    )  # fmt: skip


def videoram_minus_one(situation: Situation) -> Finding | None:
    """Old toolstacks write -1 for "no video memory"."""
    if situation.snapshot.host.videoram_kib != -1:
        return None
    return Finding(
        "videoram-minus-one", "info",
        "The toolstack wrote -1 as video memory, which makes xl mem-set miss by 1 KiB.",
        {"memory/videoram_kib": -1},
        "videoram=0  # in the domain's configuration, on the host",
        cause="xl writes -1 where the configuration of a PV or PVH guest does not set videoram.",
        actor="host",
    )  # fmt: skip


def hvm_below_configured(situation: Situation) -> Finding | None:
    """An HVM guest has less than configured by design."""
    offset, domain_type = situation.offset, situation.snapshot.domain.domain_type
    if domain_type != "hvm" or offset is None or offset.kib == 0 or situation.state != "settled":
        return None
    return Finding(
        "hvm-below-configured", "info",
        f"The kernel aims {format_kib(offset.kib)} below the host's target. This is by design.",
        {"offset_kib": offset.kib, "offset_basis": offset.basis},
        "nothing to do",
        cause="The host counts firmware and video pages that are no RAM for the guest.",
        actor="nobody",
    )  # fmt: skip


def pod_gap(situation: Situation) -> Finding | None:
    """More RAM in the map than there is memory, and no driver to tell the kernel."""
    snapshot = situation.snapshot
    host, domain_type = snapshot.host, snapshot.domain.domain_type
    if snapshot.balloon is not None or domain_type not in ("hvm", "pvh"):
        return None
    if host.target_kib is None or host.static_max_kib is None:
        return None
    gap_kib = host.static_max_kib - host.target_kib - max(0, host.videoram_kib or 0)
    if gap_kib <= 2 * MIB_KIB:
        return None
    return Finding(
        "pod-gap", "critical",
        f"The guest believes it has {format_kib(gap_kib)} more than it was given: Xen kills it "
        "when it uses them.",
        {
            "memory/target_kib": host.target_kib,
            "memory/static-max_kib": host.static_max_kib,
            "gap_kib": gap_kib,
            "xen_memory0": "absent",
        },
        "memory=SIZE maxmem=SIZE  # the same in both, in the domain's configuration, until the "
        "guest's kernel has CONFIG_XEN_BALLOON=y",
        cause="The domain was started with memory below maxmem (populate on demand), which only a "
        "balloon driver makes good; there is none.",
        actor="either",
    )  # fmt: skip
