# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts that ask again and again: what becomes of a guest that is left alone."""

from __future__ import annotations

import pytest

from sim_backend.stories.agents import agent
from sim_backend.stories.catalogue import load
from sim_backend.stories.schedules import FAMILIES, GUESTS, Guest, random_story, stories


@pytest.mark.parametrize("family", FAMILIES)
def test_left_alone_a_guest_does_not_survive_any_of_them(family: str) -> None:
    for story in list(stories(family, Guest(), 1.0))[::5]:
        report = story.run(0, agent("none"))
        assert [event for event in report.events if event.kind == "oom-kill"], story.summary


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"steps", "bad-at-start"}))
def test_with_a_guard_it_does_and_the_host_gets_what_can_be_spared(family: str) -> None:
    """A part of them: `python3 -m tests.bench.schedules` plays all, and the two left out here."""
    for guest in (Guest(), Guest(2048, "pvh")):
        for story in list(stories(family, guest, 5.0))[::7]:
            report = story.run(0, agent("guard"))
            assert not [check for check in report.checks if not check.passed], story.summary


def test_they_are_played_over_guests_of_all_sizes_and_kinds() -> None:
    assert {guest.memory_mib for guest in GUESTS} == {512, 1024, 2048, 8192}
    assert {guest.domain_type for guest in GUESTS} == {"pv", "pvh"}


def test_each_has_a_name_to_be_played_by() -> None:
    assert load("steps-3").name == "steps-3@pv-512"
    assert load("same-value-0@pvh-2048-late").name == "same-value-0@pvh-2048-late"
    assert load("random-17").name == "random-17"
    for name in ("steps-99", "steps-3@pv-7", "random-17@pv-512", "random-x", "steps-²", "-1"):
        with pytest.raises(KeyError):
            load(name)


def test_a_random_story_is_the_same_each_time_and_another_by_its_number() -> None:
    told = [random_story(number).run(0, agent("none")) for number in (7, 7, 8)]
    assert told[0] == told[1] != told[2]
