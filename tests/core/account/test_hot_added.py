# SPDX-License-Identifier: GPL-2.0-or-later
"""Which ranges of the firmware map came after the boot."""

from __future__ import annotations

from agent.core.account.hot_added import hot_added_kib, hot_added_regions, offline_kib
from agent.core.facts.memory_map import Region, memory_map
from agent.core.facts.snapshot import MemoryBlocks
from tests.support.snapshots import BLOCK, GIB, MIB, RAM, guest_map, ram_map

BOOT_KIB = guest_map().ram_kib
AT_1_GIB = (0x40000000, 0x47FFFFFF)
BEHIND_IT = (0x48000000, 0x4FFFFFFF)
AT_4_GIB = (0x100000000, 0x10FFFFFFF)


def test_a_boots_own_map_has_none() -> None:
    assert hot_added_regions(guest_map(), BLOCK) == ()
    assert hot_added_regions(guest_map(), BLOCK, BOOT_KIB) == ()


def test_ram_that_would_have_been_merged_at_boot_came_later() -> None:
    added = hot_added_regions(guest_map(GIB, AT_1_GIB, BEHIND_IT), BLOCK)
    assert [region.start for region in added] == [AT_1_GIB[0], BEHIND_IT[0]]
    assert hot_added_kib(added) == 256 * MIB


def test_ram_behind_its_address_order_came_later() -> None:
    """As Linux 6.12 adds: the first range at 4 GiB, the second at 1 GiB."""
    added = hot_added_regions(guest_map(GIB, AT_4_GIB, AT_1_GIB), BLOCK)
    assert [region.start for region in added] == [AT_1_GIB[0]]


def test_the_size_of_the_boots_ram_finds_also_a_range_that_stands_like_a_boots_own() -> None:
    firmware_map = guest_map(GIB, AT_4_GIB)
    assert hot_added_regions(firmware_map, BLOCK) == ()
    added = hot_added_regions(firmware_map, BLOCK, BOOT_KIB)
    assert [region.start for region in added] == [AT_4_GIB[0]]


def test_no_more_is_taken_for_hot_added_than_the_boots_ram_leaves() -> None:
    """Ranges of the boot may be whole blocks as well."""
    firmware_map = ram_map((0, AT_1_GIB[0] - 1), AT_1_GIB, AT_4_GIB)
    added = hot_added_regions(firmware_map, BLOCK, GIB)
    assert [region.start for region in added] == [AT_1_GIB[0], AT_4_GIB[0]]
    added = hot_added_regions(firmware_map, BLOCK, GIB + 128 * MIB)
    assert [region.start for region in added] == [AT_4_GIB[0]]
    assert hot_added_regions(firmware_map, BLOCK, firmware_map.ram_kib) == ()


def test_a_range_within_another_up_to_its_end_is_in_address_order() -> None:
    within = ram_map((0, AT_1_GIB[0] - 1), (AT_1_GIB[0] - BLOCK, AT_1_GIB[0] - 1))
    assert hot_added_regions(within, BLOCK) == ()


def test_a_size_that_no_set_of_ranges_explains_finds_none() -> None:
    assert hot_added_regions(guest_map(GIB, AT_1_GIB), BLOCK, BOOT_KIB - 4) == ()


def test_ranges_that_are_no_whole_blocks_were_never_added() -> None:
    assert hot_added_regions(guest_map(GIB, (0x40000000, 0x40000FFF)), BLOCK) == ()


def test_without_a_block_size_nothing_is_claimed() -> None:
    assert hot_added_regions(guest_map(GIB, AT_1_GIB), None) == ()
    assert hot_added_regions(guest_map(GIB, AT_1_GIB), 0) == ()


def test_offline_memory_is_only_what_is_ram_within_the_blocks() -> None:
    firmware_map = guest_map(GIB, AT_1_GIB)
    assert offline_kib(firmware_map, MemoryBlocks(BLOCK, (), (8, 9))) == 128 * MIB
    assert offline_kib(firmware_map, MemoryBlocks(BLOCK, (8,), ())) == 0


def test_a_range_listed_twice_is_offline_once() -> None:
    firmware_map = memory_map([Region(*AT_1_GIB, RAM), Region(*AT_1_GIB, RAM)])
    assert offline_kib(firmware_map, MemoryBlocks(BLOCK, (), (8,))) == 128 * MIB


def test_of_many_hot_added_ranges_the_first_that_stands_apart_is_found() -> None:
    """Ranges that a boot could have had come first, then one that touches the one before it."""
    alone = (0x200000000, 0x207FFFFFF)
    touching = (0x208000000, 0x20FFFFFFF)
    added = hot_added_regions(guest_map(GIB, AT_4_GIB, alone, touching), BLOCK)
    assert [region.start for region in added] == [touching[0]]
    lower = hot_added_regions(guest_map(GIB, alone, AT_4_GIB, touching), BLOCK)
    assert [region.start for region in lower] == [AT_4_GIB[0], touching[0]]
    assert hot_added_regions(guest_map(GIB, AT_4_GIB, alone), BLOCK) == ()
