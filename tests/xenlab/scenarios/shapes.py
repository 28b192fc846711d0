# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests of other shapes: where RAM lies, how much of it there is, memory beyond the map."""

from __future__ import annotations

from typing import Final

from tests.xenlab.model import GuestSpec, Scenario
from tests.xenlab.scenarios import steps
from tests.xenlab.scenarios.daemon import started, with_daemon
from tests.xenlab.scenarios.planned import as_planned

VNUMA: Final = (
    'vnuma = [["pnode=0", "size=512", "vcpus=0", "vdistances=10,20"], '
    '["pnode=0", "size=512", "vcpus=1", "vdistances=20,10"]]'
)
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
    Scenario(
        "hvm-stdvga",
        "an HVM guest with a screen and 16 MiB of video memory, which `memory` includes",
        GuestSpec("hvm", config=('vga = "stdvga"', "videoram = 16"), beside_kib=16 * 1024),
        (
            steps.booted(),
            as_planned(),
            steps.follows(768, video_mib=16),
            steps.follows(384, video_mib=16),
        ),
    ),
    Scenario(
        "hvm-mmio-hole",
        "an HVM guest whose devices have 3.5 GiB below 4 GiB, so that RAM lies above",
        GuestSpec("hvm", 640, 1024, config=("mmio_hole = 3584",)),
        (steps.booted(), steps.follows(768), steps.follows(1024), steps.follows(480)),
    ),
    Scenario(
        "hvm-uefi",
        "an HVM guest started by UEFI, whose firmware keeps some pages",
        GuestSpec("hvm", config=('bios = "ovmf"',), beside_kib=6996),
        (steps.booted(), steps.healthy(), steps.follows(768), steps.follows(400)),
    ),
    Scenario(
        "hvm-vnuma",
        "an HVM guest with two NUMA nodes",
        GuestSpec("hvm", 1024, 1024, vcpus=2, config=(VNUMA, "maxvcpus = 2")),
        (steps.booted(), steps.healthy(), steps.follows(768), steps.follows(1024)),
    ),
    Scenario(
        "pv-busy-host",
        "a PV guest of a host that saves it running, takes and gives processors, asks in storms",
        GuestSpec("pv", systemd=True, vcpus=2),
        (
            started(),
            with_daemon(steps.saved_running()),
            with_daemon(steps.processors(1)),
            with_daemon(steps.processors(2)),
            with_daemon(steps.storm(40)),
        ),
    ),
)
