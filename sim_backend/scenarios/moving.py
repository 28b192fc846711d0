# SPDX-License-Identifier: GPL-2.0-or-later
"""The host asks, the balloon moves: the plain stories."""

from collections.abc import Sequence
from typing import Final

from sim_backend import checks
from sim_backend.guest_config import MIB
from sim_backend.scenario import Check, Scenario, Stage
from sim_backend.toolstacks import simple_guest


def _up(seed: int, name: str) -> Stage:
    toolstack, domain = simple_guest(seed=seed, scenario=name)
    stage = Stage(domain.clock, toolstack, domain)
    stage.mem_set(5.0, 768)
    return stage


def _up_judged(stage: Stage) -> Sequence[Check]:
    return (
        checks.settles_at(stage, 768 * MIB, within_s=10.0),
        checks.writes_at_most(stage, 0),
        checks.no_oom(stage),
    )


def _down(seed: int, name: str) -> Stage:
    toolstack, domain = simple_guest(
        seed=seed, scenario=name, memory_kib=1024 * MIB, maxmem_kib=1024 * MIB
    )
    stage = Stage(domain.clock, toolstack, domain)
    stage.mem_set(5.0, 384)
    return stage


def _down_judged(stage: Stage) -> Sequence[Check]:
    return (
        checks.settles_at(stage, 384 * MIB, within_s=15.0),
        checks.writes_at_most(stage, 0),
        checks.available_stays_above(stage, 100 * MIB),
        checks.no_oom(stage),
    )


SCENARIOS: Final = (
    Scenario(
        name="balloon-up",
        summary="a 512 MiB guest is given 768 of its 1024 MiB",
        good_agent="watches: the kernel follows the host by itself",
        duration_s=30.0,
        show_at_s=20.0,
        build=_up,
        judge=_up_judged,
    ),
    Scenario(
        name="balloon-down",
        summary="a guest with 1024 MiB and little to do is asked down to 384",
        good_agent="watches: there is room enough, so it lets the kernel shrink",
        duration_s=30.0,
        show_at_s=20.0,
        build=_down,
        judge=_down_judged,
    ),
)
