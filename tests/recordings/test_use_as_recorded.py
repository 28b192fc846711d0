# SPDX-License-Identifier: GPL-2.0-or-later
"""What a qube reports of its memory, held against recordings of Qubes' own meminfo-writer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import pytest

from agent.core.facts.snapshot import MemoryReading
from agent.daemon.use_report import LOOK_CALM_S, UseReport
from agent.sources.meminfo import parse_meminfo
from tests.recordings.records import Record, files, must_agree, name_of_file, read, records

LINES = {
    "MemTotal": "total", "MemFree": "free", "MemAvailable": "available", "Buffers": "buffers",
    "Cached": "cached", "SwapTotal": "swap_total", "SwapFree": "swap_free",
    "SReclaimable": "sreclaimable",
}  # fmt: skip
COLUMNS = (
    "total", "free", "available", "buffers", "cached", "sreclaimable", "swap_total", "swap_free",
    "current",
)  # fmt: skip
PROMPT_S = 0.5
PHASES = 10


def meminfo_of(sizes_kib: dict[str, int | None]) -> MemoryReading:
    """Through the text of /proc/meminfo, as the daemon reads it."""
    known = [(line, sizes_kib.get(field)) for line, field in LINES.items()]
    return parse_meminfo("".join(f"{a + ':':<15} {b:>8} kB\n" for a, b in known if b is not None))


def of_a_capture(record: Record) -> str:
    """What a writer that starts there says, where ours would say something else."""
    sizes_kib = {name: record.get(f"{name}_kib") for name in COLUMNS}
    if sizes_kib["available"] is None:  # kernels before 3.14; the daemon estimates it there
        sizes_kib["available"] = sizes_kib["free"]
    report = UseReport()
    report.note(meminfo_of(sizes_kib), sizes_kib["current"], 0.0)
    ours_kib, theirs_kib = report.said_kib, record["meminfo_kib"]
    return "" if ours_kib == theirs_kib else f"{ours_kib}, {theirs_kib}"


@pytest.mark.parametrize("path", files("meminfo-captures"), ids=name_of_file)
def test_the_figure_is_qubes_own_in_every_capture(path: Path) -> None:
    must_agree(of_a_capture, path)


@cache
def reading(row: tuple[int, ...]) -> tuple[MemoryReading, int]:
    """What is read of a row, and current_kb."""
    sizes_kib = dict(zip(COLUMNS, row))
    return meminfo_of(dict(sizes_kib)), sizes_kib["current"]


def samples(record: Record) -> list[tuple[MemoryReading, int]]:
    """The reading of each tenth of a second."""
    rows, at, found = record["rows"], 0, []
    for sample in range(record["samples"]):
        while at + 1 < len(rows) and rows[at + 1][0] <= sample:
            at += 1
        found.append(reading(tuple(rows[at][1:])))
    return found


def played(
    record: Record, wait_s: Callable[[UseReport, float], float], second_look_s: float = 0.0
) -> tuple[list[tuple[float, int]], int]:
    """When a figure was written, and which; and how often it was looked."""
    told = samples(record)
    report, looks, now_s = UseReport(), 0, 0.0
    restarts = [sample / 10 for sample in record["restarts"]]
    written = []
    while (at := int(now_s * 10 + 1e-6)) < len(told):
        if restarts and now_s + 1e-6 >= restarts[0]:
            restarts.pop(0)
            report = UseReport()
        looks += 1
        if report.note(*told[at], now_s):
            assert report.said_kib is not None
            written.append((now_s, report.said_kib))
        now_s = second_look_s if looks == 1 and second_look_s else now_s + wait_s(report, now_s)
    return written, looks


def as_often_as_the_real_one(_report: UseReport, _now_s: float) -> float:
    return 0.1


def as_the_daemon_does(report: UseReport, now_s: float) -> float:
    return report.due_s - now_s


def of_a_timeline(record: Record) -> str:
    """What one that looks as often as the real one writes otherwise, or at another moment."""
    written, _ = played(record, as_often_as_the_real_one)
    ours = [[round(now_s * 10), kib] for now_s, kib in written]
    return "" if ours == record["writes"] else f"{ours}, {record['writes']}"


@pytest.mark.parametrize("path", files("meminfo-timelines"), ids=name_of_file)
def test_looking_as_often_it_writes_the_same_figures_at_the_same_moments(path: Path) -> None:
    must_agree(of_a_timeline, path)


def promptness(recorded: Iterable[Record]) -> float:
    """The share of the real writes beside which the daemon has written within half a second.

    From each phase that its looks may have to what happens in the guest.
    """
    in_time = of = 0
    for record in recorded:
        for phase in range(PHASES):
            written, _ = played(record, as_the_daemon_does, phase * LOOK_CALM_S / PHASES)
            for sample, _ in record["writes"]:
                of += 1
                in_time += any(abs(now_s - sample / 10) <= PROMPT_S + 1e-6 for now_s, _ in written)
    return in_time / of


def test_nine_of_ten_figures_are_written_within_half_a_second_of_the_real_ones() -> None:
    for path in files("meminfo-timelines"):
        print(f"{path.name}: {promptness(read(path)):.1%} within {PROMPT_S} s")
    assert promptness(records("meminfo-timelines")) >= 0.9


def looks_a_second(kind: str) -> float:
    """How often the daemon looks during a recording of that kind."""
    chosen = [record for record in records("meminfo-timelines") if record["kind"] == kind]
    looks = sum(played(record, as_the_daemon_does)[1] for record in chosen)
    lasted_s = sum(int(record["samples"]) for record in chosen) / 10
    return looks / lasted_s


def test_while_nothing_changes_it_looks_a_tenth_as_often() -> None:
    assert looks_a_second("still") <= 1.0


def test_what_only_flickers_is_not_looked_at_as_often_as_the_real_writer_does() -> None:
    assert looks_a_second("noise") <= 2.5


def test_a_qube_that_uses_next_to_nothing_says_so_once() -> None:
    report, nothing = UseReport(), MemoryReading(1000, 900, 1000)
    assert [report.note(nothing, 1000, float(now_s)) for now_s in range(3)] == [True, False, False]
    assert report.keys() == {"memory/meminfo": "0", "memory/swapinfo": "0"}
    assert report.note(MemoryReading(1000, 900, 999), 1000, 3.0)  # meminfo-writer: 0 is no figure
