# SPDX-License-Identifier: GPL-2.0-or-later
"""What the policy remembers of earlier looks and decisions, and how a look changes it.

A history is a value like any other: `decide` takes one and gives the next back.  Times are on the
clock that `decide` is given.

Relies on docs/design.md A14.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from agent.core.account.situation import Situation
from agent.core.facts.snapshot import BalloonReading
from agent.core.facts.units import MIB_KIB, PAGE_KIB
from agent.core.policy.asks import LONG_AGO_S, NO_ASKS, Asks
from agent.core.policy.decision import Decision
from agent.core.policy.use import NOTHING_SEEN, Use

RETRY_BLOCKS_S: Final = 60.0
REFUSED_FIRST_S: Final = 0.001
REFUSED_LAST_S: Final = 30.0
UNIT_KIB: Final = 2 * MIB_KIB  # with balloon_hugepages the kernel cuts a target to these


class Nudge(NamedTuple):
    """The target was moved by a page to wake the driver, and has to be moved back."""

    written_kib: int
    restore_kib: int
    due_s: float


class History(NamedTuple):
    """Empty when the daemon starts.

    Attributes:
        host_kib: memory/target as last seen; `host_since_s` when it was last written, be it with
            the same value.
        followed: the kernel has been seen aiming at it since.
        target_kib: the kernel's target as last seen, `target_since_s` since when; `foreign_s` when
            it last became one that the agent had not written.
        current_kib: the guest's memory as last seen, `moved_s` when it last changed.
        offset_kib: memory/target less the kernel's target, once two sources agreed on it.
        wrote_s, wrote_kib: the last write to target_kb; `own_kib` what the agent itself aims at.
        unread_kib: what the kernel aims at of its own, where the host's target cannot be read.
        hold_kib: what to write at once should the kernel aim lower; None: not to be held.
        asks_less: the host wants the guest smaller than it is, or it cannot be told.
        kept_kib: what the guest was last given of the agent's own accord (mode self).
        wakes, rewrites: how often the driver was woken, a target rewritten, without effect.
        refusals: how many writes in a row the kernel refused; none is tried before `retry_s`.
        tried_blocks: blocks that were put online since `tried_since_s`.
        calm_since_s: since when nothing spoke for giving the guest more (mode self).
        gave_s: when memory was last given back of the agent's own accord.
        use: how much memory the guest uses.
        asks: how the host asks for less.
    """

    host_kib: int | None = None
    host_since_s: float = LONG_AGO_S
    followed: bool = False
    target_kib: int | None = None
    target_since_s: float = LONG_AGO_S
    foreign_s: float = LONG_AGO_S
    current_kib: int | None = None
    moved_s: float = LONG_AGO_S
    offset_kib: int | None = None
    wrote_s: float = LONG_AGO_S
    wrote_kib: int | None = None
    own_kib: int | None = None
    unread_kib: int | None = None
    hold_kib: int | None = None
    asks_less: bool = True
    kept_kib: int | None = None
    nudge: Nudge | None = None
    wakes: int = 0
    rewrites: int = 0
    refusals: int = 0
    retry_s: float = LONG_AGO_S
    tried_blocks: frozenset[int] = frozenset()
    tried_since_s: float = LONG_AGO_S
    calm_since_s: float | None = None
    gave_s: float = LONG_AGO_S
    use: Use = NOTHING_SEEN
    asks: Asks = NO_ASKS

    @property
    def unchanged_since_s(self) -> float:
        """When the host's target, the kernel's or the guest's memory changed for the last time."""
        return max(self.host_since_s, self.target_since_s, self.moved_s)

    @property
    def sunk_kib(self) -> int:
        """How far the guest is below the agent's own target."""
        return max(0, (self.own_kib or 0) - (self.current_kib or 0))

    def sinks_below(self, hold_kib: int, target_kib: int) -> bool:
        """Whether a target is below what is to be held, and not only what the kernel cut it to."""
        cut = self.wrote_kib == hold_kib and hold_kib - target_kib < UNIT_KIB
        return target_kib < hold_kib and not cut

    def is_own(self, target_kib: int) -> bool:
        """Whether a target is the agent's own, or what the kernel cut that to."""
        own_kib = self.own_kib
        if own_kib is None or target_kib > own_kib:
            return False
        return not self.sinks_below(own_kib, target_kib)


