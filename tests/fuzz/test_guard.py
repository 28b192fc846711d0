# SPDX-License-Identifier: GPL-2.0-or-later
"""A few of the schedules that `python3 -m tests.fuzz.guard` plays by the thousand."""

from __future__ import annotations

import os

import pytest

from tests.fuzz.guard import run

RUNS = int(os.environ.get("BALLOON_AGENT_GUARD_RUNS", "3"))


@pytest.mark.parametrize("number", range(RUNS))
def test_no_guest_sinks_further_below_its_floor_than_its_hosts_asks_allow(number: int) -> None:
    outcome = run(number)
    assert not outcome.broken, outcome
