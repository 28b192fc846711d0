# SPDX-License-Identifier: GPL-2.0-or-later
"""Agents under test: what looks at a domain now and then, and perhaps acts.

`NoAgent` shows what a guest does when left alone.  `ReferenceAgent` is small, without
configuration, and good enough to pass every scenario; it is no substitute for the daemon.  The
daemon's own policy is there in each of its modes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from agent.core.facts.snapshot import BalloonReading, Snapshot
from agent.core.facts.units import PAGE_KIB
from agent.core.policy.settings import Mode, PolicySettings
from agent.sources.domain import ActRefusedError, Domain
from sim_backend.stories.policy_agent import PolicyAgent


class Agent(Protocol):
    """Something that is asked to look at its domain from time to time."""

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    def tick(self, domain: Domain) -> float:
        """Look, perhaps act; the longest time in seconds until the next look.

        It is called earlier when the host writes below memory/, and when programs lost 200 ms
        within 2 s for want of memory (a pressure trigger, Linux 5.2 and later).  It must not wait.
        """
        ...


class NoAgent:
    """Does nothing."""

    name = "none"

    def tick(self, domain: Domain) -> float:  # noqa: ARG002 - the interface
        """Nothing."""
        return 3600.0


MARGIN_KIB: Final = 48 * 1024
DEAD_BAND_KIB: Final = 8 * 1024
STEP_KIB: Final = 64 * 1024
COOLDOWN_S: Final = 5.0
WAKE_AFTER_S: Final = 20.0
HIGH_PRESSURE: Final = 20.0
TICK_S: Final = 1.0


class ReferenceAgent:
    """Keeps the guest above what it uses, wakes a driver that gave up, onlines what was added."""

    name = "reference"

    def __init__(self) -> None:
        self._offset_kib: int | None = None
        self._host_target_kib: int | None = None
        self._host_changed_s = float("-inf")
        self._written_s = float("-inf")
        self._off_target_since_s: float | None = None
        self._nudged_from_kib: int | None = None
        self._asked_kib: int | None = None
        self._futile_kib: int | None = None

    def tick(self, domain: Domain) -> float:
        """One round: read, then at most one write."""
        snapshot = domain.snapshot()
        balloon = snapshot.balloon
        if balloon is None or balloon.current_kib is None or snapshot.memory is None:
            return 10.0
        try:
            self._act(domain, snapshot, balloon)
        except ActRefusedError:
            return 10.0
        return TICK_S

    def _act(self, domain: Domain, snapshot: Snapshot, balloon: BalloonReading) -> None:
        self._learn(snapshot, balloon, domain.now_s())
        blocks = snapshot.blocks
        current_kib, target_kib = balloon.current_kib or 0, balloon.target_kib or 0
        if blocks and blocks.offline and target_kib > current_kib and not balloon.ballooned_kib:
            for block in blocks.offline:
                domain.online_block(block)
            return
        floor_kib = self._floor_kib(snapshot, balloon)
        wanted_kib = max(self._host_target_kib or target_kib, floor_kib)
        now_s = domain.now_s()
        if self._nudged_from_kib is not None:
            wanted_kib, self._nudged_from_kib = self._nudged_from_kib, None
            self._write(domain, wanted_kib)
            return
        if self._asked_kib is not None:
            snapped_back = target_kib != self._asked_kib
            self._futile_kib = self._asked_kib if snapped_back else None
            self._asked_kib = None
        far = abs(wanted_kib - target_kib) > DEAD_BAND_KIB and wanted_kib != self._futile_kib
        # The kernel is on its way below the floor.  Once it has been there, the hypervisor's
        # limit may have followed, and nothing comes back: there is no time to lose.
        urgent = floor_kib > target_kib and target_kib < current_kib
        waited = now_s - max(self._written_s, self._host_changed_s) >= COOLDOWN_S
        if self._host_target_kib is not None and far and (urgent or waited):
            self._write(domain, wanted_kib)
            return
        self._wake(domain, balloon, now_s)

    def _learn(self, snapshot: Snapshot, balloon: BalloonReading, now_s: float) -> None:
        """The host's target as the kernel understands it; garbage leaves the last good one."""
        host = snapshot.host
        if self._offset_kib is None:
            self._offset_kib = 0
            beneath_pv = snapshot.domain.domain_type in ("hvm", "pvh")
            if beneath_pv and host.static_max_kib is not None:
                held_kib = (balloon.current_kib or 0) + (balloon.ballooned_kib or 0)
                self._offset_kib = host.static_max_kib - held_kib
        if host.target_kib is not None:
            target_kib = host.target_kib - self._offset_kib
            if target_kib != self._host_target_kib:
                self._host_target_kib, self._host_changed_s = target_kib, now_s

    def _floor_kib(self, snapshot: Snapshot, balloon: BalloonReading) -> int:
        """What the guest needs now, as a value of current_kb; never more than it could have."""
        memory = snapshot.memory
        assert memory is not None
        current_kib = balloon.current_kib or 0
        swapped_kib = memory.swap_total_kib - memory.swap_free_kib
        used_kib = memory.total_kib - memory.available_kib + swapped_kib
        floor_kib = used_kib + MARGIN_KIB + current_kib - memory.total_kib
        if snapshot.pressure is not None and snapshot.pressure.some_avg10 > HIGH_PRESSURE:
            floor_kib = max(floor_kib, current_kib + STEP_KIB)
        ceiling_kib = current_kib + (balloon.ballooned_kib or 0)
        return min(floor_kib, ceiling_kib) // PAGE_KIB * PAGE_KIB

    def _wake(self, domain: Domain, balloon: BalloonReading, now_s: float) -> None:
        """A driver that gave up sleeps until its credit changes: aim a page aside, then back."""
        current_kib, target_kib = balloon.current_kib or 0, balloon.target_kib or 0
        gave_up = balloon.retry_count == 1 and balloon.motion == "still"
        if current_kib == target_kib or not gave_up or balloon.max_retry_count == 0:
            self._off_target_since_s = None
            return
        if self._off_target_since_s is None:
            self._off_target_since_s = now_s
        elif now_s - self._off_target_since_s >= WAKE_AFTER_S:
            self._off_target_since_s = None
            self._nudged_from_kib = target_kib
            self._write(domain, target_kib + (PAGE_KIB if current_kib > target_kib else -PAGE_KIB))

    def _write(self, domain: Domain, target_kib: int) -> None:
        self._written_s = domain.now_s()
        self._asked_kib = target_kib
        domain.set_target_kib(target_kib)


def _policy(mode: Mode) -> Callable[[], Agent]:
    return lambda: PolicyAgent(PolicySettings(mode=mode, act_in_dom0=True))


AGENTS: Final[dict[str, Callable[[], Agent]]] = {
    "none": NoAgent,
    "reference": ReferenceAgent,
    "observe": _policy("observe"),
    "follow": _policy("follow"),
    "guard": _policy("guard"),
    "self": _policy("self"),
}
