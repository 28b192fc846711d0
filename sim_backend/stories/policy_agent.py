# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's own policy at work on a simulated domain: decides, carries out, keeps a record."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from agent.core.account.situation import Situation, understand
from agent.core.policy.decide import decide
from agent.core.policy.decision import Decision
from agent.core.policy.history import EMPTY, History, refused, remembered
from agent.core.policy.looks import next_look_s
from agent.core.policy.reflex import next_peek_s, reacted, reflex
from agent.core.policy.settings import PolicySettings
from sim_backend.guest.domain import SimulatedDomain

_IDLE_S: Final = 3600.0
_SOON_S: Final = 0.01
_MOST_ACTIONS_AT_ONCE: Final = 8


Cause = Literal["start", "host", "pressure", "timer"]
"""Why the agent looks."""


class Decided(NamedTuple):
    """One decision, and what it was made of."""

    when_s: float
    situation: Situation
    before: History
    asked: bool
    decision: Decision


class PolicyAgent:
    """`agent.core.policy.decide` as an agent of a scenario."""

    def __init__(self, settings: PolicySettings, *, keeps_record: bool = False) -> None:
        self.settings = settings
        self.name = settings.mode
        self.history = EMPTY
        self.record: list[Decided] = []
        self.keeps_record = keeps_record
        self._asked = False
        self._look_s = float("-inf")

    def turn(self, domain: SimulatedDomain, cause: Cause = "timer") -> float:
        """Look, decide and act, or only peek; how long until the next time."""
        now_s = domain.now_s()
        self._asked = self._asked or cause == "host"
        peeks = next_peek_s(self.history, now_s) is not None
        if peeks:
            self._peek(domain, now_s)
        if not peeks or cause != "timer" or now_s >= self._look_s:
            self._turn(domain, now_s)
        peek_s = next_peek_s(self.history, now_s)
        return max(0.0, (self._look_s if peek_s is None else min(self._look_s, peek_s)) - now_s)

    def _peek(self, domain: SimulatedDomain, now_s: float) -> None:
        """The kernel's target alone, and what follows from it."""
        target_kib = domain.target_kib
        decision = reflex(self.history, target_kib, now_s)
        if decision is not None:
            self._carry_out(domain, decision, now_s, by_reflex=True)
        awaited = not self.history.followed and target_kib != self.history.target_kib
        if decision is not None or awaited:
            self._look_s = now_s

    def _turn(self, domain: SimulatedDomain, now_s: float) -> None:
        for _ in range(_MOST_ACTIONS_AT_ONCE):
            decision = self._decide(domain, now_s)
            self._carry_out(domain, decision, now_s)
            if decision.action == "none":
                break
        at_s = next_look_s(decision, self.history, self.settings, now_s)
        if decision.action != "none":
            at_s = now_s
        self._look_s = now_s + _IDLE_S if at_s is None else max(at_s, now_s + _SOON_S)

    def _decide(self, domain: SimulatedDomain, now_s: float) -> Decision:
        before, asked = self.history, self._asked
        self._asked = False
        situation = understand(domain.snapshot())
        decision, self.history = decide(situation, before, self.settings, now_s, asked=asked)
        if self.keeps_record:
            self.record.append(Decided(now_s, situation, before, asked, decision))
        return decision

    def _carry_out(
        self, domain: SimulatedDomain, decision: Decision, now_s: float, *, by_reflex: bool = False
    ) -> None:
        try:
            if decision.target_kib is not None:
                domain.set_target_kib(decision.target_kib)
            for block in decision.blocks:
                domain.online_block(block)
        except OSError:
            self.history = refused(self.history, now_s)
        else:
            after = reacted if by_reflex else remembered
            self.history = after(self.history, decision, now_s)
