# SPDX-License-Identifier: GPL-2.0-or-later
"""Every state a real guest was captured in comes out of the simulator, to the page.

tests/captures/states.json holds what the captures show; `ROWS` the further states of the same
guests under other kernels (KiB: E820 RAM, current, target, ballooned, MemTotal, offline).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agent.core.facts.snapshot import Snapshot
from sim_backend.guest.config import MIB
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.host.libxl import Libxl, simple_guest
from tests.sim_backend.guests import LAB

STATES: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "captures" / "states.json").read_text()
)
Act = Callable[[Libxl, SimulatedDomain], None]


def mem_set(memory_mib: int) -> Act:
    return lambda toolstack, domain: toolstack.mem_set(domain, memory_mib * MIB)


def raw(target: str) -> Act:
    return lambda _, domain: domain.store.write("memory/target", target)


def in_guest(target_kib: int) -> Act:
    return lambda _, domain: domain.set_target_kib(target_kib)


def mem_max(memory_mib: int) -> Act:
    return lambda toolstack, domain: toolstack.mem_max(domain, memory_mib * MIB)


def online_all(_: Libxl, domain: SimulatedDomain) -> None:
    for block in domain.blocks.reading().offline:
        domain.online_block(block)


HOW: dict[str, tuple[Act, ...]] = {
    "boot": (),
    "memset-768": (mem_set(768),),
    "memset-384": (mem_set(384),),
    "memset-1024": (mem_set(768), mem_set(1024)),
    "guest-target_kb-655360": (mem_set(384), in_guest(655360)),
    "xenstore-raw-beyond-maxmem": (mem_set(384), raw("327680"), raw("2097152")),
    "static-max-1536-memset-1280": (mem_max(1536), mem_set(1280)),
    "hotplugged-onlined": (mem_max(1536), mem_set(1280), online_all),
}


def reach(guest: str, acts: tuple[Act, ...]) -> Snapshot:
    """Do it all, and look 8 s after the last act, as the captures did."""
    toolstack, domain = simple_guest(LAB[guest])
    for act in acts:
        act(toolstack, domain)
        domain.clock.run_until(domain.clock.now_s + (8.0 if act is acts[-1] else 60.0))
    return domain.snapshot()


@pytest.mark.parametrize("name", STATES)
def test_a_captured_state_is_reproduced_to_the_page(name: str) -> None:
    guest, _, state = name.partition("/")
    seen = STATES[name]
    snapshot = reach(guest, HOW[state])
    balloon, blocks, log = snapshot.balloon, snapshot.blocks, snapshot.boot_log
    assert balloon
    assert blocks
    assert log
    assert snapshot.zones
    assert snapshot.memory
    assert snapshot.firmware_map
    assert snapshot.iomem
    assert {
        "current_kib": balloon.current_kib,
        "target_kib": balloon.target_kib,
        "low_kib": balloon.low_kib,
        "high_kib": balloon.high_kib,
        "retry_count": balloon.retry_count,
        "schedule_delay_s": balloon.schedule_delay_s,
        "host_target": snapshot.host.target_kib,
        "static_max": snapshot.host.static_max_kib,
        "mem_total_kib": snapshot.memory.total_kib,
        "zones": list(snapshot.zones),
        "firmware_map": [
            [hex(region.start), hex(region.end), region.kind]
            for region in snapshot.firmware_map.in_order_read
        ],
        "iomem_ram": [
            [hex(region.start), hex(region.end), region.kind]
            for region in snapshot.iomem.regions
            if region.kind in ("System RAM", "Xen scratch")
        ],
        "offline_blocks": list(blocks.offline),
        "online_blocks": list(blocks.online),
        "auto_online": blocks.auto_online,
        "boot_log_kib": [log.physical_kib, log.reserved_kib, log.freed_later_kib],
    } == seen


class Row(NamedTuple):
    guest: str
    acts: tuple[Act, ...]
    e820_kib: int
    current_kib: int
    target_kib: int
    ballooned_kib: int
    mem_total_kib: int
    offline_kib: int


K510, K612, K72 = "pv-512-1024-k510", "pv-512-1024-k612", "pv-512-1024-k72"
H612, H72, H510 = "pvh-512-1024-k612", "pvh-512-1024-k72", "pvh-512-1024-k510"
UP = (mem_set(768), mem_set(1024))
ONLINE_UP = (mem_set(768), online_all, mem_set(1024), online_all)
ROWS = (
    Row(K510, (*UP, mem_set(384)), 1572480, 393216, 393216, 131072, 328344, 524288),
    Row(K510, (*UP, mem_set(384), mem_set(512)), 1572480, 524288, 524288, 0, 459416, 524288),
    Row(K510, (mem_set(768), online_all), 1310336, 786432, 786432, 0, 721560, 0),
    Row(K510, ONLINE_UP[:3], 1572480, 786432, 1048576, 0, 721560, 262144),
    Row(K510, ONLINE_UP, 1572480, 1048576, 1048576, 0, 983704, 0),
    Row(K510, (*ONLINE_UP, mem_set(384)), 1572480, 393216, 393216, 655360, 328344, 0),
    Row(K612, UP, 1572480, 1048576, 1048576, 0, 987936, 0),
    Row(K612, (*UP, mem_set(384)), 1572480, 393216, 393216, 655360, 332576, 0),
    Row(K612, (*UP, mem_set(384), mem_set(512)), 1572480, 524288, 524288, 524288, 463648, 0),
    Row(K72, (), 1048192, 524288, 524288, 0, 459404, 0),
    Row(K72, UP[:1], 1310336, 786432, 786432, 0, 721548, 0),
    Row(K72, UP, 1572480, 1048576, 1048576, 0, 983692, 0),
    Row(K72, (*UP, mem_set(384)), 1572480, 393216, 393216, 655360, 328332, 0),
    Row(H510, (), 1048192, 523900, 523900, 524288, 463548, 0),
    Row(H510, UP[:1], 1048192, 786044, 786044, 262144, 725692, 0),
    Row(H612, UP[:1], 1048192, 786044, 786044, 262144, 728564, 0),
    Row(H612, UP, 1048192, 1048188, 1048188, 0, 990708, 0),
    Row(H612, (*UP, mem_set(384)), 1048192, 392828, 392828, 655360, 335348, 0),
    Row(H72, (), 1048192, 523900, 523900, 524288, 462176, 0),
    Row(H72, UP, 1048192, 1048188, 1048188, 0, 986464, 0),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.guest}-{row.current_kib}")
def test_a_state_seen_under_another_kernel_is_reproduced_to_the_page(row: Row) -> None:
    snapshot = reach(row.guest, row.acts)
    balloon, blocks = snapshot.balloon, snapshot.blocks
    assert balloon
    assert blocks
    assert snapshot.memory
    assert snapshot.firmware_map
    assert row[2:] == (
        snapshot.firmware_map.ram_kib,
        balloon.current_kib,
        balloon.target_kib,
        balloon.ballooned_kib,
        snapshot.memory.total_kib,
        len(blocks.offline) * blocks.block_bytes // 1024,
    )


@pytest.mark.parametrize(
    ("memory_mib", "maxmem_mib", "e820_kib", "mem_total_kib"),
    [(256, 4096, 2883584 - 384, 153372), (512, 512, 524288 - 384, 467008)],
)
def test_the_cost_of_a_map_is_within_84_kib_of_what_was_seen(
    memory_mib: int, maxmem_mib: int, e820_kib: int, mem_total_kib: int
) -> None:
    _, domain = simple_guest(
        LAB["pv-512-1024"], memory_kib=memory_mib * MIB, maxmem_kib=maxmem_mib * MIB
    )
    assert domain.blocks.firmware.ram_kib == e820_kib
    assert abs(domain.memory.managed_kib - mem_total_kib) <= 84


def test_a_16_gib_maximum_stops_at_eleven_times_the_memory() -> None:
    _, domain = simple_guest(LAB["pv-512-1024"], maxmem_kib=16384 * MIB)
    assert domain.blocks.firmware.ram_kib + 384 == 11 * 512 * MIB


def test_128_mib_with_a_4_gib_maximum_boots_but_can_hardly_run_a_program() -> None:
    _, domain = simple_guest(LAB["pv-512-1024"], memory_kib=128 * MIB, maxmem_kib=4096 * MIB)
    assert domain.boot.verdict.boots == "risky"
