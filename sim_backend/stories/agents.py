# SPDX-License-Identifier: GPL-2.0-or-later
"""Who looks after a simulated guest: nobody, or the daemon's own policy in one of its modes."""

from __future__ import annotations

from typing import Final, Protocol

from agent.core.policy.settings import MODES, Mode, PolicySettings
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.stories.policy_agent import Cause, PolicyAgent

NOBODY: Final = "none"
AGENTS: Final[tuple[str, ...]] = (NOBODY, *MODES)


class Agent(Protocol):
    """Something that is asked to look at its domain from time to time."""

    @property
    def name(self) -> str: ...

    def turn(self, domain: SimulatedDomain, cause: Cause) -> float:
        """Look, perhaps act; the longest time in seconds until the next look.

        It is called earlier when the host writes below memory/, and when programs lost 200 ms
        within 2 s for want of memory (a pressure trigger, Linux 5.2 and later).  It must not wait.
        """
        ...


class NoAgent:
    """Does nothing: shows what becomes of a guest that is left alone."""

    name = NOBODY

    def turn(self, domain: SimulatedDomain, cause: Cause) -> float:  # noqa: ARG002 - the interface
        return 3600.0


def agent(name: str, *, keeps_record: bool = False) -> Agent:
    """The agent of that name; the policy may act in dom0, where a story is about one.

    Raises:
        KeyError: there is none.
    """
    if name == NOBODY:
        return NoAgent()
    modes: dict[str, Mode] = {mode: mode for mode in MODES}
    settings = PolicySettings(mode=modes[name], act_in_dom0=True)
    return PolicyAgent(settings, keeps_record=keeps_record)
