# SPDX-License-Identifier: GPL-2.0-or-later
"""What stands in a planned guest's way, each with the setting that removes it.

The codes are those of the findings that a running guest of that shape shows.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from agent.core.facts.kernel_regimes import regime_of
from agent.core.facts.units import MIB_KIB, format_kib
from agent.core.findings.finding import Evidence, Severity
from agent.core.findings.firmware_map import STRUCT_SHARE_TOLD_PERCENT
from agent.core.plan.plan import SECTION_KIB, Plan, plan
from agent.core.plan.request import XEN_512GB_SINCE

# Reached at maxmem = 6.4 x memory.
_STRUCT_SHARE_BAD_PERCENT: Final = 10


class Limit(NamedTuple):
    """Something that is in the way, or will surprise; `fix` is the setting to change."""

    code: str
    severity: Severity
    summary: str
    evidence: Evidence
    fix: str


def plan_limits(made: Plan) -> tuple[Limit, ...]:
    """All limits of the plan, what keeps it from booting first."""
    rules = (
        _does_not_boot,
        _map_clamped,
        _hot_add_only,
        _page_structs,
        _on_demand,
        _below_configured,
        _dom0_without_max,
        _borrowed_figures,
    )
    return tuple(limit for rule in rules if (limit := rule(made)) is not None)


def _does_not_boot(made: Plan) -> Limit | None:
    if made.obstacle is None:
        return None
    fix = f"raise memory, or lower maxmem (now {format_kib(made.request.maxmem_kib)})"
    if made.obstacle == "low-memory-32bit":
        fix = "lower maxmem, or take a 64-bit kernel"
    return Limit(
        made.obstacle, "critical" if made.boots == "no" else "warning",
        f"Of {format_kib(made.current_kib)}, Linux keeps {format_kib(made.overhead_kib)}: "
        f"{made.reason}.",
        {
            "current_kib": made.current_kib,
            "overhead_kib": made.overhead_kib,
            "mem_total_kib": made.mem_total_kib,
        },
        fix,
    )  # fmt: skip


def _map_clamped(made: Plan) -> Limit | None:
    request = made.request
    missing_kib = request.maxmem_kib - made.reachable_max_kib
    if not request.is_pv or missing_kib <= 0:
        return None
    why, fix = _what_ends_the_map(made)
    hot_adds = made.hot_add_max_kib is not None and made.hot_add_max_kib > made.reachable_max_kib
    return Limit(
        "maxmem-unreachable", "info" if hot_adds else "warning",
        f"{why}: it ends at {format_kib(made.reachable_max_kib)}, {format_kib(missing_kib)} below "
        "maxmem." + (" What lies beyond must be hot-added." if hot_adds else ""),
        {
            "reachable_max_kib": made.reachable_max_kib,
            "maxmem_kib": request.maxmem_kib,
            "missing_kib": missing_kib,
        },
        fix,
    )  # fmt: skip


def _what_ends_the_map(made: Plan) -> tuple[str, str]:
    """Why the kernel's map ends before maxmem, and the setting that changes it."""
    request = made.request
    both = "memory and " if request.memory_kib > made.reachable_max_kib else ""
    lower = f"lower {both}maxmem to {made.reachable_max_kib // MIB_KIB}M"
    most = format_kib(request.most_kib)
    if request.bits == 32 and request.maxmem_kib > request.most_kib:
        return f"A 32-bit kernel addresses {most}", f"take a 64-bit kernel, or {lower}"
    if made.reachable_max_kib >= request.most_kib:
        if request.kernel < XEN_512GB_SINCE:
            return f"A PV kernel of that time maps {most} at most", f"take --type hvm, or {lower}"
        return (
            f"A PV guest maps {most} at most",
            f"xen_512gb_limit=0 on the kernel's command line, --type pvh, or {lower}",
        )
    why, times = {
        "map-10x": ("Linux keeps at most ten times memory in its map", 10),
        "max-reservation": ("Linux 3.1 cuts the map at the hypervisor's limit of the boot", 1),
        "extra-10x": ("Linux keeps at most eleven times memory in its map", 11),
    }[regime_of(request.kernel).clamp]
    return why, f"raise memory to {-(-request.maxmem_kib // (times * MIB_KIB))}M, or {lower}"


