# SPDX-License-Identifier: GPL-2.0-or-later
"""The plan as a screen: the answer, the waterfall, the map, the targets, limits, lines to paste."""

from __future__ import annotations

from typing import Final

from agent.core.account.situation import Situation
from agent.core.boot.verdict import Boots
from agent.core.facts.units import MIB_KIB, format_exactly, format_kib
from agent.core.findings.assessment import Verdict
from agent.core.findings.host_commands import set_memory
from agent.core.plan.config import plan_config
from agent.core.plan.limits import plan_limits
from agent.core.plan.plan import Plan, TargetName
from agent.core.plan.target import Advice
from agent.core.plan.waterfall import planned_waterfall
from agent.report.styled import Line, Span, beside, heading, line, wrapped
from agent.report.top import banner_lines, coded, marked_lines
from agent.report.waterfall_text import waterfall_lines

VERDICTS: Final[dict[Boots, Verdict]] = {"yes": "ok", "risky": "warning", "no": "critical"}
_TYPES: Final = {"pv": "PV guest", "pvh": "PVH guest", "hvm": "HVM guest", "dom0-pv": "dom0"}
_TARGETS: Final[dict[TargetName, str]] = {
    "lowest": "lowest that lets it live",
    "boot": "as booted",
    "map": "all of the map",
    "maxmem": "maxmem",
}


def plan_lines(made: Plan, width: int) -> list[Line]:
    """The whole screen for a guest that has not booted."""
    return [
        *marked_lines(VERDICTS[made.boots], _headline(made), width),
        *wrapped(_who(made), width, indent="  ", style="dim"),
        (),
        *waterfall_lines(planned_waterfall(made), width),
        *_targets(made, width),
        *_map(made, width),
        *_limits(made, width),
        *_config(made),
    ]


def advice_lines(advice: Advice, situation: Situation, width: int) -> list[Line]:
    """The answer about a target of a running guest."""
    words = {"yes": "would not hurt", "risky": "is risky", "no": "would hurt"}[advice.answer]
    if advice.answer == "no" and advice.reasons[0].startswith("The host refuses"):
        words = "is not possible"
    # Not rounded for the eye.
    kib, mib = advice.target_kib, advice.target_kib // MIB_KIB
    exactly = f"{kib} KiB" if kib % MIB_KIB else f"{mib} MiB"
    lines = [*banner_lines(situation, width)]
    lines += marked_lines(VERDICTS[advice.answer], f"{exactly} {words}.", width)
    lines.append(())
    for reason in advice.reasons:
        lines += wrapped(reason, width, indent="  ")
    lines.append(())
    balloon = situation.snapshot.balloon
    now_kib = balloon.current_kib if balloon else None
    for name, size_kib in (
        ("Now", now_kib),
        ("Then", max(0, advice.kernel_target_kib)),
        ("MemTotal", advice.mem_total_kib),
        ("Available", advice.available_kib),
        ("Safe from", advice.safe_from_kib),
        ("Safe to", advice.safe_to_kib),
    ):
        if size_kib is not None:
            lines.append(line(Span(f"{name:<10}", "heading"), format_exactly(size_kib)))
    if advice.answer == "yes" and now_kib != advice.kernel_target_kib:
        lines += [(), line(Span("On the host  ", "heading"), _on_the_host(situation, kib))]
    return lines


def _on_the_host(situation: Situation, kib: int) -> str:
    """What sets that size there; xl takes a bare number for MiB."""
    snapshot = situation.snapshot
    if snapshot.domain.toolstack == "libxl":
        return f"xl mem-set DOMAIN {f'{kib}k' if kib % MIB_KIB else kib // MIB_KIB}"
    fix = set_memory(snapshot, kib)
    return "; ".join(fix.commands) or fix.note


def _headline(made: Plan) -> str:
    answer = {"yes": "It boots", "risky": "It hardly boots", "no": "It does not boot"}[made.boots]
    return f"{answer}: of {format_kib(made.current_kib)}, {made.reason}."


def _who(made: Plan) -> str:
    request = made.request
    words = [
        _TYPES.get(request.domain_type, request.domain_type),
        f"with memory {format_kib(request.memory_kib)}, maxmem {format_kib(request.maxmem_kib)}",
    ]
    if request.videoram_kib:
        words.append(f"(video memory {format_kib(request.videoram_kib)})")
    bits = "" if request.bits == 64 else " (32 bits)"
    return f"{' '.join(words)}, Linux {request.kernel.major}.{request.kernel.minor}{bits}"


def _targets(made: Plan, width: int) -> list[Line]:
    lines = [heading("Targets"), line(Span(f"  {'mem-set':>9}  {'MemTotal':>9}", "dim"))]
    for target in made.targets:
        note = _TARGETS[target.name]
        if target.hot_added_kib:
            note += f", {format_kib(target.hot_added_kib)} hot-added"
        asked = format_kib(target.host_target_kib)
        has = format_kib(max(0, target.mem_total_kib))
        lines += beside(line(f"  {asked:>9}  {has:>9}"), note, width, style="dim")
    return [*lines, ()]


def _map(made: Plan, width: int) -> list[Line]:
    lines = [heading("Map")]
    for region in made.firmware.regions:
        size = format_kib(region.kib)
        lines += beside(line(f"  {region.start:#011x}  {size:>9}"), region.kind, width)
    return [*lines, ()]


def _limits(made: Plan, width: int) -> list[Line]:
    lines: list[Line] = []
    for limit in plan_limits(made):
        lines.append(coded(limit.severity, limit.code))
        lines += wrapped(limit.summary, width, indent="    ")
        lines += wrapped(f"Change: {limit.fix}", width, indent="    ", style="dim")
    if not lines:
        return [line(Span("Limits ", "heading"), "none"), ()]
    return [heading("Limits"), *lines, ()]


def _config(made: Plan) -> list[Line]:
    """Lines to paste, unbroken."""
    config = plan_config(made.request)
    lines: list[Line] = []
    for name, words in (
        ("xl.cfg", config.xl),
        ("Xen command line", config.xen),
        ("/etc/xen/xl.conf", config.xl_conf),
        ("XAPI", config.xe),
    ):
        if words:
            lines.append(heading(name))
            lines += [line(f"  {text}") for text in words]
    return lines
