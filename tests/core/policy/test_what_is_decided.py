# SPDX-License-Identifier: GPL-2.0-or-later
"""All that the policy decides in each story, when, and what it remembers at its end: in decided/.

BALLOON_AGENT_UPDATE_GOLDEN=1 with these tests writes it anew; look at the difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import pytest

from agent.core.policy.history import EMPTY
from agent.core.policy.settings import HOLDING_MODES, MODES, Mode, PolicySettings
from sim_backend.stories.catalogue import load, scenario_names
from sim_backend.stories.policy_agent import PolicyAgent
from sim_backend.stories.scenario import Scenario
from sim_backend.stories.schedules import FAMILIES, variation
from tests.support.golden import check_reviewed

DECIDED: Final = Path(__file__).parent / "decided"


SCHEDULES: Final = (
    *(f"{family}-{number}" for family in FAMILIES for number in (0, 1)),
    *(f"random-{number}" for number in range(8)),
)


def told(story: Scenario, mode: Mode) -> Iterator[str]:
    """A line for each decision that is another than the one before it."""
    agent = PolicyAgent(PolicySettings(mode=mode, act_in_dom0=True), keeps_record=True)
    story.run(0, agent)
    yield f"== {story.name}"
    before: tuple[object, ...] = ()
    for when_s, _, _, _, decision in agent.record:
        said = (decision.reason, decision.target_kib, decision.purpose, decision.blocks)
        if said != before:
            yield f"{when_s:.3f} {decision.reason}: {decision.sentence}"
            if decision.target_kib is not None:
                yield f"  {decision.purpose} {decision.target_kib}"
            if decision.blocks:
                yield f"  blocks {decision.blocks}"
            yield f"  next {rounded(decision.look_again_s)}"
        before = said
    yield f"{len(agent.record)} looks; at the end:"
    at_start = EMPTY._asdict()
    for field, value in agent.history._asdict().items():
        if value != at_start[field]:
            yield f"  {field} = {rounded(value)}"
    yield ""


def rounded(value: object) -> object:
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, frozenset):
        return sorted(value)
    return tuple(map(rounded, value)) if isinstance(value, tuple) else value


def as_reviewed(name: str, stories: Iterable[Scenario], mode: Mode) -> None:
    decided = "\n".join(line for story in stories for line in told(story, mode))
    check_reviewed(DECIDED / f"{name}.txt", decided)


@pytest.mark.parametrize("mode", MODES)
def test_what_a_mode_decides_in_each_story_is_as_reviewed(mode: Mode) -> None:
    as_reviewed(mode, map(load, scenario_names()), mode)


@pytest.mark.parametrize("mode", HOLDING_MODES)
def test_what_is_decided_where_a_host_asks_again_and_again_is_as_reviewed(mode: Mode) -> None:
    as_reviewed(f"{mode}-asked-again", map(variation, SCHEDULES), mode)
