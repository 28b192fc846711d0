# SPDX-License-Identifier: GPL-2.0-or-later
"""An assessment as Prometheus metrics.

    # HELP xen_balloon_current_bytes Memory that is populated now.
    # TYPE xen_balloon_current_bytes gauge
    xen_balloon_current_bytes 5.36870912e+08

Names and meanings: docs/metrics.md.  What could not be read is left out, never 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from agent import __version__
from agent.core.account.balloon_state import State
from agent.core.account.situation import Situation
from agent.core.facts.units import KIB
from agent.core.findings.assessment import Assessment
from agent.core.findings.finding import RANK
from agent.report.exposition import exposed, gauge_by

PREFIX: Final = "xen_balloon"


def metrics_text(assessment: Assessment) -> str:
    """The exposition, in the text format that every Prometheus reads."""
    return exposed(_families(assessment))


def _families(assessment: Assessment) -> Iterator[Metric]:
    situation = assessment.situation
    yield _domain(situation)
    yield from _sizes(situation)
    yield _state(situation)
    yield from _driver(situation)
    yield from _parts(situation)
    yield from _pressure(situation)
    yield from _findings(assessment)
    yield _sources(situation)


def _domain(situation: Situation) -> Metric:
    domain = situation.snapshot.domain
    return InfoMetricFamily(
        f"{PREFIX}_domain",
        "What kind of domain this is; always 1.",
        {
            "type": domain.domain_type or "unknown",
            "kernel": domain.kernel_text or "unknown",
            "xen": domain.xen_version or "unknown",
            "toolstack": domain.toolstack or "unknown",
            "agent": __version__,
            "source": situation.snapshot.origin.kind,
        },
    )


def _sizes(situation: Situation) -> Iterator[Metric]:
    """Single sizes, in bytes."""
    snapshot, room = situation.snapshot, situation.headroom
    balloon, host, memory = snapshot.balloon, snapshot.host, snapshot.memory
    firmware_map, offset = snapshot.firmware_map, situation.offset
    for name, kib, about in (
        ("current", balloon and balloon.current_kib, "Memory that is populated now."),
        ("target", balloon and balloon.target_kib, "What the kernel aims at."),
        ("ballooned", balloon and balloon.ballooned_kib, "What the balloon holds."),
        ("host_target", host.target_kib, "What the host asks for: memory/target."),
        ("static_max", host.static_max_kib, "The most the host may give: memory/static-max."),
        ("target_offset", offset and offset.kib, "What the kernel aims below the host's target."),
        ("headroom_up", room.up_kib, "How far the host could still raise."),
        ("headroom_down", room.down_kib, "How far the guest could sink without harm."),
        ("floor", room.floor_kib, "The least populated memory that serves what is in use."),
        ("e820_ram", firmware_map and firmware_map.ram_kib, "System RAM of the firmware map."),
        ("beyond_nr_pages", situation.boot.beyond_kib, "RAM of the boot's map not populated then."),
        ("memory_usable", memory and memory.total_kib, "What the allocator owns: MemTotal."),
        ("memory_available", memory and memory.available_kib, "MemAvailable."),
        ("unexplained", situation.reconciliation.unexplained_kib, "RAM of the map in no count."),
    ):
        if kib is not None:
            yield GaugeMetricFamily(f"{PREFIX}_{name}_bytes", about, value=kib * KIB)


def _state(situation: Situation) -> Metric:
    states = {state: float(state == situation.state) for state in get_args(State)}
    about = "What the balloon is doing; 1 for the state it is in."
    return gauge_by("state", f"{PREFIX}_state", about, states)


def _driver(situation: Situation) -> Iterator[Metric]:
    balloon, blocks = situation.snapshot.balloon, situation.snapshot.blocks
    tries, delay_s = (balloon.retry_count, balloon.schedule_delay_s) if balloon else (None, None)
    offline = len(blocks.offline) * blocks.block_bytes if blocks else None
    for name, value, about in (
        ("retry_attempts", tries, "Attempts at the present target."),
        ("schedule_delay_seconds", delay_s, "What the driver waits before its next attempt."),
        ("offline_memory_bytes", offline, "Memory blocks that are there and not in use."),
    ):
        if value is not None:
            yield GaugeMetricFamily(f"{PREFIX}_{name}", about, value=value)


def _parts(situation: Situation) -> Iterator[Metric]:
    """The terms of the reconciliation and of the overhead."""
    terms = {term.name: term.kib * KIB for term in situation.reconciliation.terms}
    about = "The terms that add up to the unexplained bytes, with their signs."
    yield gauge_by("term", f"{PREFIX}_reconciliation_bytes", about, terms)
    if situation.reconciliation.proof is not None:
        yield GaugeMetricFamily(
            f"{PREFIX}_reconciliation_checked",
            "1 when every term was read or follows from the boot, 0 when one was inferred.",
            value=float(situation.reconciliation.proof == "checked"),
        )
    if situation.overhead is not None:
        parts = {part.name: part.kib * KIB for part in situation.overhead.terms}
        about = "What Linux keeps of the populated memory."
        yield gauge_by("part", f"{PREFIX}_overhead_bytes", about, parts)


def _pressure(situation: Situation) -> Iterator[Metric]:
    pressure = situation.snapshot.pressure
    if pressure is None:
        return
    stalled = CounterMetricFamily(
        f"{PREFIX}_pressure_stalled_seconds",
        "Time lost for want of memory (PSI), by some tasks or by all.",
        labels=["kind"],
    )
    stalled.add_metric(["some"], pressure.some_total_us / 1e6)
    stalled.add_metric(["full"], pressure.full_total_us / 1e6)
    yield stalled


def _findings(assessment: Assessment) -> Iterator[Metric]:
    severities = [finding.severity for finding in assessment.findings]
    counts: dict[str, float] = {severity: severities.count(severity) for severity in RANK}
    yield gauge_by("severity", f"{PREFIX}_findings", "How many findings there are.", counts)
    present = GaugeMetricFamily(
        f"{PREFIX}_finding",
        "1 for each finding; see docs/findings.md.",
        labels=["code", "severity"],
    )
    for finding in assessment.findings:
        present.add_metric([finding.code, finding.severity], 1)
    yield present


def _sources(situation: Situation) -> Metric:
    sources = sorted(situation.snapshot.sources.items())
    readable = {name: float(status == "ok") for name, status in sources if "." not in name}
    return gauge_by("source", f"{PREFIX}_source_readable", "1 when it could be read.", readable)
