# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/meminfo of every kernel, and of none: a reading whose sizes go together, or a refusal."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from agent.core.facts.numbers import MalformedError
from agent.sources.meminfo import FILE, parse_meminfo, read_meminfo
from agent.sources.system_root import SystemRoot
from tests.captures import load, names

MEMINFO = "MemTotal:  456048 kB\nMemFree:  382568 kB\nCached: 1000 kB\nSwapTotal: 8 kB\n"
ZONEINFO = "Node 0, zone    DMA32\n  pages free     93654\n        low      1000\n"


def put(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("latin-1"))


def without_available(name: str) -> str:
    lines = load(name).files[FILE].splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("MemAvailable"))


@pytest.mark.parametrize("name", names())
def test_the_estimate_is_near_what_the_kernel_says_of_every_real_guest(
    name: str, quick_path: Path
) -> None:
    """Kernels since 4.6 keep more back: the high watermarks and what low zones are spared."""
    root = SystemRoot(str(load(name).write_to(quick_path)))
    told = read_meminfo(root).value
    put(quick_path, FILE, without_available(name))
    worked_out = read_meminfo(root).value
    assert told
    assert worked_out
    assert worked_out._replace(available_kib=0) == told._replace(available_kib=0)
    assert -200 <= worked_out.available_kib - told.available_kib <= told.total_kib // 7


@pytest.mark.parametrize(
    ("text", "available_kib"),
    [
        (MEMINFO + "MemAvailable: 324488 kB\n", 324488),
        (MEMINFO.replace(" ", "\t") + "MemAvailable:\t324488 kB\n", 324488),
        (MEMINFO + "MemAvailable: 999999 kB\n", 382568),
    ],
    ids=["usual", "tabs", "a container that has more than all"],
)
def test_meminfo_is_read_whatever_its_spacing(
    quick_path: Path, text: str, available_kib: int
) -> None:
    put(quick_path, FILE, text.replace("\t kB", " kB").replace("\tkB", " kB"))
    found = read_meminfo(SystemRoot(str(quick_path))).value
    assert found
    assert (found.total_kib, found.available_kib, found.swap_total_kib) == (
        456048, available_kib, 8,
    )  # fmt: skip


@pytest.mark.parametrize("line", ["", "MemAvailable:    0 kB\n"], ids=["absent", "0"])
def test_a_kernel_without_mem_available_gets_an_estimate(quick_path: Path, line: str) -> None:
    put(quick_path, FILE, MEMINFO + line)
    put(quick_path, "proc/zoneinfo", ZONEINFO)
    found = read_meminfo(SystemRoot(str(quick_path))).value
    assert found
    assert found.available_kib == 382568 - 4000


def test_a_guest_at_its_end_has_nothing_available(quick_path: Path) -> None:
    put(quick_path, FILE, "MemTotal: 456048 kB\nMemFree: 3000 kB\nMemAvailable: 0 kB\n")
    put(quick_path, "proc/zoneinfo", ZONEINFO)
    found = read_meminfo(SystemRoot(str(quick_path))).value
    assert found
    assert found.available_kib == 0


def test_huge_pages_are_counted_with_their_size(quick_path: Path) -> None:
    put(
        quick_path,
        FILE,
        "MemTotal: 12000000 kB\nMemFree: 900000 kB\nMemAvailable: 800000 kB\n"
        "HugePages_Total:    5120\nHugePages_Free:      100\nHugepagesize:       2048 kB\n",
    )
    found = read_meminfo(SystemRoot(str(quick_path))).value
    assert found
    assert (found.hugetlb_kib, found.hugetlb_free_kib) == (10 * 1024 * 1024, 204800)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "MemTotal: 1 kB\n",
        "MemFree: 1 kB\n",
        "MemTotal: many kB\n",
        "MemTotal 5 kB\n",
        "MemTotal: 100 kB\nMemFree: 101 kB\nMemAvailable: 60 kB\n",
        "MemTotal: -1 kB\nMemFree: 0 kB\nMemAvailable: 0 kB\n",
        "MemTotal: 0 kB\nMemFree: 0 kB\nMemAvailable: 1 kB\n",
        "MemTotal: 4398046511105 kB\nMemFree: 0 kB\nMemAvailable: 1 kB\n",
        "MemTotal: " + "9" * 400 + " kB\nMemFree: 0 kB\nMemAvailable: 1 kB\n",
        MEMINFO + "MemAvailable: 1 kB\nCached: 4398046511105 kB\n",
        MEMINFO + "MemAvailable: 1 kB\nSwapFree: 9 kB\n",
        MEMINFO + "MemAvailable: 1 kB\nHugePages_Total: 4000\nHugepagesize: 2048 kB\n",
        MEMINFO + "MemAvailable: 1 kB\nHugePages_Free: 1\nHugepagesize: 2048 kB\n",
        "x" * 60000,
        "\xff\xfe\0",
    ],
)
def test_what_makes_no_sense_is_not_taken_for_a_reading(quick_path: Path, text: str) -> None:
    with pytest.raises(MalformedError):
        parse_meminfo(text)
    put(quick_path, FILE, text)
    put(quick_path, "proc/zoneinfo", ZONEINFO)
    assert read_meminfo(SystemRoot(str(quick_path))).status.startswith("malformed: ")


@pytest.mark.parametrize("damage", ["fifo", "a way out", "empty", "absent"])
def test_the_estimate_never_waits_at_a_fifo_or_leaves_the_capture(
    quick_path: Path, damage: str
) -> None:
    put(quick_path, FILE, MEMINFO + "MemAvailable: 9 kB\nMemAvailable: 0 kB\n")
    zoneinfo = quick_path / "proc" / "zoneinfo"
    if damage == "fifo":
        os.mkfifo(zoneinfo)
    elif damage == "a way out":
        zoneinfo.symlink_to("/proc/zoneinfo")
    elif damage == "empty":
        zoneinfo.touch()
    status = read_meminfo(SystemRoot(str(quick_path))).status
    assert status.startswith("malformed: no MemAvailable in it")


class OfPsutil:
    available = 123456 * 1024


@pytest.mark.parametrize("installed", [True, False])
def test_psutil_is_asked_of_the_running_kernel_alone(
    quick_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    class Psutil:
        virtual_memory = OfPsutil

    monkeypatch.setitem(sys.modules, "psutil", Psutil if installed else None)
    put(quick_path, FILE, MEMINFO)
    put(quick_path, "proc/zoneinfo", ZONEINFO)
    root = SystemRoot(str(quick_path))
    elsewhere = read_meminfo(root).value
    root.is_live = True  # its files stay those of the directory
    live = read_meminfo(root).value
    assert elsewhere
    assert live
    assert elsewhere.available_kib == 382568 - 4000
    assert live.available_kib == (123456 if installed else 382568 - 4000)
