# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of a run shows where something turns, and says what it leaves out."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from sim_backend.stories.agents import agent
from sim_backend.stories.catalogue import load
from sim_backend.stories.chart import MOST_MARKS
from sim_backend.stories.plot import plot_svg
from sim_backend.stories.report_text import EVENTS, ROWS, report_rows
from sim_backend.stories.scenario import Report, Sample
from sim_backend.stories.turning import turning_points

MIB = 1024


def sample(when_s: float, current_mib: float) -> Sample:
    kib = int(current_mib * MIB)
    return Sample(when_s, kib, kib, kib, kib, kib // 2, 0, 0.0)


def told(name: str) -> Report:
    return load(name).run(0, agent(load(name).mode))


def test_a_straight_line_has_two_ends_and_nothing_between() -> None:
    line = [sample(n / 10, 512 + n) for n in range(300)]
    assert turning_points(line, 16).samples == (line[0], line[-1])


def test_corners_are_shown_and_not_the_steps_between_them() -> None:
    falls = [sample(n / 10, 768 - max(0, min(n - 50, 100)) * 3) for n in range(400)]
    assert [one.when_s for one in turning_points(falls, 16).samples] == [0.0, 5.0, 15.0, 39.9]


@given(st.lists(st.integers(0, 2048), min_size=2, max_size=120), st.integers(4, 20))
def test_whatever_happens_the_ends_are_shown_and_what_is_missing_is_counted(
    sizes: list[int], most: int
) -> None:
    run = [sample(float(n), mib) for n, mib in enumerate(sizes)]
    turns = turning_points(run, most)
    assert (turns.samples[0], turns.samples[-1]) == (run[0], run[-1])
    assert len(turns.samples) <= most
    assert list(turns.samples) == sorted(turns.samples)
    assert bool(turns.left_out) <= (len(turns.samples) == most)
    assert len(turns.samples) + turns.left_out <= len(run)


@pytest.mark.parametrize(("name", "moments"), [("slow", {5.0, 68.7}), ("leak", {1.0, 180.1})])
def test_a_plain_story_is_told_in_few_rows(name: str, moments: set[float]) -> None:
    turns = turning_points(told(name).samples, ROWS)
    assert len(turns.samples) < ROWS
    assert moments <= {round(one.when_s, 1) for one in turns.samples}


def test_of_very_many_turns_and_events_beginning_and_end_are_shown_and_the_rest_is_counted() -> (
    None
):
    report = told("flapping-host")
    rows = [row.lead + row.text for row in report_rows(load("flapping-host"), report, 80)]
    (turns,) = (row for row in rows if "turns more" in row)
    (events,) = (row for row in rows if "more; --json" in row)
    assert int(turns.split()[1]) > 100
    assert int(events.split()[1]) == len(report.events) - EVENTS
    assert "xl mem-set 640" in rows[rows.index(events) + EVENTS // 2]


def test_a_plot_says_which_events_it_does_not_list() -> None:
    report = told("flapping-host")
    assert f"{len(report.events) - MOST_MARKS} more until 70.0 s are not listed" in plot_svg(report)
    assert "not listed" not in plot_svg(told("leak"))
