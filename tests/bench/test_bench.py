# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of costs: its words, its place in the README, and what is not there."""

from pathlib import Path
from typing import NoReturn

import pytest

from tests.bench import __main__ as bench
from tests.bench.rows import Row
from tests.support.xenstored.daemon import XenstoredMissing


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


def test_the_table_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text(f"before\n{bench.BEGIN}\nold\n{bench.END}\nafter\n", encoding="utf-8")
    bench.into_readme("new\n", file)
    expected = f"before\n{bench.BEGIN}\nnew\n{bench.END}\nafter\n"
    assert file.read_text(encoding="utf-8") == expected
