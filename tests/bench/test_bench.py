# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of costs: its words, its place in docs/cost.md, and what is not there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import pytest

from tests.bench import __main__ as bench
from tests.bench.rows import Row
from tests.support.xenstored.daemon import XenstoredMissing

README = (Path(__file__).parents[2] / "docs" / "cost.md").read_text(encoding="utf-8")


def test_a_ratio_counts_times_and_a_limit_that_is_passed_says_so() -> None:
    assert bench.in_words("memory", Row("Rss / bare python", 1.62, 1.7)) == bench.Line(
        "memory: Rss / bare python", "1.62 times", "at most 1.7"
    )
    assert bench.in_words("start", Row("p99", 12.0, 10.0, "ms")).value == "12 ms (missed)"


def test_without_a_xenstored_the_table_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing() -> NoReturn:
        raise XenstoredMissing("none")

    there = bench.Measurement("start", lambda: [Row("status / bare python", 5.0, 8.0)])
    absent = bench.Measurement("reaction", missing)
    monkeypatch.setattr(bench, "MEASUREMENTS", (there, absent))
    table = "\n".join(bench.markdown(bench.measured()))
    assert "| start: status / bare python | 5 times | at most 8 |" in table
    assert "| reaction | not measured: run `make xenstored` first |" in table
    assert bench.commit() in table


def test_a_busy_machine_gives_no_times_for_the_label(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = bench.Measurement("reaction", lambda: [Row("median", 3000.0, 2.0, "ms")], timed=True)
    counted = bench.Measurement("idle", lambda: [Row("wake-ups", 0, 0)])
    monkeypatch.setattr(bench, "MEASUREMENTS", (timed, counted))
    monkeypatch.setattr(bench, "load", lambda: 9.0)
    monkeypatch.setattr(bench, "cores", lambda: 2)
    first, second = bench.measured(quiet_only=True)
    assert first.value == "not measured: the machine was busy (load 9, 2 cores)"
    assert second.value == "0"
    assert next(bench.measured()).value == "3,000 ms (missed)"


@pytest.mark.parametrize(("looks", "status"), [(1.0, 0), (3.0, 1)])
def test_a_limit_that_is_passed_is_the_exit_status(
    monkeypatch: pytest.MonkeyPatch, looks: float, status: int
) -> None:
    measured = bench.Measurement("idle", lambda: [Row("looks", looks, 2.0), Row("writes", 0, 0)])
    monkeypatch.setattr(bench, "measurements", lambda *_counts: (measured,))
    monkeypatch.setattr(sys, "argv", ["bench"])
    assert bench.main() == status


def test_the_table_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text(f"before\n{bench.BEGIN}\nold\n{bench.END}\nafter\n", encoding="utf-8")
    bench.into_readme("new\n", file)
    expected = f"before\n{bench.BEGIN}\nnew\n{bench.END}\nafter\n"
    assert file.read_text(encoding="utf-8") == expected


def test_the_readme_says_what_was_measured_on_which_machine_and_commit() -> None:
    table = README.partition(bench.BEGIN)[2].partition(bench.END)[0]
    assert "Linux" in table.splitlines()[-1]
    assert "commit " in table.splitlines()[-1]
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    for measurement in bench.MEASUREMENTS:
        assert any(line.startswith(f"| {measurement.name}") for line in rows), measurement.name
