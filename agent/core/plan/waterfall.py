# SPDX-License-Identifier: GPL-2.0-or-later
"""The waterfall of a guest that has not booted yet: from maxmem to MemTotal."""

from __future__ import annotations

from agent.core.account.waterfall import Level, Step, Waterfall
from agent.core.plan.plan import Plan


def planned_waterfall(made: Plan) -> Waterfall:
    """Levels and steps as `status` will show them once the guest has booted."""
    request = made.request
    mapped_kib = made.current_kib + made.beyond_kib
    offset_kib = made.target_offset_kib
    cut_kib = request.maxmem_kib - offset_kib - mapped_kib
    steps = [
        Step("not-for-linux", -offset_kib, "counted by the host only"),
        Step("not-in-the-map", -cut_kib, "the kernel cuts the map before maxmem"),
    ]
    held_by = "unpopulated-alloc" if made.grows_by_hot_add else "ballooned"
    held = Step(held_by, -made.beyond_kib, "in the map, without memory")
    return Waterfall(
        (
            Level("maxmem", request.maxmem_kib, ()),
            Level("map", mapped_kib, _there(steps)),
            Level("current", made.current_kib, _there([held])),
            Level("total", made.mem_total_kib, _kept(made)),
        )
    )


def _kept(made: Plan) -> tuple[Step, ...]:
    """What Linux keeps; the rounding of all parts to pages is the kernel's."""
    rounding_kib = made.overhead_kib - sum(part.kib for part in made.costs)
    return tuple(
        Step(part.name, -part.kib - (rounding_kib if part.name == "kernel" else 0), part.why)
        for part in made.costs
    )


def _there(steps: list[Step]) -> tuple[Step, ...]:
    return tuple(step for step in steps if step.kib)