EMPTY: Final = History()


def wanted_kib(situation: Situation, history: History) -> int | None:
    """The host's target on the kernel's scale, None unless that is certain.

    While memory/target is not a number the last one that was counts.  (The kernel may read garbage
    as 0: its scanf takes the first digits of "0x80000".)
    """
    host, domain = situation.snapshot.host, situation.snapshot.domain
    host_kib = host.target_kib if host.target_text is None else history.host_kib
    if host_kib is None:
        return None
    return on_kernel_scale_kib(domain.whole_pages_kib(host_kib), situation, history)


def on_kernel_scale_kib(kib: int | None, situation: Situation, history: History) -> int | None:
    """A size of the host's on the kernel's scale, None unless that is certain.

    For HVM and PVH the offset between the two is derived from static-max, which toolstacks
    rewrite.  It is trusted with a record of the boot, or after the kernel has settled on it.
    """
    if kib is None or (situation.offset is not None and situation.offset.basis == "same-scale"):
        return kib
    return None if history.offset_kib is None else kib - history.offset_kib


def noticed(history: History, situation: Situation, now_s: float, *, asked: bool) -> History:
    """The history after a look at the situation; `asked`: memory/target has been touched."""
    balloon, host = situation.snapshot.balloon, situation.snapshot.host
    host_kib = host.target_kib
    garbled = host.target_text is not None  # the kernel may read anything
    first = history.target_kib is None  # who knows what was asked a moment ago
    asked = asked or first or (host_kib is not None and host_kib != history.host_kib)
    sunk_kib = history.sunk_kib  # before this ask
    if asked:
        history = history._replace(
            host_kib=history.host_kib if host_kib is None else host_kib,
            host_since_s=now_s,
            followed=False,
            nudge=None,
            wakes=0,
            rewrites=0,
            retry_s=LONG_AGO_S,
        )
    if balloon is None or balloon.current_kib is None or balloon.target_kib is None:
        return history
    if balloon.current_kib != history.current_kib:
        history = history._replace(current_kib=balloon.current_kib, moved_s=now_s, wakes=0)
    history = _with_offset(history, situation, balloon)
    aim_kib = wanted_kib(situation, history)
    changed = balloon.target_kib != history.target_kib
    overruled = changed and history.sinks_below(history.own_kib or 0, balloon.target_kib)
    history = _with_target(history, balloon.target_kib, balloon.current_kib, aim_kib, now_s)
    less = balloon.target_kib if aim_kib is None else aim_kib
    asks_less = aim_kib is None or garbled or less < balloon.current_kib
    history = history._replace(asks_less=asks_less, followed=history.followed and not garbled)
    if (asked or overruled) and less < balloon.current_kib:
        history = history._replace(asks=history.asks.another(now_s, sunk_kib))
    if history.own_kib is not None and less < history.own_kib:
        history = history._replace(asks=history.asks.cost_seen(history.sunk_kib))
    if history.tried_blocks and now_s - history.tried_since_s >= RETRY_BLOCKS_S:
        history = history._replace(tried_blocks=frozenset())
    return history


def _with_target(
    history: History, target_kib: int, current_kib: int, aim_kib: int | None, now_s: float
) -> History:
    """What the kernel aims at, and whose target that is."""
    if target_kib != history.target_kib:
        foreign_s = history.foreign_s if target_kib == history.wrote_kib else now_s
        history = history._replace(target_kib=target_kib, target_since_s=now_s, foreign_s=foreign_s)
        if history.nudge and target_kib != history.nudge.written_kib:
            history = history._replace(nudge=None)  # somebody else has set it: theirs counts
    if aim_kib is None:
        ours = history.is_own(target_kib) or target_kib == history.wrote_kib
        return history if ours else history._replace(unread_kib=target_kib)
    if is_at(target_kib, aim_kib):
        history = history._replace(followed=True)
        if aim_kib >= current_kib:
            history = history._replace(own_kib=None)  # nothing is held back any more
    return history._replace(unread_kib=None)


