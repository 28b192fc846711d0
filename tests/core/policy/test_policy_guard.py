# SPDX-License-Identifier: GPL-2.0-or-later
"""Mode guard and a guest whose needs it does not know yet."""

from __future__ import annotations

import pytest

from tests.core.policy.test_policy_runs import GUARD, MIB, Story


@pytest.mark.parametrize("mib", [10, 25, 32])
def test_a_demand_right_after_a_shrink_finds_air(mib: int) -> None:
    story = Story(GUARD)
    story.workload(1, 300)
    story.mem_set(10, 200)
    story.workload(12.5, 300 + mib)
    story.run(40)

    assert story.domain.memory.oom_kills == 0
    assert story.domain.memory.unmet_kib == 0


def test_once_it_has_been_watched_for_a_while_a_guest_gives_that_air_as_well() -> None:
    story = Story(GUARD)
    story.workload(1, 300)
    story.mem_set(40, 200)
    story.run(50)
    at_first_kib = story.domain.current_kib
    story.run(100)

    assert at_first_kib - story.domain.current_kib >= 16 * MIB
