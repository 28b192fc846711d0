# SPDX-License-Identifier: GPL-2.0-or-later
"""One turn of the daemon: look at the domain, decide, act, note what became of it.

Nothing here waits, and nothing is told to the host: that is the loop's part.
"""

from __future__ import annotations

import time
from typing import Final

from agent.act import ActDeniedError, ActRefusedError, online_block, set_target_kib
from agent.core.account.shortage import shortage
from agent.core.account.situation import Situation, understand
from agent.core.facts.snapshot import Origin
from agent.core.policy.decide import EMPTY, PolicySettings, decide
from agent.core.policy.decision import Decision
from agent.daemon import journal as j
from agent.daemon.denial import Denial
from agent.daemon.observer import Observer
from agent.daemon.parts import Parts
from agent.daemon.record import DecisionLog, Entry

_ACTIONS_PER_TURN: Final = 64
_RESUME_GAP_S: Final = 1.0
_POLL_WITHOUT_TRIGGER_S: Final = 10.0
_WHILE_SHORT_S: Final = 10.0  # what the kernel's shortest average of pressure looks back on


class Turn:
    """What the daemon knows of its domain.

    `situation` is that of the last look, `decision` what followed from it; `settings` are those in
    force, `banner` says why their mode is not the configured one.
    """

    def __init__(self, parts: Parts, settings: PolicySettings, log: DecisionLog) -> None:
        self.settings = settings
        self.situation: Situation | None = None
        self.decision: Decision | None = None
        self.memory = EMPTY
        origin = Origin("live", "this machine" if parts.root.is_live else parts.root.path)
        self.observer = Observer(parts.root, origin)
        self._parts = parts
        self._log = log
        self._configured = settings
        self._denial = Denial()
        self._domid: int | None = None
        self._stalls = False
        self._sleep_gap_s = _sleep_gap_s()

    def configured(self, settings: PolicySettings) -> None:
        """Other settings; whatever was denied is tried again."""
        self.settings = self._configured = settings
        self._denial.lift()

    @property
    def banner(self) -> str | None:
        """What has to be said before all else."""
        return self._denial.banner

    def take(self, cause: str, now_s: float) -> Situation:
        """Look, decide and act until there is nothing more to do; what was seen last."""
        for _ in range(_ACTIONS_PER_TURN):
            self.settings = self._denial.in_force(self._configured, now_s)
            quickly = cause == "host"
            situation = understand(self.observer.look(self._parts.bus, now_s, quickly=quickly))
            decision, self.memory = decide(situation, self.memory, self.settings, now_s)
            self._note(cause, decision, self._act(decision, now_s), now_s)
            if decision.action == "none":
                break
        self.situation, self.decision = situation, decision
        seen = situation.snapshot
        self._stalls = cause == "pressure" or shortage(seen.memory, seen.pressure) != "none"
        return situation

    def next_look_s(self, now_s: float) -> float | None:
        """When the policy, or a guarded shrink, wants another look.

        A guest that stalls is looked at until it does not: nothing tells when that is over, and the
        host should not go on reading that it stalls, nor the floor of that time.
        """
        wanted = [self.decision.look_again_s] if self.decision is not None else []
        if self._stalls:
            wanted.append(now_s + _WHILE_SHORT_S)
        minds_pressure = self.settings.mode in ("guard", "self") and self.memory.own_kib is not None
        if minds_pressure and not self._parts.wakeups.has_pressure_trigger:
            wanted.append(now_s + _POLL_WITHOUT_TRIGGER_S)
        return min((at_s for at_s in wanted if at_s is not None), default=None)

    def was_resumed(self) -> bool:
        """Whether the machine slept since the last turn."""
        gap_s = _sleep_gap_s()
        slept = abs(gap_s - self._sleep_gap_s) > _RESUME_GAP_S
        self._sleep_gap_s = gap_s
        return slept

    def was_moved(self) -> bool:
        """Whether the domain has another number than in the last turn: another host's."""
        domid = self._parts.bus.facts.domid
        moved = domid is not None and self._domid is not None and domid != self._domid
        self._domid = domid if domid is not None else self._domid
        return moved

    def start_afresh(self) -> None:
        """Forget what is known of the host; the offset the kernel keeps for as long as it runs."""
        self.memory = EMPTY._replace(offset_kib=self.memory.offset_kib)
        self._denial.lift()

    def _act(self, decision: Decision, now_s: float) -> str:
        """Carry a decision out; what became of it."""
        try:
            if decision.target_kib is not None:
                set_target_kib(self._parts.root, decision.target_kib)
            elif decision.block is not None:
                online_block(self._parts.root, decision.block)
            else:
                return "nothing to do"
        except ActDeniedError as error:
            if self._denial.met(error, now_s):
                self._parts.say(j.WARNING, "denied", self._denial.banner or "")
            self.settings = self._denial.in_force(self._configured, now_s)
            return f"denied: {error}"
        except ActRefusedError as error:
            self._parts.say(j.WARNING, "refused", f"the kernel refused: {error}", 3)
            return f"refused: {error}"
        if self._denial.over():
            self._parts.say(j.NOTICE, "permitted", "what was denied is permitted again", 3)
        return "done"

    def _note(self, cause: str, decision: Decision, outcome: str, now_s: float) -> None:
        is_new = self._log.add(Entry(now_s, int(time.time()), cause, decision, outcome))
        if decision.action != "none" and not outcome.startswith("denied"):
            text = f"{decision.sentence} [{decision.reason}: {outcome}]"
            self._parts.say(j.NOTICE, decision.reason, text, j.EVENT_BURST)
        elif (
            decision.action == "none"
            and is_new
            and decision.reason not in ("settled", "moving", "kernel-has-time")
        ):
            self._parts.say(j.INFO, decision.reason, decision.sentence, 3)


def _sleep_gap_s() -> float:
    """How long this kernel has slept: CLOCK_BOOTTIME counts that, CLOCK_MONOTONIC does not."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
