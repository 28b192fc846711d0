# SPDX-License-Identifier: GPL-2.0-or-later
"""When to look at the domain again, if nothing wakes the agent before."""

from __future__ import annotations

from typing import Final

from agent.core.policy.decision import Decision
from agent.core.policy.history import History
from agent.core.policy.settings import HOLDING_MODES, PolicySettings

_POLL_WITHOUT_TRIGGER_S: Final = 10.0
_ASKED_LOOK_S: Final = 0.5
WATCHED_S: Final = 6.0
_WHILE_SHORT_S: Final = 10.0  # what the kernel's shortest average of pressure looks back on


def next_look_s(
    decision: Decision,
    history: History,
    settings: PolicySettings,
    now_s: float,
    *,
    stalls: bool = False,
    has_trigger: bool = True,
) -> float | None:
    """The decision's own wish, and what no event tells.

    Who asks for less goes on by what the guest then says that it needs, and programs that take more
    for a moment are seen by looking only; so where nothing is held, which is watched anyway, the
    guest is watched for `WATCHED_S` after an ask.

    `stalls`: the guest is short of memory, or was a moment ago; nothing tells when that is over,
    and the host should not go on reading that it is, nor the floor of that time.  `has_trigger`:
    the kernel says by itself that memory gets short.
    """
    wanted = [decision.look_again_s]
    holds = settings.mode in HOLDING_MODES
    if not holds and now_s - history.asks.at_s < WATCHED_S:
        wanted.append(now_s + _ASKED_LOOK_S)
    if stalls:
        wanted.append(now_s + _WHILE_SHORT_S)
    if holds and history.own_kib is not None and not has_trigger:
        wanted.append(now_s + _POLL_WITHOUT_TRIGGER_S)
    return min((at_s for at_s in wanted if at_s is not None), default=None)
