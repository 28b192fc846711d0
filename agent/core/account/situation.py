# SPDX-License-Identifier: GPL-2.0-or-later
"""A snapshot and everything that follows from it: what rules and reports work with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from agent.core.account.balloon_state import Refusal, State, balloon_state, refused_by
from agent.core.account.boot_facts import BootFacts, boot_facts, hole_kib
from agent.core.account.driver import Driver, driver_of
from agent.core.account.headroom import Headroom, headroom
from agent.core.account.target_offset import TargetOffset, target_offset
from agent.core.facts.snapshot import Snapshot
from agent.core.facts.units import PAGE_KIB

if TYPE_CHECKING:
    from agent.core.account.overhead import Overhead
    from agent.core.account.reconcile import Reconciliation

_Kept = TypeVar("_Kept")


class _Needed(NamedTuple):
    """What every decision needs; None where it could not be understood."""

    snapshot: Snapshot
    boot: BootFacts
    offset: TargetOffset | None
    state: State
    headroom: Headroom


class Situation(_Needed):
    """One moment, understood.  What only reports need is worked out when one asks for it first."""

    @property
    def reconciliation(self) -> Reconciliation:
        from agent.core.account.reconcile import reconcile  # noqa: PLC0415 - not for a decision

        return self._once("reconciliation", lambda: reconcile(self.snapshot, self.boot))

    @property
    def overhead(self) -> Overhead | None:
        from agent.core.account.overhead import overhead  # noqa: PLC0415 - not for a decision

        return self._once("overhead", lambda: overhead(self.snapshot, self.boot))

    @property
    def in_crash_kernel(self) -> bool:
        return any(option.startswith("elfcorehdr=") for option in self.snapshot.kernel_options)

    @property
    def hole_kib(self) -> int:
        """What an old driver counts as memory and is a hole of the map."""
        return hole_kib(self.snapshot)

    @property
    def populated_kib(self) -> int | None:
        """What the guest really has: current_kb but for holes that old drivers count."""
        balloon = self.snapshot.balloon
        if balloon is None or balloon.current_kib is None:
            return None
        if not self.hole_kib:
            return balloon.current_kib
        return balloon.current_kib - self.hole_kib - PAGE_KIB  # and page 0, which Linux never uses

    @property
    def driver(self) -> Driver | None:
        return driver_of(self.snapshot.balloon)

    @property
    def refused_by(self) -> Refusal | None:
        return refused_by(self.snapshot, self.state)

    @property
    def offset_kib(self) -> int:
        """What the kernel aims at less than its host; 0 where that is not known."""
        return self.offset.kib if self.offset else 0

    @property
    def host_target_on_kernel_scale_kib(self) -> int | None:
        """What target_kb should be if the kernel follows the host: whole pages, less the offset."""
        host_kib = self.snapshot.host.target_kib
        if host_kib is None or self.offset is None:
            return None
        return self.snapshot.domain.whole_pages_kib(host_kib) - self.offset.kib

    @property
    def is_where_the_host_wants_it(self) -> bool:
        """Whether the balloon is at its target, and that is the host's; a page off counts.

        A crash kernel has no memory/target (xenopsd takes it away before the soft reset), and one
        that a target of the agent's own or of somebody's by hand is in force for is not where it
        belongs.
        """
        wanted_kib, balloon = self.host_target_on_kernel_scale_kib, self.snapshot.balloon
        if self.state != "settled" or wanted_kib is None or balloon is None:
            return False
        page_kib = self.snapshot.domain.page_kib
        return balloon.target_kib is not None and abs(balloon.target_kib - wanted_kib) <= page_kib

    def _once(self, name: str, work: Callable[[], _Kept]) -> _Kept:
        """As functools.cached_property, which would load much for two attributes."""
        kept = vars(self)
        if name not in kept:
            kept[name] = work()
        found: _Kept = kept[name]
        return found


def understand(snapshot: Snapshot) -> Situation:
    """One snapshot, understood; never raises."""
    boot = boot_facts(snapshot)
    offset = target_offset(snapshot, boot)
    return Situation(
        snapshot=snapshot,
        boot=boot,
        offset=offset,
        state=balloon_state(snapshot, offset),
        headroom=headroom(snapshot, offset),
    )
