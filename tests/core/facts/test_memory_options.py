# SPDX-License-Identifier: GPL-2.0-or-later
"""Which words of a command line concern memory, and what crashkernel= sets aside."""

from __future__ import annotations

import pytest

from agent.core.facts.memory_options import crash_kernel_kib, crash_low_kib, memory_options

MIB = 1024
GIB = 1024 * MIB
RANGES = ("crashkernel=1G-4G:192M,4G-64G:256M",)


@pytest.mark.parametrize(
    "word",
    [
        "mem=512M",
        "memmap=64M$1G",
        "memhp_default_state=online",
        "memory_hotplug.online_policy=auto-movable",
        "crashkernel=256M",
        "swiotlb=force",
        "hugepages=128",
        "hugepagesz=1G",
        "psi=1",
        "xen.balloon_boot_timeout=600",
        "xen_512gb_limit",
        "xen_scrub_pages=0",
        "balloon_hugepages",
        "elfcorehdr=867704K",
        "cma=64M",
    ],
)
def test_a_word_that_changes_memory_or_the_balloon_is_kept_of_a_command_line(word: str) -> None:
    assert memory_options(f"BOOT_IMAGE=/vmlinuz root=/dev/xvda1 {word} memtest=4 quiet\n") == (
        word,
    )


def test_the_words_about_memory_stay_in_their_order() -> None:
    assert memory_options("psi=1 ro mem=512M xen_scrub_pages=0") == (
        "psi=1",
        "mem=512M",
        "xen_scrub_pages=0",
    )


@pytest.mark.parametrize(
    ("ram_kib", "kib"),
    [
        (GIB - 128 * MIB, 0),
        (GIB - 128 * MIB + 1, 192 * MIB),  # RAM is rounded up to 128 MiB
        (GIB, 192 * MIB),
        (4 * GIB - 128 * MIB, 192 * MIB),
        (4 * GIB, 256 * MIB),
        (64 * GIB - 128 * MIB, 256 * MIB),
        (64 * GIB, 0),
    ],
)
def test_a_range_holds_from_its_start_up_to_its_end(ram_kib: int, kib: int) -> None:
    assert crash_kernel_kib(RANGES, ram_kib) == kib


@pytest.mark.parametrize(
    ("ram_kib", "low_kib"), [(4 * GIB + 512 * MIB, 256 * MIB), (4 * GIB + 512 * MIB - 4, 0)]
)
def test_a_crash_kernel_lies_high_where_it_just_fits_above_4_gib(
    ram_kib: int, low_kib: int
) -> None:
    options = ("crashkernel=512M,high",)
    assert crash_low_kib(options, ram_kib) == low_kib
    assert crash_kernel_kib(options, ram_kib) == 512 * MIB + low_kib


@pytest.mark.parametrize(
    ("size", "kib"),
    [("256M", 256 * MIB), ("0x100M", 256 * MIB), ("0X10000000", 256 * MIB), ("0400m", 256 * MIB),
     ("089M", 89 * MIB), ("0", 0)],
)  # fmt: skip
def test_a_size_is_read_as_the_kernel_reads_it(size: str, kib: int) -> None:
    assert crash_kernel_kib((f"crashkernel={size}",), GIB) == kib
