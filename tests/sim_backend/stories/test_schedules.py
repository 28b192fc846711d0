# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts that ask again and again: what becomes of a guest that is left alone."""

from __future__ import annotations

import pytest

from sim_backend.stories.acts import mem_set, script_writes
from sim_backend.stories.agents import agent
from sim_backend.stories.catalogue import load
from sim_backend.stories.schedules import (
    FAMILIES,
    GUESTS,
    Guest,
    random_story,
    schedule,
    stories,
)


@pytest.mark.parametrize("family", FAMILIES)
def test_left_alone_a_guest_does_not_survive_any_of_them(family: str) -> None:
    for story in list(stories(family, Guest(), 1.0))[::5]:
        report = story.run(0, agent("none"))
        assert [event for event in report.events if event.kind == "oom-kill"], story.summary


@pytest.mark.parametrize("family", FAMILIES)
def test_with_a_guard_it_does_and_the_host_gets_what_can_be_spared(family: str) -> None:
    """A part of them: `python3 -m tests.bench.schedules` plays all."""
    for guest in (Guest(), Guest(2048, "pvh")):
        for story in list(stories(family, guest, 5.0))[::8]:
            report = story.run(0, agent("guard"))
            assert not [check for check in report.checks if not check.passed], story.summary


def test_small_steps_five_seconds_apart_are_held_well_above_the_floor() -> None:
    """What is given to a host that goes on asking is lacking for what its asks still cost."""
    report = load("steps-16").run(0, agent("guard"))
    need_kib = report.samples[0].current_kib - report.samples[0].available_kib
    assert min(sample.current_kib for sample in report.samples) > need_kib + 40 * 1024


def test_a_target_the_kernel_reads_as_nothing_is_held_whatever_was_asked_before() -> None:
    """The last number asked for more than there is; the kernel takes "0x80000" for 0, and late."""
    guest = Guest(1024, hears_late=True)
    asks = ((20.0, mem_set(837)), (40.0, script_writes("0x80000")))
    report = schedule("garbled", "", asks, guest).run(0, agent("guard"))
    assert not [check for check in report.checks if not check.passed]
    assert min(sample.current_kib for sample in report.samples) > 780 * 1024


def test_they_are_played_over_guests_of_all_sizes_and_kinds() -> None:
    assert {guest.memory_mib for guest in GUESTS} == {512, 1024, 2048, 8192}
    assert {guest.domain_type for guest in GUESTS} == {"pv", "pvh"}


def test_each_has_a_name_to_be_played_by() -> None:
    assert load("steps-3").name == "steps-3@pv-512"
    assert load("same-value-0@pvh-2048-late").name == "same-value-0@pvh-2048-late"
    assert load("random-17").name == "random-17"
    for name in ("steps-99", "steps-3@pv-7", "random-17@pv-512", "random-x", "steps-²", "steps-٣"):
        with pytest.raises(KeyError):
            load(name)


def test_a_random_story_is_the_same_each_time_and_another_by_its_number() -> None:
    told = [random_story(number).run(0, agent("none")) for number in (7, 7, 8)]
    assert told[0] == told[1] != told[2]
