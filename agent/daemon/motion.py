# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the balloon is on its way: what XAPI is told by.

xenopsd does not save a guest that says that its balloon moves.
"""

from __future__ import annotations

from agent.core.account.situation import Situation
from agent.core.policy.history import History, is_at, wanted_kib
from agent.core.policy.settings import PolicySettings


def is_in_motion(
    situation: Situation, history: History, settings: PolicySettings, now_s: float
) -> bool:
    """Whether the balloon moves, or is about to: the kernel has time to take up a new target."""
    if situation.state == "moving":
        return True
    aim_kib, balloon = wanted_kib(situation, history), situation.snapshot.balloon
    if aim_kib is None or balloon is None or history.followed:
        return False
    return now_s < history.host_since_s + settings.grace_s and not is_at(
        balloon.current_kib, aim_kib
    )
