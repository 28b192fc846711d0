# SPDX-License-Identifier: GPL-2.0-or-later
"""How often something may be done: a burst is free, then so many times a second."""

from __future__ import annotations


class TokenBucket:
    """A bucket that fills again; the time is given, so that it can be tested."""

    __slots__ = ("_burst", "_counted_s", "_left", "_per_s")

    def __init__(self, burst: int, per_s: float) -> None:
        self._burst = float(burst)
        self._per_s = per_s
        self._left = float(burst)
        self._counted_s: float | None = None

    def has(self, now_s: float) -> bool:
        elapsed_s = 0.0 if self._counted_s is None else max(0.0, now_s - self._counted_s)
        self._counted_s = now_s
        self._left = min(self._burst, self._left + elapsed_s * self._per_s)
        return self._left >= 1

    def take(self, now_s: float) -> bool:
        if not self.has(now_s):
            return False
        self._left -= 1
        return True
