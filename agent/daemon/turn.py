# SPDX-License-Identifier: GPL-2.0-or-later
"""One turn of the daemon: look at the domain, decide, act, note what became of it.

A peek is less than a look: the kernel's target alone, and the reflex that may follow from it.
Nothing here waits, and nothing is told to the host: that is the loop's part.
"""

from __future__ import annotations

import time
from collections.abc import Set
from typing import Final

from agent.act import ActDeniedError, ActRefusedError, online_block, set_target_kib
from agent.core.account.shortage import shortage
from agent.core.account.situation import Situation, understand
from agent.core.policy.decide import decide
from agent.core.policy.decision import UNREMARKABLE, Decision
from agent.core.policy.history import EMPTY, moved, refused, remembered
from agent.core.policy.looks import next_look_s
from agent.core.policy.reflex import next_peek_s, reacted, reflex
from agent.core.policy.settings import PolicySettings
from agent.core.policy.use import REMEMBERS_S
from agent.daemon import journal as j
from agent.daemon.denial import Denial
from agent.daemon.observer import Observer
from agent.daemon.parts import Parts
from agent.daemon.record import DecisionLog, Entry, Result
from agent.sources.xen_memory import read_target_kib

CAUSES: Final = (
    "start", "reload", "reconnected", "xenstore-lost", "host", "pressure", "watchdog", "timer",
)  # fmt: skip
"""Why a turn is taken; where there are several, the first of these is told."""
_ACTIONS_PER_TURN: Final = 8
_AFTER_SHORT_S: Final = 3 * REMEMBERS_S
"""Until the need of that time is no longer counted, and the host has read the floor without it."""
_RESUME_GAP_S: Final = 1.0
_NOTHING: Final = Result("none", "nothing to do")


