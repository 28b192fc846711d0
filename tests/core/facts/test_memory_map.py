# SPDX-License-Identifier: GPL-2.0-or-later
"""RAM is counted once, whatever a firmware says about it and in whatever order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.facts.bounds import LARGEST_ADDRESS
from agent.core.facts.memory_map import Region, Span, memory_map, merge_spans, whole_pages
from tests.support.snapshots import DOM0_MAP, HVM_MAP, RAM, guest_map, ram_map

LAST_ADDRESS = (1 << 64) - 1
KINDS = st.sampled_from([RAM, "Reserved", "ACPI Tables", "type 20", "Xen scratch"])
REGIONS = st.builds(
    lambda start, size, kind: Region(start * 1024, (start + size) * 1024 - 1, kind),
    st.integers(0, 200), st.integers(1, 60), KINDS,
)  # fmt: skip
MAPS = st.lists(REGIONS, max_size=12)


@given(MAPS)
def test_each_address_of_ram_is_counted_once(regions: list[Region]) -> None:
    kib_of_ram = {
        kib
        for region in regions
        if region.kind == RAM
        for kib in range(region.start // 1024, (region.end + 1) // 1024)
    }
    found = memory_map(regions)
    whole = sum({page * 4, page * 4 + 1, page * 4 + 2, page * 4 + 3} <= kib_of_ram
                for page in range(70))  # fmt: skip
    assert found.ram_kib == len(kib_of_ram)
    assert found.ram_pages == whole


@given(MAPS, st.randoms())
def test_the_order_of_the_ranges_changes_no_number(regions: list[Region], random: object) -> None:
    shuffled = list(regions)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = memory_map(regions), memory_map(shuffled)
    assert one.ram_spans() == other.ram_spans()
    assert one.holes() == other.holes()
    assert one.regions == other.regions
    assert list(other.in_order_read) == shuffled


@given(MAPS)
def test_holes_and_ram_together_are_the_whole_span(regions: list[Region]) -> None:
    found = memory_map(regions)
    spans = found.ram_spans()
    if not spans:
        assert (found.top, found.holes(), found.ram_kib) == (0, (), 0)
        return
    parts = sorted((*spans, *found.holes()))
    assert [part.start for part in parts[1:]] == [part.stop for part in parts[:-1]]
    assert sum(p.stop - p.start for p in parts) == found.top - spans[0].start


@given(MAPS, st.integers(0, 1 << 18), st.integers(0, 1 << 18))
def test_ram_in_two_halves_is_never_more_than_ram_in_the_whole(
    regions: list[Region], start: int, size: int
) -> None:
    found, stop = memory_map(regions), start + size
    inside = found.ram_within_pages(start, stop)
    outside = found.ram_within_pages(0, start) + found.ram_within_pages(stop, 1 << 40)
    assert 0 <= inside + outside <= found.ram_pages


def test_a_range_to_the_very_last_address_is_counted_to_the_last_byte() -> None:
    found = ram_map((1 << 51, LARGEST_ADDRESS - 1))
    assert found.ram_kib == 1 << 41
    assert found.top == LARGEST_ADDRESS
    assert found.oddities == ()


@pytest.mark.parametrize("end", [LARGEST_ADDRESS, 1 << 60, LAST_ADDRESS])
def test_ram_that_no_machine_can_address_is_left_out_and_said(end: int) -> None:
    sound = Region(0x100000, 0x1FFFFF, RAM)
    found = memory_map([sound, Region(0x200000, end, RAM), Region(1 << 50, end, "Reserved")])
    assert found.ram_kib == 1024
    assert [region.kind for region in found.regions] == [RAM, "Reserved"]
    assert "more RAM than a machine can address" in found.oddities[0]


@pytest.mark.parametrize(
    ("start", "end"),
    [(5, 4), (0, -1), (-4096, 8191), (0, 1 << 64), (1 << 64, 1 << 65)],
)
def test_what_is_no_range_is_left_out_and_said(start: int, end: int) -> None:
    sound = Region(0x100000, 0x1FFFFF, RAM)
    found = memory_map([Region(start, end, RAM), sound])
    assert found.regions == (sound,)
    assert len(found.oddities) == 1
    assert "is no range, left out" in found.oddities[0]


def test_an_overlap_is_kept_counted_once_and_said() -> None:
    found = ram_map((0, 0x1FFFFF), (0x100000, 0x2FFFFF))
    assert found.ram_kib == 3 * 1024
    assert found.oddities == ("range 0x100000-0x2fffff overlaps one before it",)


def test_a_range_of_a_single_byte_is_one_and_overlaps_the_one_it_lies_in() -> None:
    found = ram_map((0, 0xFFF), (0xFFF, 0xFFF))
    assert len(found.regions) == 2
    assert found.oddities == ("range 0xfff-0xfff overlaps one before it",)
    assert ram_map((0, 0xFFF), (0x1000, 0x1000)).oddities == ()


def test_an_unknown_type_is_kept_and_is_no_ram() -> None:
    odd = Region(0x200000, 0x2FFFFF, "Soft Reserved 7")
    found = memory_map([Region(0, 0xFFFFF, RAM), odd])
    assert odd in found.regions
    assert found.ram_kib == 1024


def test_oddities_of_the_source_come_first() -> None:
    assert memory_map([Region(1, 0, RAM)], ["entry 3: absent"]).oddities[0] == "entry 3: absent"


def test_ranges_that_touch_are_one_span() -> None:
    assert merge_spans([Span(8, 12), Span(0, 4), Span(4, 8)]) == (Span(0, 12),)
    assert ram_map((0, 0xFFF), (0x1000, 0x1FFF)).holes() == ()


@pytest.mark.parametrize(
    ("start", "stop", "pages"),
    [(0, 4096, 1), (1, 8191, 0), (1, 8192, 1), (4095, 8193, 1), (0, 0, 0), (100, 50, 0)],
)
def test_only_whole_aligned_pages_count(start: int, stop: int, pages: int) -> None:
    assert whole_pages(Span(start, stop)) == pages


def test_the_isa_window_of_a_usual_guest_is_96_pages() -> None:
    assert guest_map().isa_hole_pages == 96
    assert guest_map().page_zero_pages == 1


def test_a_map_that_calls_the_isa_window_ram_has_no_such_hole() -> None:
    assert ram_map((0, 0x3FFFFFFF)).isa_hole_pages == 0


def test_a_map_that_ends_below_the_isa_window_has_no_such_hole() -> None:
    assert ram_map((0, 0x9FFFF)).isa_hole_pages == 0


def test_the_maps_of_an_hvm_guest_and_of_dom0_end_inside_pages_or_do_not() -> None:
    assert (HVM_MAP.ram_kib, HVM_MAP.ram_pages * 4) == (1048187, 1048184)
    assert DOM0_MAP.ram_kib == DOM0_MAP.ram_pages * 4 == 1572864


PARTS = st.lists(
    st.builds(lambda start, size: Span(start * 4096, (start + size) * 4096),
              st.integers(0, 70), st.integers(0, 20)),
    max_size=6,
)  # fmt: skip


@given(MAPS, PARTS)
def test_pages_in_several_parts_are_those_of_each_counted_once(
    regions: list[Region], parts: list[Span]
) -> None:
    found = memory_map(regions)
    pages = {page for part in parts for page in range(part.start // 4096, part.stop // 4096)}
    one_by_one = sum(found.ram_within_pages(p * 4096, (p + 1) * 4096) for p in pages)
    assert found.ram_pages_in(parts) == one_by_one
