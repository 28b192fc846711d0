# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the balloon is where the host wants it, or on its way there: what XAPI is told by.

squeezed takes what a guest has beyond memory/target when it first hears of it for a constant, and
xenopsd does not save a guest that says that its balloon moves.

Relies on docs/design.md A21.
"""

from __future__ import annotations

from agent.core.account.situation import Situation
from agent.core.facts.units import PAGE_KIB
from agent.core.policy.history import History, is_at, wanted_kib
from agent.core.policy.settings import PolicySettings


def is_where_the_host_wants_it(situation: Situation) -> bool:
    """Whether the balloon is at its target, and that is the host's.

    A crash kernel has no memory/target (xenopsd takes it away before the soft reset), and one that
    a target of the agent's own or of somebody's by hand is in force for is not where it belongs.
    """
    snapshot, offset = situation.snapshot, situation.offset
    balloon, host_kib = snapshot.balloon, snapshot.host.target_kib
    if situation.state != "settled" or balloon is None or host_kib is None or offset is None:
        return False
    return is_at(balloon.target_kib, host_kib // PAGE_KIB * PAGE_KIB - offset.kib)


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
