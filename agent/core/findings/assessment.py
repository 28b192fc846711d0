# SPDX-License-Identifier: GPL-2.0-or-later
"""The judgement of one moment: findings, a verdict, and one sentence.

`judge` looks at one snapshot, as the daemon does; `diagnose` (see `diagnosis`) makes every check
there is, for the commands.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from agent.core.account.situation import Situation
from agent.core.account.target_offset import counted_beyond_kib
from agent.core.facts.units import format_kib
from agent.core.findings import (
    balloon,
    crash_kernel,
    firmware_map,
    host,
    memory,
    quirks,
    squeezed,
    units_trap,
)
from agent.core.findings.examination import Examination
from agent.core.findings.finding import Finding
from agent.core.findings.registry import Search, codes_of

OF_A_SNAPSHOT: Final = (
    units_trap, balloon, quirks, host, squeezed, firmware_map, memory, crash_kernel,
)  # fmt: skip
"""The modules whose checks every assessment makes; importing them enters them."""
_CODES: Final = codes_of(OF_A_SNAPSHOT)

Verdict = Literal["ok", "warning", "critical", "unknown"]


class Assessment(NamedTuple):
    """What `status` shows; findings are ordered, the gravest first.

    `not_made`: the codes of checks that could not be made at this look.
    """

    situation: Situation
    findings: tuple[Finding, ...]
    verdict: Verdict
    headline: str
    not_made: tuple[str, ...] = ()


def judge(situation: Situation) -> Assessment:
    """Judge what is understood; never raises."""
    seen = Examination(situation, situation.snapshot.sources)
    return assessment_of(situation, Search(seen, _CODES).all())


def assessment_of(
    situation: Situation, findings: tuple[Finding, ...], not_made: tuple[str, ...] = ()
) -> Assessment:
    """What follows from the findings of a moment, the gravest first: the same for all commands."""
    verdict: Verdict = "ok" if can_be_judged(situation) else "unknown"
    if findings and findings[0].severity != "info":
        verdict = findings[0].severity
    return Assessment(situation, findings, verdict, headline_of(situation), not_made)


def can_be_judged(situation: Situation) -> bool:
    """Whether the balloon's state is known, and the host could be asked what it wants.

    Who may not ask it, as an ordinary user, is told what is missing; that is no silent host.
    """
    connection = situation.snapshot.sources.get("xenstore", "ok")
    return situation.state != "absent" and connection in ("ok", "absent", "denied")


def why_unknown(situation: Situation) -> str:
    """What the verdict `unknown` is due to, in words; "" where it is the balloon's own state."""
    if situation.state == "absent" or can_be_judged(situation):
        return ""
    return f"what the host asks for is not known: {situation.snapshot.unheard}"


def headline_of(situation: Situation) -> str:
    """One sentence for a person: what the guest has, what it may have, what is happening."""
    snapshot = situation.snapshot
    if snapshot.balloon is None or snapshot.balloon.current_kib is None:
        return "This Xen domain has no balloon driver: the host cannot change its memory."
    who = snapshot.domain.called(first=True)
    if situation.in_crash_kernel:
        who = "A crash kernel"
    return f"{who} has {_has(situation)}; {_doing(situation)}."


def _has(situation: Situation) -> str:
    """What it has and may grow to; where the two read alike, by how much."""
    has_kib, reach_kib = situation.populated_kib or 0, situation.headroom.reach_kib
    has = format_kib(has_kib)
    nothing_more = situation.in_crash_kernel or counted_beyond_kib(situation.snapshot) is not None
    if not reach_kib or nothing_more:
        return has
    most = format_kib(has_kib + reach_kib)
    if most == has:
        return f"{has} and may grow by {format_kib(reach_kib)}"
    return f"{has} of the {most} it may grow to"


def _doing(situation: Situation) -> str:
    if counted_beyond_kib(situation.snapshot) is not None:
        return "that is all it can have" + _comfort(situation)
    target = _target(situation)
    return {
        "settled": "the balloon is settled" + _comfort(situation),
        "moving": f"the balloon is on its way to {target}",
        "retrying": f"it cannot get to {target} yet, and the kernel keeps trying",
        "cancelled": f"the kernel has given up on getting to {target}",
        "unreachable": f"{target if 'target' in target else 'its target of ' + target} cannot be "
        "reached",
        "unclear": f"it is not at {target}, and was not seen to move",
        "absent": "its target could not be read",
    }[situation.state]


def _target(situation: Situation) -> str:
    """A target that reads like what the guest has is told by what lies between."""
    driver = situation.driver
    if driver is None:
        return "an unknown target"
    if driver.target_kib < 0:
        return "a target below nothing"
    target = format_kib(driver.target_kib)
    if not driver.way_kib or target != format_kib(situation.populated_kib or 0):
        return target
    return f"a target {format_kib(abs(driver.way_kib))} {'above' if driver.grows else 'below'} that"


def _comfort(situation: Situation) -> str:
    memory = situation.snapshot.memory
    if memory is None:
        return ""
    return f" and {format_kib(memory.available_kib)} are available"
