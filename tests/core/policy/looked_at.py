# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest that the rules are asked about, at the very figures where their answers change.

It has 512 of 1024 MiB, uses 144020 KiB of them and needs 172032; it is looked at after 1000 s.
"""

from __future__ import annotations

from typing import Any, Final

from agent.core.account.situation import understand
from agent.core.facts.snapshot import BootRecord
from agent.core.policy.history import EMPTY
from agent.core.policy.settings import PolicySettings
from agent.core.policy.view import View, view
from tests.support.snapshots import (
    MIB,
    a_pv_guest,
)

HAS: Final = 512 * MIB
FLOOR: Final = 172032
NOW_S: Final = 1000.0
FOLLOW: Final = PolicySettings()
GUARD: Final = PolicySettings(mode="guard")
SELF: Final = PolicySettings(mode="self")
RECORD: Final = BootRecord(523900, 524288, 1048192, 524288, 1048576)


def looked(
    settings: PolicySettings = FOLLOW, now_s: float = NOW_S, history: Any = None, **guest: Any
) -> View:
    """What the rules see of the guest; `history`: what is remembered."""
    remembered = EMPTY._replace(**(history or {}))
    seen = view(understand(a_pv_guest(**guest)), remembered, settings, now_s)
    assert seen is not None
    return seen