def _hot_add_only(made: Plan) -> Limit | None:
    if not made.grows_by_hot_add:
        return None
    certain = "gives" if made.holder_certain else "may give, depending on the distribution,"
    return Limit(
        "grows-by-hot-add", "info",
        f"This kernel {certain} the {format_kib(made.beyond_kib)} beyond memory to "
        f"unpopulated-alloc for good, and grows by hot-adding {format_kib(SECTION_KIB)} at a time. "
        "Where new memory stays offline (Debian 11), raising the target does nothing.",
        {"beyond_kib": made.beyond_kib, "section_kib": SECTION_KIB},
        "in the guest: memhp_default_state=online on the kernel's command line",
    )  # fmt: skip


def _page_structs(made: Plan) -> Limit | None:
    structs_kib = made.cost_kib("struct-pages")
    share = structs_kib * 100 / made.current_kib if made.current_kib else 0.0
    if share <= STRUCT_SHARE_TOLD_PERCENT:
        return None
    return Limit(
        "page-struct-overhead", "warning" if share > _STRUCT_SHARE_BAD_PERCENT else "info",
        f"Page structures for the whole map take {format_kib(structs_kib)}, {share:.0f} % of what "
        "the guest starts with.",
        {
            "struct_pages_kib": structs_kib,
            "current_kib": made.current_kib,
            "share_percent": round(share, 1),
        },
        "lower maxmem, or give the guest more memory to start with",
    )  # fmt: skip


def _on_demand(made: Plan) -> Limit | None:
    request = made.request
    gap_kib = request.maxmem_kib - request.memory_kib
    if request.is_pv or not gap_kib:
        return None
    return Limit(
        "pod-gap", "info",
        f"The guest boots believing in {format_kib(request.maxmem_kib)} and must give "
        f"{format_kib(gap_kib)} back before it may use them; without its balloon driver, or where "
        "something touches all memory first, the hypervisor ends it.",
        {"gap_kib": gap_kib},
        "memory = maxmem where the kernel has no CONFIG_XEN_BALLOON; a long boot needs "
        "xen.balloon_boot_timeout=SECONDS (180)",
    )  # fmt: skip


def _below_configured(made: Plan) -> Limit | None:
    if made.request.domain_type != "hvm":
        return None
    less_kib = made.request.memory_kib - made.current_kib
    return Limit(
        "hvm-below-configured", "info",
        f"The guest gets {format_kib(less_kib)} less than memory: video memory (twice, it is in "
        "the target and in the driver's offset), libxl's 1 MiB and the firmware's pages.",
        {"less_kib": less_kib, "videoram_kib": made.request.videoram_kib},
        "nothing to fix; ask for that much more memory if it matters",
    )  # fmt: skip


def _dom0_without_max(made: Plan) -> Limit | None:
    """What max: is good for, in numbers where the host's size is known."""
    request = made.request
    if not request.is_dom0:
        return None
    summary = (
        "Without max: dom0 maps all the host's memory (up to eleven times its own), and the "
        "toolstack writes a static-max of many TiB. Without dom0_mem it takes almost all memory "
        "at boot and xl shrinks it for every new guest (autoballoon)."
    )
    evidence: dict[str, int | float | str] = {"maxmem_kib": request.maxmem_kib}
    if request.host_memory_kib is not None and request.host_memory_kib > request.maxmem_kib:
        free = plan(request._replace(maxmem_kib=request.host_memory_kib))
        lost_kib = made.mem_total_kib - free.mem_total_kib
        summary += (
            f" On this host of {format_kib(request.host_memory_kib)} a missing max: costs "
            f"{format_kib(lost_kib)}."
        )
        evidence |= {"host_memory_kib": request.host_memory_kib, "lost_kib": lost_kib}
    return Limit(
        "dom0-unlimited", "info", summary, evidence,
        "keep max: on the Xen command line and autoballoon=\"off\" in /etc/xen/xl.conf",
    )  # fmt: skip


def _borrowed_figures(made: Plan) -> Limit | None:
    if made.measured:
        return None
    kernel, size = f"Linux {made.request.kernel}", 50
    if made.request.bits == 32:
        kernel, size = f"{kernel} with 32 bits", 16
    elif made.request.own_build:
        kernel = f"This distribution's own {kernel}"
    return Limit(
        "figures-borrowed", "info",
        f"{kernel} was not measured: what it keeps for itself (some {size} MiB) is that of "
        "the nearest one that was, and may be off by 30 MiB.",
        {"kernel": str(made.request.kernel)},
        "compare with MemTotal of one guest",
    )  # fmt: skip
