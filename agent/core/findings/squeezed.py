# SPDX-License-Identifier: GPL-2.0-or-later
"""What XAPI's squeezed makes of this guest."""

from __future__ import annotations

from agent.core.account.headroom import spoilt_offset_kib
from agent.core.facts.units import format_kib
from agent.core.findings.examination import Examination
from agent.core.findings.finding import Finding, Fix, what_is_known
from agent.core.findings.registry import XENSTORE, check


@check(
    "memory-offset-spoilt",
    severity="warning",
    do="shut the guest down and start it",
    needs=(XENSTORE,),
    unless=("no-driver",),
)
def memory_offset_spoilt(seen: Examination) -> Finding | None:
    """XAPI's squeezed took its measure of this guest while the balloon still moved."""
    host, domain = seen.snapshot.host, seen.snapshot.domain
    offset_kib = host.memory_offset_kib
    if domain.toolstack != "xapi" or offset_kib is None:
        return None
    spoilt_kib = spoilt_offset_kib(host, domain.is_pv)
    if spoilt_kib is None and not (
        host.uncooperative and seen.situation.is_where_the_host_wants_it
    ):
        return None
    effect = "the host believes that it misses its target, and asks it up and down or marks it"
    if spoilt_kib is not None and spoilt_kib < 0:
        effect = f"its limit stays {format_kib(-spoilt_kib)} below what the host promises"
    note = "shut the guest down and start it: only for a new domain squeezed measures again"
    evidence = {
        "memory/memory-offset_kib": offset_kib,
        "memory/uncooperative": "present" if host.uncooperative else "absent",
        "memory/target_kib": host.target_kib,
        "memory/dynamic-max_kib": host.dynamic_max_kib,
        "current_kib": seen.driver and seen.driver.current_kib,
    }
    return Finding(
        summary=f"XAPI's memory-offset for this guest is wrong: {effect}.",
        evidence=what_is_known(evidence),
        cause="squeezed takes what a guest has beyond its target for a constant, once, when "
        "data/updated or control/feature-balloon appears; here that was before the balloon had "
        "come to rest. Another agent writes them at its start; for an HVM guest the host's own "
        "device model may.",
        fixes=(Fix("guest", (), "next-boot", note),),
    )


@check(
    "marked-uncooperative",
    severity="warning",
    do="see the other findings",
    needs=(XENSTORE,),
    because=(
        "no-driver", "hotplug-offline", "hotplug-refused", "units-trap", "target-retrying",
        "target-cancelled", "target-snapped", "not-seen-moving", "memory-offset-spoilt",
    ),
)  # fmt: skip
def marked_uncooperative(seen: Examination) -> Finding | None:
    """XAPI's squeezed gave up on this guest."""
    host = seen.snapshot.host
    if not host.uncooperative:
        return None
    evidence = {
        "memory/uncooperative": "present",
        "memory/target_kib": host.target_kib,
        "memory/memory-offset_kib": host.memory_offset_kib,
        "current_kib": seen.driver and seen.driver.current_kib,
    }
    return Finding(
        summary="The host has marked this guest uncooperative: it was off its target for 20 s.",
        evidence=what_is_known(evidence),
        cause="The balloon moves too slowly, or is stuck; or the daemon keeps it off the target: "
        "mode guard holds what the guest needs, mode self gives back.",
        remark="the mark goes when the guest is at its target",
    )
