# SPDX-License-Identifier: GPL-2.0-or-later
"""The main line: everything a host does to a target, for each type of guest and for dom0.

A PVH or HVM kernel aims below the host's target by a constant of its boot, seen with 512/1024 MiB
on Xen 4.17 and Linux 6.1: 388 KiB in PVH, 396 KiB in HVM.
"""

from __future__ import annotations

from typing import Final

from tests.xenlab.model import Case, GuestSpec, Scenario
from tests.xenlab.scenarios import steps
from tests.xenlab.scenarios.planned import as_planned

PVH_OFFSET_KIB: Final = 388
HVM_OFFSET_KIB: Final = 396
DOM0_MIB: Final = 1024


def _odd_targets(offset_kib: int) -> tuple[Case, ...]:
    return (
        steps.raw_target_beyond_the_map(2097152),
        steps.garbage_target(),
        steps.target_removed(),
        steps.target_restored(393216, offset_kib=offset_kib),
    )


def _moves(offset_kib: int) -> tuple[Case, ...]:
    return (
        steps.mem_set(768, offset_kib=offset_kib),
        steps.mem_set(1024, offset_kib=offset_kib),
        steps.refused(2048),
        steps.mem_set(384, offset_kib=offset_kib),
    )


SCENARIOS: Final = (
    Scenario(
        "pv",
        "a PV guest and all that a host may do to its target",
        GuestSpec("pv"),
        (
            steps.booted(current_kib=524288, target_kib=524288, ram_kib=1048192),
            as_planned(),
            steps.healthy(),
            steps.as_ordinary_user(),
            *_moves(0),
            *_odd_targets(0),
            steps.mem_max(1536),
        ),
        quick=True,
    ),
    Scenario(
        "pvh",
        "a PVH guest, up, down and to the maximum",
        GuestSpec("pvh"),
        (
            steps.booted(current_kib=523900, target_kib=523900, ram_kib=1048192),
            as_planned(),
            steps.healthy(),
            steps.as_ordinary_user(),
            *_moves(PVH_OFFSET_KIB),
        ),
        quick=True,
    ),
    Scenario(
        "pvh-odd-targets",
        "a PVH guest whose target is beyond reach, garbage, gone",
        GuestSpec("pvh"),
        (
            steps.mem_set(384, offset_kib=PVH_OFFSET_KIB),
            *_odd_targets(PVH_OFFSET_KIB),
            steps.mem_max(1536),
        ),
    ),
    Scenario(
        "hvm",
        "an HVM guest, up, down and to the maximum",
        GuestSpec("hvm"),
        (
            steps.booted(current_kib=522868, target_kib=522868, ram_kib=1048187),
            as_planned(),
            steps.healthy(),
            steps.as_ordinary_user(),
            *_moves(HVM_OFFSET_KIB),
        ),
        quick=True,
    ),
    Scenario(
        "hvm-odd-targets",
        "an HVM guest whose target is beyond reach, garbage, gone",
        GuestSpec("hvm"),
        (
            steps.mem_set(384, offset_kib=HVM_OFFSET_KIB),
            *_odd_targets(HVM_OFFSET_KIB),
            steps.mem_max(1536),
        ),
    ),
    Scenario(
        "dom0",
        "dom0, whose keys in xenstore come with the first command that wants them",
        GuestSpec("dom0", 1024, 1536),
        (
            steps.booted(current_kib=1048576, target_kib=1048576),
            steps.healthy(),
            steps.as_ordinary_user(),
            steps.mem_set(1280),
            steps.mem_set(896),
            steps.mem_set(1024),
        ),
        quick=True,
    ),
)
