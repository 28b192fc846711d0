# SPDX-License-Identifier: GPL-2.0-or-later
"""`plan --json`: the planned guest, or the advice on a target, as one object; sizes in KiB."""

from __future__ import annotations

from typing import Any

from agent.core.account.situation import Situation
from agent.core.plan.config import plan_config
from agent.core.plan.limits import plan_limits
from agent.core.plan.plan import Plan
from agent.core.plan.target import Advice
from agent.core.plan.waterfall import planned_waterfall
from agent.report.status_json import SCHEMA, regions_object, waterfall_object


def plan_object(made: Plan) -> dict[str, Any]:
    """Everything that `plan` says before a boot; keys are added, never renamed."""
    request = made.request
    config = plan_config(request)
    return {
        "schema": SCHEMA,
        "type": request.domain_type,
        "kernel": str(request.kernel),
        "arch": "x86_64" if request.bits == 64 else "i386",
        "memory_kib": request.memory_kib,
        "maxmem_kib": request.maxmem_kib,
        "videoram_kib": request.videoram_kib,
        "mmio_hole_kib": request.mmio_hole_kib if request.domain_type == "hvm" else None,
        "vcpus": request.cpus,
        "boots": made.boots,
        "reason": made.reason,
        "measured": made.measured,
        "reachable_max_kib": made.reachable_max_kib,
        "host_reachable_max_kib": made.host_reachable_max_kib,
        "hot_add_max_kib": made.hot_add_max_kib,
        "target_offset_kib": made.target_offset_kib,
        "map_kib": made.firmware.ram_kib,
        "map": regions_object(made.firmware),
        "current_at_boot_kib": made.current_kib,
        "mem_total_at_boot_kib": made.mem_total_kib,
        "beyond_nr_pages_kib": made.beyond_kib,
        "beyond_is_held_by": made.holder if made.beyond_kib else None,
        "overhead_kib": made.overhead_kib,
        "page_struct_kib": made.cost_kib("struct-pages"),
        "p2m_kib": made.cost_kib("p2m"),
        "page_table_kib": made.cost_kib("page-tables"),
        "waterfall": waterfall_object(planned_waterfall(made)),
        "targets": [target._asdict() for target in made.targets],
        "limits": [limit._asdict() for limit in plan_limits(made)],
        "config": {
            "xl.cfg": list(config.xl),
            "xe": list(config.xe),
            "xen": list(config.xen),
            "xl.conf": list(config.xl_conf),
        },
    }


def advice_object(advice: Advice, situation: Situation) -> dict[str, Any]:
    """What `plan --target` says of a running guest."""
    return {
        "schema": SCHEMA,
        "source": situation.snapshot.origin._asdict(),
        **advice._asdict(),
        "reasons": list(advice.reasons),
    }
