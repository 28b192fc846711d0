# SPDX-License-Identifier: GPL-2.0-or-later
"""Nobody makes the program work longer than his input is long."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import pytest

from tests.fuzz.growth import (
    GUEST_SIZES,
    GUESTS,
    SIZES,
    Work,
    a_parser_at_random,
    growth,
    of_guest,
    of_log_filter,
    of_parser,
)

# Each once took a parser to the square of it, or further.
REPEATED = (
    ("kernel_log", b"", b"Memory: 1K/1K available (", b""),
    ("kernel_log", b"", b"Freeing ", b"memory: 1K"),
    ("kernel_log", b"Memory: 1K/9K available (5K reserved)\n", b"Freeing a memory: ", b""),
    ("kernel_complaints", b"[    1.000000]", b" Waiting for initial ballooning", b""),
    ("kernel_complaints", b"", b"kernel BUG at /", b""),
    ("kernel_complaints", b"", b"System RAM resource [mem ", b""),
    ("iomem", b"", b" ", b"0-0 : System RAM"),
    ("memory_options", b"", b"crashkernel=1G-4G:5M,", b""),
    ("crash_options", b"crashkernel=", b"1G-4G:5M,", b"x"),
    ("crash_ranges", b"", b" ", b"0-1 : Crash kernel"),
    ("kernel_config", b"CONFIG_64BIT=y\n", b"CONFIG_XEN_", b"=y"),
    ("zoneinfo", b"", b" ", b"spanned 5"),
    ("meminfo", b"MemTotal:", b" ", b"5 kB\n"),
    ("untrusted", b"", b"9", b""),
)


@pytest.mark.parametrize(("name", "head", "part", "tail"), REPEATED)
def test_a_part_that_is_repeated_takes_time_in_proportion(
    name: str, head: bytes, part: bytes, tail: bytes
) -> None:
    assert not growth(of_parser(name, head, part, tail), SIZES).is_too_fast


@pytest.mark.parametrize("part", ["Freeing ", "Memory: ", "Memory cgroup out of memory: ", "x"])
def test_a_capture_keeps_of_a_log_what_it_keeps_in_time(part: str) -> None:
    assert not growth(of_log_filter(part), SIZES).is_too_fast


@pytest.mark.parametrize("name", GUESTS)
def test_a_guest_is_judged_in_proportion_to_its_size(name: str) -> None:
    assert not growth(of_guest(GUESTS[name]), GUEST_SIZES).is_too_fast


def test_a_few_inputs_at_random_are_read_in_proportion() -> None:
    rng = random.Random(5)
    for _ in range(30):
        name, work = a_parser_at_random(rng)
        assert not growth(work, SIZES[:2]).is_too_fast, name


def test_what_grows_with_the_square_is_found() -> None:
    slow = re.compile(r"a.*b$")

    def work(size: int) -> Callable[[], object]:
        text = "a" * (size // 16)
        return lambda: slow.search(text)

    found: Work = work
    assert growth(found, SIZES).is_too_fast
