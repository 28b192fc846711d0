# SPDX-License-Identifier: GPL-2.0-or-later
"""How the host asks for memory, and what its asking has cost.

The kernel takes each target of the host's at once, and shrinks until the agent's own is there: a
batch or two of the driver (512 pages, drivers/xen/balloon.c) that a guest held at its floor loses
with every ask.  It cannot always be had back, as `xl mem-set` and squeezed lower what Xen lets the
domain have (libxl_mem.c, libxl_set_memory_target).  So a host that asks fast is held early: by what
its asks will cost if it goes on.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from agent.core.facts.units import MIB_KIB

LONG_AGO_S: Final = float("-inf")
NEVER_S: Final = float("inf")
GOES_ON_S: Final = 300.0
_A_WHILE_S: Final = 60.0
_ONE_ASK_S: Final = 0.06  # several keys of one request, or the same value heard and seen
_TIMES_MORE: Final = 3
_MOST_MORE: Final = 60
_COST_AT_FIRST_KIB: Final = 4 * MIB_KIB  # two batches


class Asks(NamedTuple):
    """Of asks for less than the guest has.

    Attributes:
        at_s: when the last one came, `gap_s` after the one before, as short as lately.
        many: how many came without five minutes of quiet between two of them.
        cost_kib: what one takes from a guest that is held.
        sunk_kib: how far the guest was below the agent's target when the last one came.
    """

    at_s: float = LONG_AGO_S
    gap_s: float = NEVER_S
    many: int = 0
    cost_kib: int = _COST_AT_FIRST_KIB
    sunk_kib: int = 0

    def another(self, now_s: float, sunk_kib: int) -> Asks:
        gap_s = now_s - self.at_s
        if 0 <= gap_s < _ONE_ASK_S:
            return self
        if not 0 <= gap_s < GOES_ON_S:
            return Asks(now_s, many=1, cost_kib=self.cost_kib, sunk_kib=sunk_kib)
        if self.gap_s < gap_s:
            gap_s = (3 * self.gap_s + gap_s) / 4
        return self._replace(at_s=now_s, gap_s=gap_s, many=self.many + 1, sunk_kib=sunk_kib)

    def cost_seen(self, sunk_kib: int) -> Asks:
        """The guest is that far below the agent's target now."""
        lost_kib = sunk_kib - self.sunk_kib
        return self._replace(cost_kib=lost_kib) if lost_kib > self.cost_kib else self

    def air_kib(self, now_s: float) -> int:
        """What the host's asks will take if it goes on for five minutes.

        One that asked a moment ago, for the first time, may ask every moment, but not for long.
        One that has just asked often is as likely to ask thrice as often again.
        """
        since_s = max(_ONE_ASK_S, now_s - self.at_s)
        again = self.gap_s < NEVER_S
        gap_s = max(self.gap_s, since_s) if again else since_s
        lasts_s = GOES_ON_S if again else _A_WHILE_S
        more = lasts_s / gap_s if gap_s < lasts_s else 0.0
        if since_s < _A_WHILE_S:
            fades = 1 - since_s / _A_WHILE_S
            more = max(more, fades * min(_TIMES_MORE * self.many, _MOST_MORE))
        return int(self.cost_kib * more)


NO_ASKS: Final = Asks()
