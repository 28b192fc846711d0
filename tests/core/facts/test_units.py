# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages, KiB and sizes as people write and read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.facts.units import (
    format_apart,
    format_kib,
    kib_to_pages,
    pages_to_kib,
    parse_size_kib,
)


@given(st.integers(0, 1 << 52))
def test_pages_survive_the_way_through_kib(pages: int) -> None:
    assert kib_to_pages(pages_to_kib(pages)) == pages


def test_a_part_of_a_page_is_cut_as_the_kernel_does() -> None:
    assert [kib_to_pages(kib) for kib in (0, 3, 4, 7, 8)] == [0, 0, 1, 1, 2]


@pytest.mark.parametrize(
    ("text", "kib"),
    [
        ("512M", 524288),
        (" 512 MiB ", 524288),
        ("1.5G", 1572864),
        ("1.25 GiB", 1310720),
        ("262144K", 262144),
        ("2T", 2 << 30),
        ("4096", 4),
        ("0", 0),
        ("0.5 MB", 512),
    ],
)
def test_a_size_is_read_as_people_write_it(text: str, kib: int) -> None:
    assert parse_size_kib(text) == kib


def test_a_bare_number_has_the_unit_that_the_option_says() -> None:
    assert parse_size_kib("512", bare_unit="M") == 524288


@pytest.mark.parametrize("text", ["", "M", "-1M", "1e6", "0x10", "1_000K", "٥M", "512 Mo", "1,5G"])
def test_what_is_no_size_is_refused_with_an_example_of_one(text: str) -> None:
    with pytest.raises(ValueError, match="write for example 512M"):
        parse_size_kib(text)


@pytest.mark.parametrize("text", ["1", "1.0001K", "100B"])
def test_a_size_that_is_no_whole_kib_is_refused_and_never_rounded(text: str) -> None:
    with pytest.raises(ValueError, match="not a whole number of KiB"):
        parse_size_kib(text)


@given(st.text(max_size=30))
def test_any_text_is_a_size_or_refused(text: str) -> None:
    try:
        assert parse_size_kib(text) >= 0
    except ValueError as error:
        assert str(error)  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize(
    ("kib", "text"),
    [
        (0, "0 KiB"),
        (1, "1 KiB"),
        (1023, "1023 KiB"),
        (1024, "1 MiB"),
        (1536, "1.5 MiB"),
        (524288, "512 MiB"),
        (523900, "512 MiB"),
        (1048192, "1 GiB"),
        (1048576, "1 GiB"),
        (1310720, "1.25 GiB"),
        (102 * 1024, "102 MiB"),
        (1 << 30, "1 TiB"),
        (-384, "-384 KiB"),
        (-1536, "-1.5 MiB"),
    ],
)
def test_a_size_is_shown_with_three_digits_and_its_unit(kib: int, text: str) -> None:
    assert format_kib(kib) == text


@pytest.mark.parametrize(
    ("hundredths_mib", "text"),
    [
        (997, "9.97 MiB"),
        (1004, "10 MiB"),
        (9944, "99.4 MiB"),
        (9990, "99.9 MiB"),
        (9996, "100 MiB"),
    ],
)
def test_three_digits_matter_and_no_more(hundredths_mib: int, text: str) -> None:
    assert format_kib(hundredths_mib * 1024 // 100) == text


@given(st.integers(-(1 << 39), 1 << 39))
def test_a_shown_size_is_within_half_a_percent_of_the_size(kib: int) -> None:
    number, unit = format_kib(kib).split(" ")
    scale = {"KiB": 1, "MiB": 1 << 10, "GiB": 1 << 20, "TiB": 1 << 30}[unit]
    assert abs(float(number) * scale - kib) <= abs(kib) * 0.00501
    assert abs(float(number)) < 1024


def test_two_sizes_that_read_alike_are_shown_to_the_kib_and_the_same_size_is_not() -> None:
    assert format_apart(523900, 524288) == "523900 KiB"
    assert format_apart(524288, 524288) == "512 MiB"
    assert format_apart(524288, 1048576) == "512 MiB"
