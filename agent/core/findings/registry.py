# SPDX-License-Identifier: GPL-2.0-or-later
"""The registry of what `status` and `doctor` look for in one snapshot.

Each check has the code of its finding, the rule, and the sources it cannot do without: names of
`Snapshot.sources`.  Where one of them could not be read the check was not made, and the doctor
says so.  docs/findings.md has a line for every code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from agent.core.account.situation import Situation
from agent.core.findings import balloon as balloon_rules
from agent.core.findings import host as host_rules
from agent.core.findings import memory as memory_rules
from agent.core.findings import units_trap as unit_rules
from agent.core.findings.finding import Finding

_DRIVER: Final = ("balloon.current_kb", "balloon.target_kb")
_TARGET: Final = "xenstore.memory/target"
_STATIC_MAX: Final = "xenstore.memory/static-max"


class SituationCheck(NamedTuple):
    """One thing to look for, and what has to be readable for it."""

    code: str
    rule: Callable[[Situation], Finding | None]
    needs: tuple[str, ...]


SITUATION_CHECKS: Final = (
    SituationCheck("no-driver", balloon_rules.no_driver, ()),
    SituationCheck("target-cancelled", balloon_rules.target_cancelled, _DRIVER),
    SituationCheck("target-retrying", balloon_rules.target_retrying, _DRIVER),
    SituationCheck("target-snapped", balloon_rules.target_snapped, (*_DRIVER, _TARGET)),
    SituationCheck("target-overridden", balloon_rules.target_overridden, (*_DRIVER, _TARGET)),
    SituationCheck("phantom-credit", balloon_rules.phantom_credit, (*_DRIVER, "kernel-release")),
    SituationCheck("units-trap", unit_rules.units_trap, (*_DRIVER, "balloon.target")),
    SituationCheck("hotplug-offline", balloon_rules.hotplug_offline, (*_DRIVER, "memory-blocks")),
    SituationCheck("dom0-grant-gap", balloon_rules.dom0_grant_gap, _DRIVER),
    SituationCheck(
        "target-beyond-static-max", host_rules.target_beyond_static_max, (_TARGET, _STATIC_MAX)
    ),
    SituationCheck("host-limits-contradict", host_rules.host_limits_contradict, ("xenstore",)),
    SituationCheck("host-target-garbage", host_rules.host_target_garbage, ("xenstore",)),
    SituationCheck("marked-uncooperative", host_rules.marked_uncooperative, ("xenstore",)),
    SituationCheck("static-max-moved", host_rules.static_max_moved, (_STATIC_MAX,)),
    SituationCheck("videoram-minus-one", host_rules.videoram_minus_one, ("xenstore",)),
    SituationCheck("hvm-below-configured", host_rules.hvm_below_configured, (*_DRIVER, _TARGET)),
    SituationCheck("pod-gap", host_rules.pod_gap, (_TARGET, _STATIC_MAX)),
    SituationCheck("unexplained", memory_rules.unexplained, (*_DRIVER, "firmware-map")),
    SituationCheck(
        "maxmem-unreachable", memory_rules.maxmem_unreachable, (_STATIC_MAX, "firmware-map")
    ),
    SituationCheck(
        "page-struct-overhead", memory_rules.page_struct_overhead, (*_DRIVER, "firmware-map")
    ),
    SituationCheck(
        "pressure-after-deflate", memory_rules.pressure_after_deflate, (*_DRIVER, "meminfo")
    ),
    SituationCheck("map-odd", memory_rules.map_odd, ("firmware-map",)),
    SituationCheck("iomem-hidden", memory_rules.iomem_hidden, ()),
    SituationCheck("kdump-kernel", memory_rules.kdump_kernel, ("kernel-options",)),
)
