# SPDX-License-Identifier: GPL-2.0-or-later
"""The policy passes the simulator's scenarios: a guard all of them, a follower what it can."""

from __future__ import annotations

from typing import Any

import pytest

from agent.core.policy.settings import PolicySettings
from sim_backend.stories.catalogue import load, scenario_names
from sim_backend.stories.policy_agent import PolicyAgent

# Who only follows does what the host asks, also when that kills a program.
BEYOND_A_FOLLOWER = {"target-in-mib", "down-below-working-set", "burst"}


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        *(("guard", name) for name in scenario_names()),
        *(("follow", name) for name in scenario_names() if name not in BEYOND_A_FOLLOWER),
    ],
)
def test_the_policy_passes(name: str, mode: Any) -> None:
    report = load(name).run(0, PolicyAgent(PolicySettings(mode=mode, act_in_dom0=True)))
    assert [check for check in report.checks if not check.passed] == []


@pytest.mark.parametrize("name", scenario_names())
def test_a_guest_of_its_own_mind_loses_no_program(name: str) -> None:
    report = load(name).run(0, PolicyAgent(PolicySettings(mode="self")))
    assert [event for event in report.events if event.kind in ("oom-kill", "killed")] == []
