# SPDX-License-Identifier: GPL-2.0-or-later
"""All scenarios by name. Their order is that of tables; the longest is played first."""

from __future__ import annotations

from typing import Final

from tests.xenlab.hosts import HOSTS
from tests.xenlab.model import Scenario
from tests.xenlab.scenarios import (
    asked_again,
    captures,
    contract,
    daemon,
    daemon_types,
    debian11,
    demo,
    fixes,
    guest_types,
    host_commands,
    kernels,
    lifecycle,
    lost,
    package,
    planned,
    pressure,
    releases,
    shapes,
    sudden,
)

MODULES: Final = (
    guest_types,
    contract,
    shapes,
    planned,
    lifecycle,
    daemon,
    daemon_types,
    debian11,
    package,
    pressure,
    asked_again,
    fixes,
    host_commands,
    sudden,
    kernels,
    releases,
    lost,
)
ALL: Final[dict[str, Scenario]] = {
    scenario.name: scenario for module in MODULES for scenario in module.SCENARIOS
}
CAPTURED: Final[dict[str, Scenario]] = {scenario.name: scenario for scenario in captures.SCENARIOS}
"""Played on their own, to refresh the fixtures of other tests."""
SHOWN: Final[dict[str, Scenario]] = {scenario.name: scenario for scenario in demo.SCENARIOS}
"""Played on their own, to demonstrate."""


def select(words: list[str]) -> list[Scenario]:
    """Return the scenarios that words name, each once and in order.

    A word is a scenario's name, a host's name, `quick` or `all`.

    Raises:
        KeyError: a word is none of these.
    """
    wanted: set[str] = set()
    for word in words:
        if word == "all":
            wanted.update(ALL)
        elif word == "quick":
            wanted.update(name for name, scenario in ALL.items() if scenario.quick)
        elif word in HOSTS:
            wanted.update(name for name, scenario in ALL.items() if scenario.host == word)
        else:
            wanted.add((ALL | SHOWN)[word].name)
    return [scenario for name, scenario in (ALL | SHOWN).items() if name in wanted]
