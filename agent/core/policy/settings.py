# SPDX-License-Identifier: GPL-2.0-or-later
"""What an administrator can tell the policy; the defaults are those of the configuration."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from agent.core.facts.units import MIB_KIB

Mode = Literal["observe", "follow", "guard", "self"]
MODES: Final[tuple[Mode, ...]] = ("observe", "follow", "guard", "self")

HOLDING_MODES: Final[tuple[Mode, ...]] = ("guard", "self")
"""Those that keep the guest above its floor, whatever the host asks for."""

RESTING_MODES: Final[tuple[Mode, ...]] = ("observe", "follow")
"""Those in which a first reaction that comes a tenth of a second later costs nothing.

In the others the guest would sink by what the driver releases meanwhile.
"""


class PolicySettings(NamedTuple):
    """Sizes in KiB, times in seconds.  The keys of the configuration document each of them.

    Attributes:
        floor_kib: never shrink below this; None computes it from what the guest uses now.
        grace_s: how long the kernel is given to take up what the host asks.
        cooldown_s: the least time between two writes to target_kb.
    """

    mode: Mode = "follow"
    floor_kib: int | None = None
    online_blocks: bool = True
    reclaim_released: bool = False
    act_in_dom0: bool = False
    driver_domain: bool = False
    grace_s: float = 2.0
    cooldown_s: float = 1.0
    guard_step_kib: int = 16 * MIB_KIB
    guard_stall_percent: float = 5.0
    self_reserve_percent: float = 25.0
    self_reserve_kib: int = 64 * MIB_KIB
    self_dead_band_kib: int = 32 * MIB_KIB
    self_interval_s: float = 10.0
    self_calm_s: float = 60.0
    self_remember_s: float = 1800.0
