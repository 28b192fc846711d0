# SPDX-License-Identifier: GPL-2.0-or-later
"""What a rule of the policy looks at: one situation, what is remembered, what is allowed.

Relies on docs/design.md A17.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from agent.core.account.headroom import limit_kib, needed_kib
from agent.core.account.shortage import least_available_kib, shortage
from agent.core.account.situation import Situation
from agent.core.facts.snapshot import Snapshot
from agent.core.facts.units import PAGE_KIB
from agent.core.policy.decision import Numbers
from agent.core.policy.history import History, is_at, on_kernel_scale_kib, wanted_kib
from agent.core.policy.settings import PolicySettings
from agent.core.policy.use import Use

_LOOK_SOONEST_S: Final = 0.25
_LOOK_LATEST_S: Final = 30.0


class View(NamedTuple):
    """Sizes in KiB on the kernel's scale; `aim_kib` is the host's target there, if it is certain.

    `floor_kib` is the configured floor, or what the guest needs now, and never above what it has:
    a guest that is below its floor already is not to sink further, that is all.
    `most_kib` is the host's limit, None where there is none or it is unknown.
    """

    situation: Situation
    history: History
    settings: PolicySettings
    now_s: float
    current_kib: int
    target_kib: int
    aim_kib: int | None
    floor_kib: int
    most_kib: int | None

    @property
    def snapshot(self) -> Snapshot:
        return self.situation.snapshot

    @property
    def asked_kib(self) -> int | None:
        """What the host asks for; where that cannot be read, what the kernel made of it."""
        return self.history.unread_kib if self.aim_kib is None else self.aim_kib

    @property
    def at_host_target(self) -> bool:
        """Whether the kernel aims at what the host asked for."""
        return self.aim_kib is not None and is_at(self.target_kib, self.aim_kib)

    @property
    def kernel_has_time(self) -> bool:
        """Whether the kernel may still be about to take up a new target of the host's."""
        return not self.history.followed and self.now_s < self.grace_ends_s

    @property
    def grace_ends_s(self) -> float:
        """When the kernel should have taken up what the host asked."""
        return self.history.host_since_s + self.settings.grace_s

    @property
    def available_kib(self) -> int | None:
        """MemAvailable: swap never counts as room."""
        return self.snapshot.memory.available_kib if self.snapshot.memory else None

    @property
    def short(self) -> bool:
        memory, pressure = self.snapshot.memory, self.snapshot.pressure
        return shortage(memory, pressure, self.settings.guard_stall_percent) != "none"

    def look_s(self) -> float:
        """When to look again at something that moves: soon at first, then less and less often."""
        elapsed_s = self.now_s - self.history.unchanged_since_s
        return self.now_s + min(_LOOK_LATEST_S, max(_LOOK_SOONEST_S, elapsed_s / 2))

    def numbers(self, **more: int | float | str | None) -> Numbers:
        """The figures every decision rests on, and some of its own."""
        figures: dict[str, int | float | str | None] = {
            "current_kib": self.current_kib,
            "target_kib": self.target_kib,
            "host_target_kib": self.snapshot.host.target_kib,
            **more,
        }
        return {name: value for name, value in figures.items() if value is not None}


def view(
    situation: Situation, history: History, settings: PolicySettings, now_s: float
) -> View | None:
    """What the rules look at; None without a balloon driver."""
    balloon = situation.snapshot.balloon
    if balloon is None or balloon.current_kib is None or balloon.target_kib is None:
        return None
    return View(
        situation,
        history,
        settings,
        now_s,
        balloon.current_kib,
        balloon.target_kib,
        wanted_kib(situation, history),
        floor_kib(situation, settings, balloon.current_kib, history.use),
        on_kernel_scale_kib(limit_kib(situation.snapshot), situation, history),
    )


def floor_kib(situation: Situation, settings: PolicySettings, current_kib: int, use: Use) -> int:
    """Whole pages; without memory figures and configuration, the guest may not sink at all.

    A configured floor is not followed to where the guest would be short.  What the guest used a
    moment ago counts as used now; mode self provides for that in its own way.
    """
    floor, memory = settings.floor_kib, situation.snapshot.memory
    if memory is not None and settings.mode != "self":
        available_kib = max(0, memory.available_kib - use.below_peak_kib)
        memory = memory._replace(available_kib=available_kib)
    if memory is not None and floor is None:
        floor = needed_kib(current_kib, memory)
    elif memory is not None and floor is not None:
        floor = max(floor, current_kib - max(0, memory.available_kib - least_available_kib(memory)))
    if floor is None:
        return current_kib
    return min(current_kib, -(-floor // PAGE_KIB) * PAGE_KIB)
