# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's own policy at work on a simulated domain: decides, carries out, keeps a record."""

from __future__ import annotations

from typing import Literal, NamedTuple

from agent.core.account.situation import Situation, understand
from agent.core.policy.decide import EMPTY, PolicyMemory, PolicySettings, decide
from agent.core.policy.decision import Decision
from sim_backend.guest.domain import SimulatedDomain

_IDLE_S = 3600.0
_MOST_ACTIONS_AT_ONCE = 64

Cause = Literal["start", "host", "pressure", "timer"]
"""Why the agent looks."""


class Decided(NamedTuple):
    """One decision, and what it was made of."""

    when_s: float
    situation: Situation
    before: PolicyMemory
    decision: Decision


class PolicyAgent:
    """`agent.core.policy.decide` as an agent of a scenario."""

    def __init__(
        self, settings: PolicySettings | None = None, *, keeps_record: bool = False
    ) -> None:
        self.settings = settings or PolicySettings()
        self.name = self.settings.mode
        self.memory = EMPTY
        self.record: list[Decided] = []
        self.keeps_record = keeps_record

    def tick(self, domain: SimulatedDomain, cause: Cause) -> float:  # noqa: ARG002
        """Decide and act until there is nothing to do now."""
        for _ in range(_MOST_ACTIONS_AT_ONCE):
            decision = self._decide(domain)
            if decision.action == "none":
                break
            self._act(domain, decision)
        else:
            return 1.0
        if decision.look_again_s is None:
            return _IDLE_S
        return max(0.0, decision.look_again_s - domain.now_s())

    def _decide(self, domain: SimulatedDomain) -> Decision:
        now_s, before = domain.now_s(), self.memory
        situation = understand(domain.snapshot())
        decision, self.memory = decide(situation, before, self.settings, now_s)
        if self.keeps_record:
            self.record.append(Decided(now_s, situation, before, decision))
        return decision

    @staticmethod
    def _act(domain: SimulatedDomain, decision: Decision) -> None:
        try:
            if decision.action == "write-target" and decision.target_kib is not None:
                domain.set_target_kib(decision.target_kib)
            elif decision.block is not None:
                domain.online_block(decision.block)
        except OSError:
            return
