# SPDX-License-Identifier: GPL-2.0-or-later
"""What the policy remembers of earlier looks and decisions, and how a look changes it.

The memory is a value like any other: `decide` takes one and gives the next back.  Times are on
the clock that `decide` is given.

Relies on docs/design.md A14.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from agent.core.account.situation import Situation
from agent.core.facts.units import PAGE_KIB
from agent.core.policy.decision import Decision
from agent.core.policy.memory_use import NOTHING_SEEN, Use

LONG_AGO_S: Final = float("-inf")
RETRY_BLOCKS_S: Final = 60.0


class Nudge(NamedTuple):
    """The target was moved by a page to wake the driver, and has to be moved back."""

    written_kib: int
    restore_kib: int
    due_s: float


class PolicyMemory(NamedTuple):
    """Empty when the daemon starts, and again after the domain was moved to another host.

    Attributes:
        host_kib: memory/target as last seen; `host_since_s` when it became that.
        followed: the kernel has been seen aiming at it.
        target_kib: the kernel's target as last seen, `target_since_s` since when.
        current_kib: the guest's memory as last seen, `moved_s` when it last changed.
        offset_kib: memory/target less the kernel's target, once two sources agreed on it.
        wrote_s: the last write to target_kb; `own_kib` what the agent itself aims at.
        kept_kib: what the guest was last given of the agent's own accord (mode self).
        wakes, rewrites: how often the driver was woken, a target rewritten, without effect.
        tried_blocks: blocks that were put online since `tried_since_s`.
        calm_since_s: since when nothing spoke for giving the guest more (mode self).
        gave_s: when memory was last given back of the agent's own accord.
        use: how much memory the guest uses (mode self).
    """

    host_kib: int | None = None
    host_since_s: float = LONG_AGO_S
    followed: bool = False
    target_kib: int | None = None
    target_since_s: float = LONG_AGO_S
    current_kib: int | None = None
    moved_s: float = LONG_AGO_S
    offset_kib: int | None = None
    wrote_s: float = LONG_AGO_S
    own_kib: int | None = None
    kept_kib: int | None = None
    nudge: Nudge | None = None
    wakes: int = 0
    rewrites: int = 0
    tried_blocks: tuple[int, ...] = ()
    tried_since_s: float = LONG_AGO_S
    calm_since_s: float | None = None
    gave_s: float = LONG_AGO_S
    use: Use = NOTHING_SEEN

    @property
    def unchanged_since_s(self) -> float:
        """When the host's target, the kernel's or the guest's memory changed for the last time."""
        return max(self.host_since_s, self.target_since_s, self.moved_s)


EMPTY: Final = PolicyMemory()


def wanted_kib(situation: Situation, memory: PolicyMemory) -> int | None:
    """The host's target on the kernel's scale, None unless that is certain.

    While memory/target is no number the last one that was counts.  (The kernel may read garbage
    as 0: its scanf takes the first digits of "0x80000".)
    For HVM and PVH the offset between the two is derived from static-max, which toolstacks
    rewrite.  It is trusted with a record of the boot, or after the kernel has settled on it.
    """
    host, offset = situation.snapshot.host, situation.offset
    host_kib = host.target_kib
    if host_kib is None and host.target_text is not None:
        host_kib = memory.host_kib
    if host_kib is None:
        return None
    if offset is not None and offset.basis == "same-scale":
        return host_kib // PAGE_KIB * PAGE_KIB
    if memory.offset_kib is None:
        return None
    return host_kib // PAGE_KIB * PAGE_KIB - memory.offset_kib


def noticed(memory: PolicyMemory, situation: Situation, now_s: float) -> PolicyMemory:
    """The memory after a look at the situation."""
    balloon = situation.snapshot.balloon
    host_kib = situation.snapshot.host.target_kib
    if host_kib is not None and host_kib != memory.host_kib:
        memory = memory._replace(
            host_kib=host_kib,
            host_since_s=now_s,
            followed=False,
            own_kib=None,
            nudge=None,
            wakes=0,
            rewrites=0,
        )
    if balloon is None:
        return memory
    if balloon.current_kib != memory.current_kib:
        memory = memory._replace(current_kib=balloon.current_kib, moved_s=now_s, wakes=0)
    if balloon.target_kib != memory.target_kib:
        memory = memory._replace(target_kib=balloon.target_kib, target_since_s=now_s)
        if memory.nudge and balloon.target_kib != memory.nudge.written_kib:
            memory = memory._replace(nudge=None)  # somebody else has set it: theirs counts
    memory = _with_offset(memory, situation)
    aim_kib = wanted_kib(situation, memory)
    if aim_kib is not None and is_at(balloon.target_kib, aim_kib):
        memory = memory._replace(followed=True)
    if memory.tried_blocks and now_s - memory.tried_since_s >= RETRY_BLOCKS_S:
        memory = memory._replace(tried_blocks=())
    return memory


def _with_offset(memory: PolicyMemory, situation: Situation) -> PolicyMemory:
    """Learn the offset where it is certain; it never changes during a boot."""
    snapshot, offset = situation.snapshot, situation.offset
    balloon, host_kib = snapshot.balloon, snapshot.host.target_kib
    if memory.offset_kib is not None or offset is None or balloon is None:
        return memory
    recorded = snapshot.boot_record is not None and snapshot.boot_record.static_max_kib is not None
    settled = host_kib is not None and balloon.current_kib == balloon.target_kib
    agreed = settled and host_kib - (balloon.target_kib or 0) == offset.kib  # type: ignore[operator]
    if offset.basis == "static-max" and (recorded or agreed):
        return memory._replace(offset_kib=offset.kib)
    return memory


def is_at(target_kib: int | None, aim_kib: int) -> bool:
    """Whether the kernel aims at it; one page off counts, as it does for squeezed."""
    return target_kib is not None and abs(target_kib - aim_kib) <= PAGE_KIB


def remembered(
    memory: PolicyMemory, decision: Decision, situation: Situation, now_s: float, nudge_s: float
) -> PolicyMemory:
    """The memory after a decision, taken as carried out."""
    if decision.action == "online-block" and decision.block is not None:
        since_s = memory.tried_since_s if memory.tried_blocks else now_s
        return memory._replace(
            tried_blocks=(*memory.tried_blocks, decision.block), tried_since_s=since_s
        )
    if decision.action != "write-target" or decision.target_kib is None:
        return memory
    memory = memory._replace(wrote_s=now_s)
    if decision.nudge_to_kib is not None:
        due_s = now_s + nudge_s
        nudge = Nudge(decision.target_kib, decision.nudge_to_kib, due_s)
        return memory._replace(nudge=nudge, wakes=memory.wakes + 1)
    aim_kib = wanted_kib(situation, memory)
    to_host = aim_kib is not None and is_at(decision.target_kib, aim_kib)
    of_own_accord = decision.reason.startswith("self-")
    return memory._replace(
        nudge=None,
        own_kib=None if to_host else decision.target_kib,
        kept_kib=decision.target_kib if of_own_accord else memory.kept_kib,
        gave_s=now_s if decision.reason == "self-give-back" else memory.gave_s,
        rewrites=memory.rewrites + (1 if decision.reason == "target-ignored" else 0),
    )
