# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's own reading of /proc/meminfo is that of psutil."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agent.sources.meminfo import FILE, parse_meminfo, read_meminfo, read_meminfo_lean
from agent.sources.outcome import MalformedError
from agent.sources.system_root import SystemRoot
from tests.captures import load, names


@pytest.mark.parametrize("name", names())
def test_both_ways_read_the_same_of_every_real_guest(name: str, quick_path: Path) -> None:
    root = SystemRoot(str(load(name).write_to(quick_path)))
    assert read_meminfo_lean(root) == read_meminfo(root)


def test_a_kernel_without_mem_available_is_left_to_psutil(pv_guest: Path) -> None:
    meminfo = pv_guest / FILE
    lines = meminfo.read_text().splitlines(keepends=True)
    meminfo.write_text("".join(line for line in lines if not line.startswith("MemAvailable")))
    root = SystemRoot(str(pv_guest))
    reading = read_meminfo_lean(root)
    assert reading == read_meminfo(root)
    assert reading.value is not None
    assert reading.value.available_kib > 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "MemTotal: 1 kB\n",
        "MemTotal: 100 kB\nMemFree: 50 kB\nMemAvailable: 0 kB\n",
        "MemTotal: 100 kB\nMemFree: 101 kB\nMemAvailable: 60 kB\n",
        "MemTotal: -1 kB\nMemFree: 0 kB\nMemAvailable: 0 kB\n",
    ],
)
def test_what_makes_no_sense_is_not_taken_for_a_reading(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_meminfo(text)


def test_a_usual_kernel_is_read_without_psutil(
    pv_guest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)  # importing it would fail
    assert read_meminfo_lean(SystemRoot(str(pv_guest))).ok
