# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests of other shapes: where RAM lies, how much of it there is, memory beyond the map."""

from __future__ import annotations

from typing import Final

from tests.xenlab.model import GuestSpec, Scenario
from tests.xenlab.scenarios import steps
from tests.xenlab.scenarios.planned import as_planned

SCENARIOS: Final = (
    Scenario(
        "pv-e820-host",
        "a PV guest with the host's memory map, so that its RAM lies on both sides of a hole",
        GuestSpec("pv", config=("e820_host = 1",)),
        (
            steps.booted(current_kib=524288, ram_kib=1048192),
            as_planned(),
            steps.healthy(),
            steps.mem_set(768),
            steps.mem_set(1024),
            steps.mem_set(384),
        ),
        quick=True,
    ),
    Scenario(
        "pv-no-room",
        "a PV guest with maxmem = memory: nothing is ballooned out at boot",
        GuestSpec("pv", 512, 512),
        (
            steps.booted(current_kib=524288, ram_kib=523904, ballooned_kib=0),
            as_planned(),
            steps.healthy(),
            steps.mem_set(384),
            steps.mem_set(512),
        ),
    ),
    Scenario(
        "pv-16-times",
        "a PV guest with maxmem 16 times memory: Linux keeps a map of 11 times",
        GuestSpec("pv", 256, 4096),
        (
            steps.booted(current_kib=262144, ram_kib=2883200),
            as_planned(),
            steps.healthy(),
            steps.mem_set(1024),
            steps.mem_set(256),
        ),
    ),
    Scenario(
        "pvh-no-room",
        "a PVH guest with maxmem = memory",
        GuestSpec("pvh", 512, 512),
        (
            steps.booted(current_kib=523900, ballooned_kib=0),
            as_planned(),
            steps.healthy(),
            steps.mem_set(384, offset_kib=388),
            steps.mem_set(512, offset_kib=388),
        ),
    ),
    Scenario(
        "pv-hotplug",
        "a PV guest grown beyond its map: sections are hot-added and left offline",
        GuestSpec("pv"),
        (
            steps.booted(current_kib=524288),
            steps.mem_max(1536),
            steps.blocks_left_offline(1280, current_kib=1048576, offline_kib=262144),
            steps.blocks_put_online(1280),
            steps.mem_set(512),
            steps.mem_set(1280, " again"),
        ),
        quick=True,
    ),
)
