# SPDX-License-Identifier: GPL-2.0-or-later
"""The curves of the last minute."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.report.sparkline import (
    GLYPHS,
    SPAN_S,
    Sample,
    has_moved,
    recent,
    resampled,
    sample_of,
    sparkline,
    trend_lines,
)
from agent.report.styled import plain
from tests.support.judged import assess
from tests.support.snapshots import STALLED, a_pv_guest

CALM = sample_of(assess(a_pv_guest()), 0.0)


def samples(*changes: dict[str, Any], every_s: float = 1.0) -> list[Sample]:
    return [CALM._replace(at_s=n * every_s, **change) for n, change in enumerate(changes)]


def test_a_curve_runs_from_the_lowest_glyph_to_the_highest() -> None:
    assert sparkline(range(8), 0, 7) == GLYPHS
    assert sparkline([-5, None, 99], 0, 7) == "▁ █"


def test_what_does_not_change_is_a_level_line() -> None:
    assert sparkline([512, 512, 512], 512, 512) == "▄▄▄"


@given(st.lists(st.floats(-1e12, 1e12) | st.none()), st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_every_value_gets_one_glyph_whatever_the_scale(
    values: list[float | None], low: float, high: float
) -> None:
    shown = sparkline(values, low, high)
    assert len(shown) == len(values)
    assert set(shown) <= {*GLYPHS, " "}


def test_a_column_is_its_newest_value_and_holds_until_the_next() -> None:
    found = [CALM._replace(at_s=at_s, target_kib=kib) for at_s, kib in ((0, 1), (20, 2), (60, 3))]
    assert resampled(found, lambda s: s.target_kib, 6) == [1, 2, 2, 2, 2, 3]


def test_before_the_first_look_there_is_nothing() -> None:
    assert resampled(samples({}, {}), lambda _: 7.0, 6) == [None] * 5 + [7.0]


@given(st.lists(st.floats(0, 1e6), max_size=50), st.integers(1, 80))
def test_any_history_fits_its_columns(times: list[float], columns: int) -> None:
    history = [CALM._replace(at_s=at_s) for at_s in sorted(times)]
    values = resampled(history, lambda s: s.current_kib, columns)
    assert len(values) == (columns if history else 0)


def test_what_is_older_than_a_minute_is_forgotten_but_for_what_still_holds() -> None:
    history = samples(*[{}] * 100)
    kept = recent(history)
    assert kept[0].at_s == history[-1].at_s - SPAN_S
    assert len(kept) == SPAN_S + 1
    assert recent([]) == []


@pytest.mark.parametrize("width", [40, 53, 80, 100])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_no_curve_is_wider_than_the_terminal(width: int, ascii_only: bool) -> None:
    moving = samples({}, {"target_kib": 786432}, {"target_kib": 786432, "current_kib": 700000})
    text = plain(trend_lines(moving, width), ascii_only=ascii_only)
    assert all(len(row) <= width for row in text.splitlines())
    assert text.isascii() or not ascii_only
    assert [row.split()[0] for row in text.splitlines()[1:5]] == [
        "target", "current", "available", "pressure",
    ]  # fmt: skip


def test_target_and_populated_share_their_scale() -> None:
    history = samples(
        {}, {"target_kib": 786432}, {"target_kib": 786432, "current_kib": 786432}, every_s=20
    )
    target, populated = plain(trend_lines(history, 40)).splitlines()[1:3]
    assert target.split()[1:] == ["▁" * 6 + "█" * 7, "768", "MiB"]
    assert populated.split()[1:] == ["▁" * 12 + "█", "768", "MiB"]


def test_what_could_not_be_read_has_no_curve() -> None:
    unread = samples({"available_kib": None, "pressure_percent": None})
    assert plain(trend_lines(unread, 80)).count("\n") == 4
    assert trend_lines([], 80) == []


def test_a_little_pressure_makes_a_small_mark() -> None:
    (row,) = [
        row
        for row in plain(trend_lines(samples({"pressure_percent": 1.0}), 80)).splitlines()
        if row.startswith("pressure")
    ]
    assert row.split()[1] == "▁"


def test_a_sample_is_what_the_screens_show() -> None:
    stalled = sample_of(assess(a_pv_guest(pressure=STALLED)), 3.0)
    assert stalled == Sample(3.0, 524288, 524288, 380268, 456048, STALLED.some_avg10)


def test_only_balloon_and_target_count_as_moving() -> None:
    assert has_moved(CALM, CALM._replace(current_kib=1))
    assert has_moved(CALM, CALM._replace(target_kib=1))
    assert not has_moved(CALM, CALM._replace(available_kib=1, at_s=5.0))
