# SPDX-License-Identifier: GPL-2.0-or-later
"""When a save has to wait for the balloon."""

from __future__ import annotations

from typing import Any

from agent.core.account.situation import Situation, understand
from agent.core.policy.history import EMPTY, noticed
from agent.core.policy.settings import PolicySettings
from agent.daemon.motion import is_in_motion
from tests.support.snapshots import MIB, a_pv_guest

FOLLOW = PolicySettings()


def a_guest(**balloon: Any) -> Situation:
    return understand(a_pv_guest(balloon=balloon) if balloon else a_pv_guest())


def test_a_save_waits_from_the_moment_the_host_has_asked() -> None:
    at_rest = a_guest()
    memory = noticed(EMPTY, at_rest, 0.0, asked=False)
    assert not is_in_motion(at_rest, memory, FOLLOW, 0.0)
    host = at_rest.snapshot.host._replace(target_kib=400 * MIB)
    asked = understand(at_rest.snapshot._replace(host=host))
    memory = noticed(memory, asked, 10.0, asked=True)
    assert is_in_motion(asked, memory, FOLLOW, 10.0)
    assert not is_in_motion(asked, memory, FOLLOW, 13.0)  # the kernel does not follow
    moving = a_guest(target_kib=400 * MIB, motion="moved")
    assert is_in_motion(moving, memory, FOLLOW, 13.0)
