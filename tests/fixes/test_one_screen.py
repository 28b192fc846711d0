# SPDX-License-Identifier: GPL-2.0-or-later
"""On no screen do two cures contradict, whatever the guest: stories, captures, reports, chance.

BALLOON_AGENT_SITUATIONS=100000 tries so many random situations (300 by default), from
BALLOON_AGENT_SITUATIONS_FROM on.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from agent.core.account.situation import understand
from agent.core.findings.diagnosis import diagnose
from agent.core.findings.examination import Examination
from sim_backend.stories import catalogue
from tests import captures
from tests.cases.test_every_case import NAMES as REPORTED
from tests.cases.test_every_case import case
from tests.cli.findings_shown import scenario
from tests.fixes.one_screen import must_agree, must_be_said_well
from tests.support.captured import snapshot_of
from tests.support.random_situations import examination

MOST: Final = int(os.environ.get("BALLOON_AGENT_SITUATIONS", "300"))
FROM: Final = int(os.environ.get("BALLOON_AGENT_SITUATIONS_FROM", "0"))


@pytest.mark.parametrize("name", catalogue.scenario_names())
def test_no_story_contradicts_itself(name: str) -> None:
    diagnosis = scenario(name).examined(Path())
    must_agree(diagnosis)
    must_be_said_well(diagnosis)


def test_no_capture_contradicts_itself() -> None:
    for name in captures.names():
        snapshot = snapshot_of(name)
        must_agree(diagnose(Examination(understand(snapshot), snapshot.sources)))


@pytest.mark.parametrize("name", REPORTED)
def test_no_reported_guest_contradicts_itself(name: str) -> None:
    must_agree(case(name).diagnosis)
    must_be_said_well(case(name).diagnosis)


def test_no_random_situation_contradicts_itself() -> None:
    for seed in range(FROM, FROM + MOST):
        diagnosis = diagnose(examination(seed))
        try:
            must_agree(diagnosis)
            if seed % 8 == 0:
                must_be_said_well(diagnosis)
        except AssertionError as error:
            raise AssertionError(f"situation {seed}") from error
