# SPDX-License-Identifier: GPL-2.0-or-later
"""Before the thought: what was decided to hold is written again the moment the kernel aims lower.

The kernel sets the host's target by itself, some time after it was written: microseconds, or longer
where its thread for xenstore is busy.  So the agent watches target_kb alone, which costs one small
file, and puts back what holds; a whole look follows.

Relies on docs/design.md A14.
"""

from __future__ import annotations

from typing import Final

from agent.core.facts.units import format_kib
from agent.core.policy.decision import Decision, write_target
from agent.core.policy.history import History, remembered

CLOSE_S: Final = 0.1
CLOSE_EVERY_S: Final = 0.001
WATCH_S: Final = 2.0
WATCH_EVERY_S: Final = 0.01


def reflex(history: History, target_kib: int | None, now_s: float) -> Decision | None:
    """What to write when the kernel aims at `target_kib` now; None when nothing is in danger."""
    hold_kib, current_kib = history.hold_kib, history.current_kib
    if hold_kib is None or current_kib is None or target_kib is None or now_s < history.retry_s:
        return None
    if not history.sinks_below(hold_kib, target_kib):
        return None
    return write_target(
        hold_kib,
        "guard",
        "guard-held",
        f"The kernel was told to go to {format_kib(max(0, target_kib))}; for now the guest sinks "
        f"no further than {format_kib(hold_kib)}.",
        {"current_kib": current_kib, "target_kib": target_kib, "next_kib": hold_kib},
    )


def reacted(history: History, decision: Decision, now_s: float) -> History:
    """The history after a reflex that was carried out: the kernel has just been told otherwise."""
    if history.unread_kib is not None:
        history = history._replace(unread_kib=int(decision.numbers["target_kib"]))
    history = remembered(history, decision, now_s)
    return history._replace(target_since_s=now_s, foreign_s=now_s, followed=True)


def next_peek_s(history: History, now_s: float) -> float | None:
    """When to read target_kb again, without a whole look; None while nothing is in danger."""
    if history.hold_kib is None or not (history.asks_less or history.own_kib is not None):
        return None
    if history.refusals and (history.target_kib or 0) < history.hold_kib:
        return max(history.retry_s, now_s + CLOSE_EVERY_S)
    touched_s = max(history.host_since_s, history.foreign_s)
    if now_s - touched_s < CLOSE_S:
        return now_s + CLOSE_EVERY_S
    if now_s - history.host_since_s < WATCH_S and not history.followed:
        return now_s + WATCH_EVERY_S
    return None
