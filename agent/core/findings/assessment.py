# SPDX-License-Identifier: GPL-2.0-or-later
"""The judgement of one moment: findings, a verdict, and one sentence."""

from __future__ import annotations

from typing import Literal, NamedTuple

from agent.core.account.situation import Situation, understand
from agent.core.facts.snapshot import Snapshot
from agent.core.facts.units import format_kib
from agent.core.findings.finding import RANK, Finding
from agent.core.findings.registry import SITUATION_CHECKS

Verdict = Literal["ok", "warning", "critical", "unknown"]


class Assessment(NamedTuple):
    """What `status` shows; findings are ordered, the gravest first."""

    situation: Situation
    findings: tuple[Finding, ...]
    verdict: Verdict
    headline: str


def assess(snapshot: Snapshot) -> Assessment:
    """Understand and judge one snapshot; never raises."""
    return judge(understand(snapshot))


def judge(situation: Situation) -> Assessment:
    """Judge what is understood; never raises."""
    found = [finding for _, rule, _ in SITUATION_CHECKS if (finding := rule(situation))]
    found.sort(key=lambda finding: -RANK[finding.severity])
    return Assessment(situation, tuple(found), _verdict(situation, found), headline_of(situation))


def _verdict(situation: Situation, findings: list[Finding]) -> Verdict:
    gravest = max((RANK[finding.severity] for finding in findings), default=0)
    if gravest == RANK["critical"]:
        return "critical"
    if situation.reconciliation.unexplained_kib is None:
        return "unknown"
    return "warning" if gravest == RANK["warning"] else "ok"


def headline_of(situation: Situation) -> str:
    """One sentence for a person: what the guest has, what it may have, what is happening."""
    snapshot = situation.snapshot
    balloon = snapshot.balloon
    if balloon is None or balloon.current_kib is None:
        return "This Xen domain has no balloon driver: the host cannot change its memory."
    who = "dom0" if snapshot.domain.is_dom0 else "The guest"
    has = f"{who} has {format_kib(balloon.current_kib)}"
    up_kib = situation.headroom.up_kib
    if up_kib:
        has += f" of the {format_kib(balloon.current_kib + up_kib)} it may grow to"
    return f"{has}; {_doing(situation)}."


def _doing(situation: Situation) -> str:
    balloon = situation.snapshot.balloon
    target = format_kib(balloon.target_kib or 0) if balloon else ""
    return {
        "settled": "the balloon is settled" + _comfort(situation),
        "moving": f"the balloon is on its way to {target}",
        "retrying": f"it cannot get to {target} yet, and the kernel keeps trying",
        "cancelled": f"the kernel has given up on getting to {target}",
        "unreachable": f"its target of {target} cannot be reached",
        "absent": "its target could not be read",
    }[situation.state]


def _comfort(situation: Situation) -> str:
    memory = situation.snapshot.memory
    if memory is None:
        return ""
    return f" and {format_kib(memory.available_kib)} are available"
