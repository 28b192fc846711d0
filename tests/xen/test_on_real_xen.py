# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent in real guests and in real dom0: each case of the lab's scenarios is a test.

`make test-xen` plays what is marked quick, `make test-xen-all` everything; `-k NAME` picks one.
All tests of a session share one boot of the machine, whose results and evidence stay below the
lab's folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.xenlab import scenarios

if TYPE_CHECKING:
    from tests.xen.conftest import Playback


@pytest.mark.xen
@pytest.mark.parametrize(
    ("scenario", "case"),
    [
        pytest.param(
            scenario.name,
            case.name,
            id=f"{scenario.name}: {case.name}",
            marks=[pytest.mark.quick] if scenario.quick else [],
        )
        for scenario in scenarios.ALL.values()
        for case in scenario.cases
    ],
)
def test_on_real_xen(playback: Playback, scenario: str, case: str) -> None:
    outcome = playback.outcome(scenario, case)
    assert outcome.passed, outcome.detail
