# SPDX-License-Identifier: GPL-2.0-or-later
"""The main scenarios on other kernels, where the balloon of a PV guest behaves differently.

Only 6.1 keeps the RAM beyond `memory` in the balloon. The others hand it to unpopulated-alloc, so
that growing hot-adds memory blocks: left offline by 5.10, put online at once by 6.12 and later.
"""

from __future__ import annotations

from typing import Final

from tests.xenlab.model import GuestSpec, Scenario
from tests.xenlab.scenarios import steps
from tests.xenlab.scenarios.planned import as_planned

PVH_OFFSET_KIB: Final = 388


def _grows_by_itself(suite: str, series: str) -> tuple[Scenario, ...]:
    return (
        Scenario(
            f"pv-{suite}",
            f"a PV guest with Debian {suite}'s Linux {series}: grows by blocks that come online",
            GuestSpec("pv", kernel=suite),
            (
                steps.booted(current_kib=524288, ballooned_kib=0),
                as_planned(),
                steps.healthy(),
                steps.as_ordinary_user(),
                steps.mem_set(768),
                steps.mem_set(1024),
                steps.mem_set(384),
                steps.mem_set(512),
            ),
        ),
        Scenario(
            f"pvh-{suite}",
            f"a PVH guest with Debian {suite}'s Linux {series}",
            GuestSpec("pvh", kernel=suite),
            (
                steps.booted(current_kib=523900, ballooned_kib=524288),
                as_planned(),
                steps.healthy(),
                steps.mem_set(768, offset_kib=PVH_OFFSET_KIB),
                steps.mem_set(384, offset_kib=PVH_OFFSET_KIB),
            ),
        ),
    )


SCENARIOS: Final = (
    Scenario(
        "pv-bullseye",
        "a PV guest with Debian 11's Linux 5.10: xl mem-set upwards is without effect",
        GuestSpec("pv", kernel="bullseye"),
        (
            steps.booted(current_kib=524288, ballooned_kib=0),
            as_planned(),
            steps.healthy(),
            steps.as_ordinary_user(),
            steps.blocks_left_offline(768, current_kib=524288, offline_kib=262144),
            steps.blocks_put_online(768),
            steps.mem_set(384),
            steps.mem_set(512),
        ),
    ),
    *_grows_by_itself("trixie", "6.12"),
    *_grows_by_itself("sid", "7.x"),
)
