# SPDX-License-Identifier: GPL-2.0-or-later
"""What is remembered of the guest's use of memory: how fast it grows, its peak.

A guest that needed much a while ago will need it again, and faster than anybody can react; so the
most that was in use within the last span, or the one before it, stays provided for.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from agent.core.account.situation import Situation

REMEMBERS_S: Final = 15.0
"""A program that takes more for each request is not to be squeezed between two of them."""
_LEAST_SPAN_S: Final = 0.1


class Use(NamedTuple):
    """Of the last look, and of the recent past.

    Attributes:
        seen_s: when that look was; None before the first one.
        in_use_kib: what was in use then.
        stalled_us: what programs had lost by then for want of memory, since the boot.
        grew_kib_s: by how much that grew in a second, since the look before; 0 when it shrank.
        lost_us: what was lost since the look before.
        peak_kib: the most in use since `peak_since_s`; `peak_before_kib`: in the span before.
    """

    seen_s: float | None = None
    in_use_kib: int = 0
    stalled_us: int = 0
    grew_kib_s: float = 0.0
    lost_us: int = 0
    peak_kib: int = 0
    peak_since_s: float = 0.0
    peak_before_kib: int = 0

    @property
    def recent_peak_kib(self) -> int:
        """The most that was in use within the last one to two spans."""
        return max(self.peak_kib, self.peak_before_kib)

    @property
    def is_new(self) -> bool:
        """Whether the guest has been watched for less than a span: its peaks are not known yet."""
        return self.seen_s is not None and not self.peak_before_kib

    @property
    def below_peak_kib(self) -> int:
        """By how much less was in use at the last look than at the recent peak."""
        return max(0, self.recent_peak_kib - self.in_use_kib)


NOTHING_SEEN: Final = Use()


def seen_use(use: Use, situation: Situation, now_s: float, span_s: float) -> Use:
    """What is remembered after a look; `span_s` is how long a peak counts at least."""
    memory, balloon = situation.snapshot.memory, situation.snapshot.balloon
    if memory is None or balloon is None or balloon.current_kib is None:
        return use
    in_use_kib = max(0, balloon.current_kib - memory.available_kib)
    pressure = situation.snapshot.pressure
    stalled_us = pressure.some_total_us if pressure is not None else 0
    if use.seen_s is None or now_s < use.seen_s:
        return Use(now_s, in_use_kib, stalled_us, peak_kib=in_use_kib, peak_since_s=now_s)
    elapsed_s = now_s - use.seen_s
    if elapsed_s >= _LEAST_SPAN_S:
        use = use._replace(
            seen_s=now_s,
            in_use_kib=in_use_kib,
            stalled_us=stalled_us,
            grew_kib_s=max(0.0, (in_use_kib - use.in_use_kib) / elapsed_s),
            lost_us=max(0, stalled_us - use.stalled_us),
        )
    if now_s - use.peak_since_s >= span_s:
        before_kib = use.peak_kib if now_s - use.peak_since_s < 2 * span_s else 0
        return use._replace(peak_before_kib=before_kib, peak_kib=in_use_kib, peak_since_s=now_s)
    return use._replace(peak_kib=max(use.peak_kib, in_use_kib))
