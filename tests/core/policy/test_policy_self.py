# SPDX-License-Identifier: GPL-2.0-or-later
"""Mode self against demand that comes suddenly, comes again, or grows."""

from __future__ import annotations

import pytest

from agent.core.account.situation import Situation, understand
from agent.core.facts.snapshot import MemoryReading
from agent.core.policy.decide import decide
from agent.core.policy.history import EMPTY
from agent.core.policy.settings import PolicySettings
from agent.core.policy.use import NOTHING_SEEN, seen_use
from sim_backend.stories.catalogue import load
from sim_backend.stories.policy_agent import PolicyAgent
from tests.core.policy.test_policy_runs import SELF, Story
from tests.support.snapshots import CALM, a_pv_guest

MIB = 1024
ALLOWED_MIB = 1024
RESERVE_MIB = 256  # a quarter of that
AT_REST_S = 900


def at_rest(settings: PolicySettings = SELF, *, has_trigger: bool = True) -> Story:
    """A guest that was allowed 1 GiB and has given back most of it."""
    story = Story(settings)
    story.mem_set(1, ALLOWED_MIB)
    story.run(AT_REST_S)
    assert story.current_mib < 400
    if not has_trigger:
        story.domain.memory.on_stall = None
    return story


@pytest.mark.parametrize("mib", [200, 300, 500, 700, 850])
def test_a_sudden_demand_that_the_host_allows_costs_no_program(mib: int) -> None:
    story = at_rest()
    story.workload(AT_REST_S + 3, mib)
    story.run(AT_REST_S + 60)

    assert story.domain.memory.oom_kills == 0
    assert story.domain.memory.unmet_kib == 0


def test_without_pressure_triggers_a_demand_within_the_reserve_costs_no_program() -> None:
    story = at_rest(has_trigger=False)
    story.workload(AT_REST_S + 3, RESERVE_MIB - 64)
    story.run(AT_REST_S + 60)

    assert story.domain.memory.oom_kills == 0


def test_what_was_needed_lately_is_there_when_it_is_needed_again() -> None:
    story = at_rest()
    story.workload(1000, 600)
    story.workload(1100, 0)
    story.workload(2000, 600)
    story.run(1999)
    lost_us = story.domain.memory.pressure().some_total_us
    story.run(2100)

    assert story.domain.memory.pressure().some_total_us == lost_us
    assert story.domain.memory.oom_kills == 0


def test_a_peak_is_forgotten_and_its_memory_given_back() -> None:
    story = at_rest()
    story.workload(1000, 600)
    story.workload(1100, 0)
    story.run(1100 + 2 * SELF.self_remember_s + 600)

    assert story.current_mib < 400


def test_while_the_use_grows_the_agent_looks_more_often() -> None:
    story = at_rest(has_trigger=False)
    for second in range(100):
        story.workload(1000 + second, 8 * second)
    story.run(1100)

    assert story.domain.memory.oom_kills == 0
    looks = [decided.when_s for decided in story.agent.record if decided.when_s > 1000]
    assert 10 < len(looks) < 200


def test_a_guest_at_rest_is_looked_at_once_an_interval() -> None:
    story = at_rest()
    looks = len(story.agent.record)
    story.run(AT_REST_S + 1000)

    assert len(story.agent.record) - looks <= 1000 / SELF.self_interval_s


def test_the_scenario_of_a_sudden_allocation_needs_more_than_a_small_step() -> None:
    report = load("sudden-allocation").run(0, PolicyAgent(SELF))
    assert report.passed, report.checks
    current = [s.current_kib for s in report.samples if s.when_s < 399]
    assert current[-1] < 600 * MIB  # it did without most of it until then


def seen(available_mib: int, lost_us: int) -> Situation:
    """512 MiB of which so much is available, and so much time was lost since the boot."""
    memory = MemoryReading(500 * MIB, available_mib * MIB, available_mib * MIB, 0, 0, 0)
    pressure = CALM._replace(some_total_us=lost_us)
    allowed = {"target_kib": ALLOWED_MIB * MIB}
    return understand(a_pv_guest(memory=memory, pressure=pressure, host=allowed))


def test_what_is_remembered_of_use() -> None:
    use = seen_use(NOTHING_SEEN, seen(300, 0), 100.0, 60.0)
    assert (use.in_use_kib, use.grew_kib_s, use.lost_us) == (212 * MIB, 0.0, 0)

    use = seen_use(use, seen(100, 50_000), 110.0, 60.0)
    assert use.grew_kib_s == 20 * MIB
    assert use.lost_us == 50_000
    assert use.recent_peak_kib == 412 * MIB

    use = seen_use(use, seen(300, 50_000), 165.0, 60.0)
    assert use.grew_kib_s == 0.0
    assert use.recent_peak_kib == 412 * MIB
    assert seen_use(use, seen(300, 0), 230.0, 60.0).recent_peak_kib == 212 * MIB


def test_a_clock_that_went_back_begins_anew() -> None:
    use = seen_use(NOTHING_SEEN, seen(100, 0), 100.0, 60.0)
    assert seen_use(use, seen(300, 0), 50.0, 60.0).recent_peak_kib == 212 * MIB


@pytest.mark.parametrize(("available_mib", "urgent"), [(150, True), (300, False)])
def test_who_waits_for_something_else_gets_no_memory(available_mib: int, urgent: bool) -> None:
    """Programs in a control group wait at its limit, however much the guest has."""
    _, history = decide(seen(300, 0), EMPTY, SELF, 100.0)
    decision, _ = decide(seen(available_mib, 400_000), history, SELF, 110.0)
    assert (decision.reason == "self-take-back") is urgent


def test_a_use_that_grows_by_little_moves_the_balloon_by_a_dead_band_at_a_time() -> None:
    story = at_rest()
    before = len(story.domain.target_writes)
    for turn in range(1, 17):
        story.workload(AT_REST_S + 60 * turn, 8 * turn)
    story.run(AT_REST_S + 1100)

    targets = [target_kib for _, target_kib in story.domain.target_writes[before - 1 :]]
    assert len(targets) > 3
    assert min(b - a for a, b in zip(targets, targets[1:])) >= SELF.self_dead_band_kib
