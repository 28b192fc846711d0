# SPDX-License-Identifier: GPL-2.0-or-later
"""The named stories.  `scenario_names` lists them, `load` gives one.

Beside them there are the variations of `schedules`: `steps-3`, `random-17`, `steps-3@pvh-2048`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from typing import Final

from sim_backend.stories import schedules
from sim_backend.stories.scenario import Scenario

DEFAULT: Final = "balloon-up"
_GROUPS: Final = ("moving", "squeezed_out", "refused", "odd_guests")


@lru_cache(maxsize=1)
def _registry() -> Mapping[str, Scenario]:
    found: dict[str, Scenario] = {}
    for group in _GROUPS:
        module = import_module(f"sim_backend.stories.{group}")
        found |= {scenario.name: scenario for scenario in module.SCENARIOS}
    return found


def scenario_names() -> tuple[str, ...]:
    """Every scenario, in the order in which they are best read."""
    return tuple(_registry())


def load(name: str) -> Scenario:
    """The scenario called `name`.

    Raises:
        KeyError: there is none.
    """
    found = _registry().get(name)
    return schedules.variation(name) if found is None else found
