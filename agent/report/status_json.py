# SPDX-License-Identifier: GPL-2.0-or-later
"""`status --json`: one object, sizes in KiB.  Keys may be added here, never renamed or removed."""

from __future__ import annotations

from typing import Any, Final

from agent.core.account.situation import Situation
from agent.core.account.waterfall import Waterfall, waterfall
from agent.core.facts.memory_map import MemoryMap
from agent.core.facts.units import KIB, kib_to_pages
from agent.core.findings.assessment import Assessment

SCHEMA: Final = 1


def status_object(assessment: Assessment) -> dict[str, Any]:
    """The whole status as JSON's own types; what could not be read is None."""
    situation = assessment.situation
    snapshot = situation.snapshot
    return {
        "schema": SCHEMA,
        "source": snapshot.origin._asdict(),
        "sources": dict(snapshot.sources),
        "verdict": assessment.verdict,
        "headline": assessment.headline,
        "domain": _domain(situation),
        "e820": _e820(situation),
        "nr_pages": _nr_pages(situation),
        "balloon": _balloon(situation),
        "host": _host(situation),
        "reconciliation": _reconciliation(situation),
        "memory": _memory(situation),
        "waterfall": waterfall_object(waterfall(situation)),
        "pressure": snapshot.pressure._asdict() if snapshot.pressure else None,
        "hotplug": _hotplug(situation),
        "headroom": situation.headroom._asdict(),
        "not_made": list(assessment.not_made),
        "findings": [finding.as_object() for finding in assessment.findings],
    }


def regions_object(memory_map: MemoryMap | None) -> list[dict[str, str]] | None:
    """Ranges as JSON has them: inclusive ends, addresses as hexadecimal strings."""
    if memory_map is None:
        return None
    return [
        {"start": f"{region.start:#x}", "end": f"{region.end:#x}", "type": region.kind}
        for region in memory_map.regions
    ]


def holes_object(memory_map: MemoryMap | None) -> list[dict[str, Any]] | None:
    """What lies between two spans of RAM."""
    if memory_map is None:
        return None
    return [
        {"start": f"{hole.start:#x}", "end": f"{hole.stop - 1:#x}", "kib": hole.kib}
        for hole in memory_map.holes()
    ]


def waterfall_object(fall: Waterfall) -> dict[str, Any]:
    """Sizes in KiB, steps with their sign; a level is the one before plus its steps."""
    return {
        "levels": [
            {
                "name": level.name,
                "kib": level.kib,
                "steps": [step._asdict() for step in level.steps],
            }
            for level in fall.levels
        ],
        "available_free_kib": fall.free_kib,
        "available_cache_kib": fall.cache_kib,
    }


def _domain(situation: Situation) -> dict[str, Any]:
    domain = situation.snapshot.domain
    return {
        "type": domain.domain_type,
        "kernel": domain.kernel_text,
        "xen": domain.xen_version,
        "name": domain.name,
        "uuid": domain.uuid,
        "domid": domain.domid,
        "toolstack": domain.toolstack,
        "page_kib": domain.page_kib,
    }


def _e820(situation: Situation) -> dict[str, Any]:
    firmware_map = situation.snapshot.firmware_map
    return {
        "ram_kib": firmware_map.ram_kib if firmware_map else None,
        "ram_at_boot_kib": situation.boot.ram_kib,
        "beyond_nr_pages_kib": situation.boot.beyond_kib,
        "regions": regions_object(firmware_map),
        "holes": holes_object(firmware_map),
        "oddities": list(firmware_map.oddities) if firmware_map else [],
    }


def _nr_pages(situation: Situation) -> dict[str, Any]:
    nr_pages = situation.boot.nr_pages
    if nr_pages is None:
        return {"pages": None, "method": None, "exact": False}
    return nr_pages._asdict()


def _balloon(situation: Situation) -> dict[str, Any]:
    balloon = situation.snapshot.balloon
    fields = (
        "current_kib",
        "target_kib",
        "ballooned_kib",
        "low_kib",
        "high_kib",
        "schedule_delay_s",
        "max_schedule_delay_s",
        "retry_count",
        "max_retry_count",
        "scrub_pages",
    )
    values = {name: getattr(balloon, name) if balloon else None for name in fields}
    return {"state": situation.state, "refused_by": situation.refused_by, **values}


def _host(situation: Situation) -> dict[str, Any]:
    host = situation.snapshot.host
    offset = situation.offset
    return {
        "target_kib": host.target_kib,
        "static_max_kib": host.static_max_kib,
        "hotplug_max_kib": host.hotplug_max_kib,
        "videoram_kib": host.videoram_kib,
        "dynamic_min_kib": host.dynamic_min_kib,
        "dynamic_max_kib": host.dynamic_max_kib,
        "target_offset_kib": offset.kib if offset else None,
        "target_offset_basis": offset.basis if offset else None,
    }


def _reconciliation(situation: Situation) -> dict[str, Any]:
    result = situation.reconciliation
    left_kib = result.unexplained_kib
    return {
        "identity": result.identity,
        "terms": [term._asdict() for term in result.terms],
        "proof": result.proof,
        "unexplained_kib": left_kib,
        "unexplained_pages": None if left_kib is None else kib_to_pages(left_kib),
        "obstacle": result.obstacle,
    }


def _memory(situation: Situation) -> dict[str, Any]:
    memory, parts = situation.snapshot.memory, situation.overhead
    return {
        "total_kib": memory.total_kib if memory else None,
        "available_kib": memory.available_kib if memory else None,
        "free_kib": memory.free_kib if memory else None,
        "swap_total_kib": memory.swap_total_kib if memory else None,
        "swap_free_kib": memory.swap_free_kib if memory else None,
        "overhead_kib": parts.kib if parts else None,
        "overhead_terms": [term._asdict() for term in parts.terms] if parts else [],
    }


def _hotplug(situation: Situation) -> dict[str, Any]:
    snapshot = situation.snapshot
    blocks = snapshot.blocks
    return {
        "unpopulated": snapshot.hotplug_unpopulated,
        "auto_online_blocks": blocks.auto_online if blocks else None,
        "block_kib": blocks.block_bytes // KIB if blocks else None,
        "offline_blocks": list(blocks.offline) if blocks else None,
    }
