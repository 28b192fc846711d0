# SPDX-License-Identifier: GPL-2.0-or-later
"""The named stories.  `scenario_names` lists them, `load` gives one.

Beside them there are the variations of `schedules`: `steps-3`, `random-17`, `steps-3@pvh-2048`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sim_backend.stories import moving, odd_guests, refused, schedules, squeezed_out
from sim_backend.stories.scenario import Scenario

_STORIES: Final[Mapping[str, Scenario]] = {
    scenario.name: scenario
    for group in (moving, squeezed_out, refused, odd_guests)
    for scenario in group.SCENARIOS
}


def scenario_names() -> tuple[str, ...]:
    """Every scenario, in the order in which they are best read."""
    return tuple(_STORIES)


def load(name: str) -> Scenario:
    """The scenario called `name`.

    Raises:
        KeyError: there is none.
    """
    found = _STORIES.get(name)
    return schedules.variation(name) if found is None else found