def _with_offset(history: History, situation: Situation, balloon: BalloonReading) -> History:
    """Learn the offset where it is certain; it never changes during a boot."""
    offset, record = situation.offset, situation.snapshot.boot_record
    if history.offset_kib is not None or offset is None or offset.basis != "static-max":
        return history
    recorded = record is not None and record.static_max_kib is not None
    agreed = balloon.current_kib == balloon.target_kib == situation.host_target_on_kernel_scale_kib
    return history._replace(offset_kib=offset.kib) if recorded or agreed else history


def is_at(target_kib: int | None, aim_kib: int) -> bool:
    """Whether the kernel aims at it; one page off counts, as it does for squeezed."""
    return target_kib is not None and abs(target_kib - aim_kib) <= PAGE_KIB


def remembered(history: History, decision: Decision, now_s: float) -> History:
    """The history after a decision that was carried out."""
    if decision.action == "online-block":
        since_s = history.tried_since_s if history.tried_blocks else now_s
        tried = history.tried_blocks | frozenset(decision.blocks)
        return history._replace(tried_blocks=tried, tried_since_s=since_s)
    target_kib = decision.target_kib
    if target_kib is None:
        return history
    history = history._replace(
        wrote_s=now_s, wrote_kib=target_kib, refusals=0, retry_s=LONG_AGO_S, nudge=None
    )
    if decision.nudge_to_kib is not None:
        due_s = now_s if decision.look_again_s is None else decision.look_again_s
        nudge = Nudge(target_kib, decision.nudge_to_kib, due_s)
        history = history._replace(nudge=nudge, wakes=history.wakes + 1)
    if history.hold_kib is not None:
        history = history._replace(hold_kib=min(history.hold_kib, target_kib))
    if decision.purpose == "wake":
        return history
    if decision.purpose == "reclaim" and history.unread_kib is not None:
        history = history._replace(unread_kib=target_kib)
    of_own_accord = decision.purpose in ("give-back", "take-back")
    return history._replace(
        own_kib=target_kib if of_own_accord or decision.purpose == "guard" else None,
        kept_kib=target_kib if of_own_accord else history.kept_kib,
        gave_s=now_s if decision.purpose == "give-back" else history.gave_s,
        rewrites=history.rewrites + (1 if decision.purpose == "insist" else 0),
    )


def refused(history: History, now_s: float) -> History:
    """The history after a write that the kernel refused: tried again at once, then less often."""
    delay_s = backed_off_s(REFUSED_FIRST_S, REFUSED_LAST_S, history.refusals)
    return history._replace(refusals=history.refusals + 1, retry_s=now_s + delay_s)


def backed_off_s(first_s: float, last_s: float, times: int) -> float:
    """How long to wait after so many more times in vain: each time twice as long."""
    return min(last_s, first_s * 2.0 ** min(times, 60))  # no float holds 2.0 ** 1024: a week of it


def moved(history: History) -> History:
    """On another host, or under another number: what that one wants is not known yet.

    The offset the kernel keeps for as long as it runs, and the guest needs what it needed; when the
    last write was does not change either, as a host that changes the number again and again must
    not hurry the agent.
    """
    return EMPTY._replace(
        offset_kib=history.offset_kib,
        current_kib=history.current_kib,
        wrote_s=history.wrote_s,
        wrote_kib=history.wrote_kib,
        own_kib=history.own_kib,
        hold_kib=history.hold_kib,
        refusals=history.refusals,
        retry_s=history.retry_s,
        use=history.use,
        asks=history.asks,
    )
