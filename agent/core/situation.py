# SPDX-License-Identifier: GPL-2.0-or-later
"""A snapshot and everything that follows from it: what rules and reports work with."""

from typing import NamedTuple

from agent.core.balloon_state import State, balloon_state
from agent.core.boot_facts import BootFacts, boot_facts
from agent.core.headroom import Headroom, headroom
from agent.core.overhead import Overhead, overhead
from agent.core.reconcile import Reconciliation, reconcile
from agent.core.snapshot import Snapshot
from agent.core.target_offset import TargetOffset, target_offset


class Situation(NamedTuple):
    """One moment, understood; None where it could not be."""

    snapshot: Snapshot
    boot: BootFacts
    offset: TargetOffset | None
    state: State
    reconciliation: Reconciliation
    headroom: Headroom
    overhead: Overhead | None

    @property
    def host_target_on_kernel_scale_kib(self) -> int | None:
        """What target_kb should be if the kernel follows the host: whole pages, less the offset."""
        host_kib = self.snapshot.host.target_kib
        if host_kib is None or self.offset is None:
            return None
        return host_kib // 4 * 4 - self.offset.kib


def understand(snapshot: Snapshot) -> Situation:
    """All derived values of one snapshot; never raises."""
    boot = boot_facts(snapshot)
    offset = target_offset(snapshot, boot)
    return Situation(
        snapshot=snapshot,
        boot=boot,
        offset=offset,
        state=balloon_state(snapshot, offset),
        reconciliation=reconcile(snapshot, boot),
        headroom=headroom(snapshot, offset),
        overhead=overhead(snapshot, boot),
    )
