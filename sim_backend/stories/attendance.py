# SPDX-License-Identifier: GPL-2.0-or-later
"""Has an agent look when the daemon would, and as late as the daemon does.

The daemon sleeps in poll(2): the host's write, a stall, or the time it asked for itself wakes it.
Until it has acted some milliseconds pass, in which the kernel goes on.  How many, from
memory/target written by dom0 to the decision: 2 ms in the middle and 10 ms for one of a hundred
(tests/bench/reaction.py); half of that where nothing has to be asked of xenstore.
"""

from __future__ import annotations

from math import exp, log
from typing import Final

from sim_backend.clock import Clock, Event
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.stories.agents import Agent
from sim_backend.stories.policy_agent import Cause

MEDIAN_S: Final = 0.002
P99_S: Final = 0.010
LONGEST_S: Final = 0.05
_SPREAD: Final = log(P99_S / MEDIAN_S) / 2.326  # of the logarithm; 2.326 is the normal's 99 %
_BY_ITSELF: Final = 0.5


def reaction_s(clock: Clock) -> float:
    """How long one reaction to the host takes, drawn from what was measured."""
    return min(LONGEST_S, MEDIAN_S * exp(clock.rng.gauss(0.0, _SPREAD)))


class Attendance:
    """One agent and its domain; `looks` counts how often the agent was awake."""

    def __init__(self, domain: SimulatedDomain, agent: Agent) -> None:
        self.looks = 0
        self._domain = domain
        self._clock = domain.clock
        self._agent = agent
        self._woken: Event | None = None
        self._why: Cause = "start"
        self._timer = self._clock.after(0.0, lambda: self._look("start"))
        domain.host_listeners.append(lambda: self.wake("host"))
        domain.stall_listeners.append(lambda: self.wake("pressure"))

    def wake(self, cause: Cause) -> None:
        """Something happened; who is about to look because of something else sees this as well."""
        if self._woken is not None and self._woken.pending:
            self._why = "host" if "host" in (cause, self._why) else cause
            return
        self._why = cause
        due_s = self._clock.now_s + reaction_s(self._clock)
        self._woken = self._clock.at(due_s, lambda: self._look(self._why))

    def _look(self, cause: Cause) -> None:
        self._timer.cancel()
        if not self._domain.alive:
            return
        self.looks += 1
        pause_s = self._agent.turn(self._domain, cause)
        due_s = self._clock.now_s + max(0.0, pause_s) + _BY_ITSELF * reaction_s(self._clock)
        self._timer = self._clock.at(due_s, lambda: self._look("timer"))
