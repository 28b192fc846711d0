# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent in real guests and in real dom0: each case of the lab's scenarios is a test.

`make test-xen` plays the quick subset, `make test-xen-all` everything. The environment variable
BALLOON_AGENT_XEN_SCENARIOS says which scenarios are collected: `quick`, `all`, or names. All tests
of a session share one boot of the machine, whose results and evidence stay below the lab's folder.
"""

import os
from typing import TYPE_CHECKING, Final

import pytest

from tests.xenlab import scenarios

if TYPE_CHECKING:
    from tests.xen.conftest import Playback

SELECTION: Final = "BALLOON_AGENT_XEN_SCENARIOS"
SELECTED: Final = scenarios.select(os.environ.get(SELECTION, "quick").split())


@pytest.mark.xen
@pytest.mark.parametrize(
    ("scenario", "case"),
    [
        pytest.param(scenario.name, case.name, id=f"{scenario.name}: {case.name}")
        for scenario in SELECTED
        for case in scenario.cases
    ],
)
def test_on_real_xen(playback: "Playback", scenario: str, case: str) -> None:
    outcome = playback.outcome(scenario, case)
    assert outcome.passed, outcome.detail
