# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory that a guest owns and cannot use: for a crash kernel, or as swap that lies in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.facts.memory_options import crash_kernel_kib
from agent.sources.crash_kernel import SIZE_FILE, read_crash_kernel
from agent.sources.swaps import FILE, parse_zram_free_kib, read_zram_free_kib, zram_lines
from agent.sources.system_root import SystemRoot

MIB = 1024
GIB = 1024 * MIB
SWAPS = """\
Filename                                Type            Size            Used            Priority
/dev/zram0                              partition\t1048572\t\t2048\t\t100
/dev/mapper/vg_secret-swap              partition\t2097148\t\t0\t\t-2
/swapfile                               file\t\t2097148\t\t0\t\t-3
"""
IOMEM = """\
00100000-7effffff : System RAM
  63000000-7effffff : Crash kernel
"""
IOMEM_WITH_LOW = IOMEM + "100000000-1ffffffff : System RAM\n  1f0000000-1ffffffff : Crash kernel\n"


def root_with(directory: Path, files: dict[str, str]) -> SystemRoot:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return SystemRoot(str(directory))


@pytest.mark.parametrize(
    ("option", "ram_kib", "kib"),
    [
        ("crashkernel=256M", GIB, 256 * MIB),
        ("crashkernel=256M@16M", GIB, 256 * MIB),
        ("crashkernel=131072k", GIB, 128 * MIB),
        ("crashkernel=268435456", GIB, 256 * MIB),
        ("crashkernel=0x8000000", GIB, 128 * MIB),
        ("crashkernel=0X20000K", GIB, 128 * MIB),
        ("crashkernel=512M,high", 4 * GIB, 512 * MIB),
        ("crashkernel=512M,high", 4 * GIB + 512 * MIB, 768 * MIB),
        ("crashkernel=512M,high", 8 * GIB, 768 * MIB),
        ("crashkernel=512M,high crashkernel=0,low", 8 * GIB, 512 * MIB),
        ("crashkernel=192M crashkernel=512M,high", 8 * GIB, 192 * MIB),
        ("crashkernel=0 crashkernel=512M,high", 8 * GIB, 768 * MIB),
        ("crashkernel=72M,low", 8 * GIB, None),
        ("crashkernel=256M,cma", 8 * GIB, None),
        ("crashkernel=1G-4G:0x4000000,4G-:256M", 2 * GIB, 64 * MIB),
        ("crashkernel=512M,high crashkernel=72M,low", 8 * GIB, 584 * MIB),
        ("crashkernel=1G-64G:448M", 2 * GIB, 448 * MIB),
        ("crashkernel=1G-4G:192M,4G-64G:256M,64G-:512M", 4 * GIB - 1, 256 * MIB),
        ("crashkernel=1G-4G:192M,4G-64G:256M,64G-:512M", 4 * GIB - 128 * MIB, 192 * MIB),
        ("crashkernel=1G-4G:192M,4G-64G:256M,64G-:512M", 4 * GIB, 256 * MIB),
        ("crashkernel=1G-4G:192M,4G-64G:256M,64G-:512M@32M", 640 * GIB, 512 * MIB),
        ("crashkernel=1G-4G:192M", 1 * GIB - 128 * MIB, 0),
        ("crashkernel=0M-2G:128M,2G-6G:256M,8G-:768M", 7 * GIB, 0),
        ("crashkernel=2G-64G:256M@16M", 8 * GIB, 256 * MIB),
        ("crashkernel=384M crashkernel=256M,cma", 8 * GIB, 384 * MIB),
        ("crashkernel=64M crashkernel=128M", GIB, 128 * MIB),
        ("crashkernel=auto", GIB, None),
        ("crashkernel=1G-4G", 2 * GIB, None),
        ("quiet nocrashkernel=5M", GIB, None),
    ],
)
def test_every_form_of_the_option_is_read_as_the_kernel_reads_it(
    option: str, ram_kib: int, kib: int | None
) -> None:
    assert crash_kernel_kib(option.split(), ram_kib) == kib


@pytest.mark.parametrize(
    ("files", "kib"),
    [
        ({SIZE_FILE: "469762048\n", "proc/iomem": IOMEM}, 448 * MIB),
        ({SIZE_FILE: "268435456\n", "proc/iomem": IOMEM_WITH_LOW}, 704 * MIB),
        ({SIZE_FILE: "268435456\n", "proc/iomem": "00000000-00000000 : Crash kernel\n"}, 256 * MIB),
        ({"proc/iomem": IOMEM}, 448 * MIB),
        ({SIZE_FILE: "0\n", "proc/iomem": IOMEM}, 0),
        ({}, 448 * MIB),
    ],
    ids=["both", "high and low", "hidden", "iomem alone", "nothing", "the option alone"],
)
def test_what_the_kernel_did_counts_more_than_what_it_was_asked(
    tmp_path: Path, files: dict[str, str], kib: int
) -> None:
    root = root_with(tmp_path, files)
    options = ("crashkernel=1G-64G:448M",)
    assert read_crash_kernel(root, options, 2 * GIB, is_pv=False) == kib
    assert read_crash_kernel(root, options, 2 * GIB, is_pv=True) == 0


@pytest.mark.parametrize(
    ("options", "kib"),
    [
        ("crashkernel=512M,high", 768 * MIB),
        ("crashkernel=512M,high crashkernel=72M,low", 584 * MIB),
        ("crashkernel=512M", 512 * MIB),
        ("crashkernel=auto", 512 * MIB),
    ],
)
def test_an_ordinary_user_is_told_what_lies_low_beside_a_high_one(
    tmp_path: Path, options: str, kib: int
) -> None:
    hidden = "00000000-00000000 : Crash kernel\n" * 2
    root = root_with(tmp_path, {SIZE_FILE: f"{512 << 20}\n", "proc/iomem": hidden})
    assert read_crash_kernel(root, tuple(options.split()), 8 * GIB, is_pv=False) == kib


def test_more_than_there_is_was_not_set_aside(tmp_path: Path) -> None:
    root = root_with(tmp_path, {})
    assert read_crash_kernel(root, ("crashkernel=3G",), 2 * GIB, is_pv=False) is None
    assert read_crash_kernel(root, ("crashkernel=2G",), 2 * GIB, is_pv=False) == 2 * GIB
    assert read_crash_kernel(root, ("crashkernel=1G",), None, is_pv=False) is None
    assert read_crash_kernel(root, (), 2 * GIB, is_pv=False) is None


def test_swap_in_compressed_memory_is_told_apart(tmp_path: Path) -> None:
    assert parse_zram_free_kib(SWAPS) == 1048572 - 2048
    assert read_zram_free_kib(root_with(tmp_path, {FILE: SWAPS})).value == 1046524


def test_a_capture_names_no_disk() -> None:
    assert "secret" not in zram_lines(SWAPS)
    assert parse_zram_free_kib(zram_lines(SWAPS)) == parse_zram_free_kib(SWAPS)