class Turn:
    """What the daemon knows of its domain.

    `situation` is that of the last look, `decision` what followed from it; `settings` are those in
    force, `denial` why their mode is not the configured one.
    """

    SURVIVES_REST: Final = (
        "settings", "history", "peek_s", "observer", "denial",
        "_configured", "_domid", "_short_s", "_sleep_gap_s",
    )  # fmt: skip

    def __init__(self, parts: Parts, settings: PolicySettings, log: DecisionLog) -> None:
        self.settings = settings
        self.situation: Situation | None = None
        self.decision: Decision | None = None
        self.history = EMPTY
        self.peek_s: float | None = None
        self.observer = Observer(parts.root)
        self.denial = Denial()
        self._parts = parts
        self._log = log
        self._configured = settings
        self._domid: int | None = None
        self._short_s = float("-inf")
        self._sleep_gap_s = _sleep_gap_s()

    def resume(self) -> None:
        """After a rest, the situation is that of the last look."""
        last = self.observer.last
        self.situation = None if last is None else understand(last)

    def configured(self, settings: PolicySettings) -> None:
        """Other settings; whatever was denied is tried again."""
        self.settings = self._configured = settings
        self.denial.lift()

    @property
    def guards(self) -> bool:
        """Whether there is something to put back should the kernel aim lower."""
        return self.history.hold_kib is not None

    def take(self, causes: Set[str], now_s: float) -> Situation:
        """Look, decide and act until there is nothing more to do now; what was seen last."""
        cause = next((one for one in CAUSES if one in causes), "timer")
        asked = "asked" in causes
        for _ in range(_ACTIONS_PER_TURN):
            self.settings = self.denial.in_force(self._configured, now_s)
            quickly = "host" in causes
            snapshot = self.observer.look(self._parts.link, now_s, quickly=quickly)
            if quickly:
                self.peek(now_s)
            situation = understand(snapshot)
            decision, self.history = decide(
                situation, self.history, self.settings, now_s, asked=asked
            )
            self._carry_out(cause, decision, now_s)
            asked = False
            if decision.action != "write-target":
                break  # after blocks went online the host and signals are heard first
        self.situation, self.decision = situation, decision
        seen = situation.snapshot
        if "pressure" in causes or shortage(seen.memory, seen.pressure) != "none":
            self._short_s = now_s
        self.peek_s = next_peek_s(self.history, now_s)
        return situation

    def peek(self, now_s: float) -> bool:
        """Whether the kernel's target alone calls for a look; what holds is put back at once."""
        if not self.guards:
            self.peek_s = None  # of before a look that failed half way
            return False
        target_kib = read_target_kib(self._parts.root)
        decision = reflex(self.history, target_kib, now_s)
        if decision is not None:
            self._carry_out("host", decision, now_s, by_reflex=True)
        self.peek_s = next_peek_s(self.history, now_s)
        return decision is not None or target_kib not in (None, self.history.target_kib)

    def next_look_s(self, now_s: float) -> float | None:
        """When the policy wants another look."""
        if self.decision is None:
            return None
        if self.decision.action != "none":
            return now_s  # there is more to do
        return next_look_s(
            self.decision,
            self.history,
            self.settings,
            now_s,
            stalls=now_s - self._short_s <= _AFTER_SHORT_S,
            has_trigger=self._parts.wakeups.pressure_descriptor is not None,
        )

    def was_resumed(self) -> bool:
        """Whether the machine slept since the last turn."""
        gap_s = _sleep_gap_s()
        slept = abs(gap_s - self._sleep_gap_s) > _RESUME_GAP_S
        self._sleep_gap_s = gap_s
        return slept

    def was_moved(self) -> bool:
        """Whether the domain has another number than in the last turn: another host's."""
        before, domid = self._domid, self._parts.link.facts.domid
        self._domid = before if domid is None else domid
        return before is not None and self._domid != before

    def start_afresh(self) -> None:
        """Forget what is known of the host."""
        self.history = moved(self.history)
        self.denial.lift()

    def _carry_out(
        self, cause: str, decision: Decision, now_s: float, *, by_reflex: bool = False
    ) -> None:
        result = self._act(decision, now_s)
        if result.kind == "refused":
            self.history = refused(self.history, now_s)
        elif result.kind == "done":
            after = reacted if by_reflex else remembered
            self.history = after(self.history, decision, now_s)
        self._note(cause, decision, result, now_s)

    def _act(self, decision: Decision, now_s: float) -> Result:
        """Carry a decision out; what became of it."""
        if decision.action == "none":
            return _NOTHING
        try:
            if decision.target_kib is not None:
                set_target_kib(self._parts.root, decision.target_kib)
            for block in decision.blocks:
                online_block(self._parts.root, block)
        except ActDeniedError as error:
            if self.denial.met(error, now_s):
                self._parts.say(j.WARNING, "denied", self.denial.banner or "")
            self.settings = self.denial.in_force(self._configured, now_s)
            self.history = self.history._replace(hold_kib=None)
            return Result("denied", f"denied: {error}")
        except ActRefusedError as error:
            self._parts.say(j.WARNING, "refused", f"the kernel refused: {error}", 3)
            return Result("refused", f"refused: {error}")
        if self.denial.over():
            self._parts.say(j.NOTICE, "permitted", "what was denied is permitted again", 3)
        return Result("done", "done")

    def _note(self, cause: str, decision: Decision, result: Result, now_s: float) -> None:
        is_new = self._log.add(Entry(now_s, int(time.time()), cause, decision, result))
        if result.kind in ("done", "refused"):
            text = f"{decision.sentence} [{decision.reason}: {result.words}]"
            self._parts.say(j.NOTICE, decision.reason, text, j.EVENT_BURST)
        elif result.kind == "none" and is_new and decision.reason not in UNREMARKABLE:
            self._parts.say(j.INFO, decision.reason, decision.sentence, 3)


def _sleep_gap_s() -> float:
    """How long this kernel has slept: CLOCK_BOOTTIME counts that, CLOCK_MONOTONIC does not."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
