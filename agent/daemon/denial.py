# SPDX-License-Identifier: GPL-2.0-or-later
"""What the daemon does about a write that it was not permitted.

It goes on in mode observe, and tries again after ten minutes, after a reload and after a resume:
what denied it (a read-only mount, a security module, a missing capability) may have been put right
meanwhile, and nobody tells.  That it is denied is said once, and so is that it no longer is.
"""

from __future__ import annotations

from typing import Final

from agent.core.policy.settings import PolicySettings

RETRY_S: Final = 600.0


class Denial:
    """`banner` says what is denied, for as long as the daemon only observes because of it."""

    SURVIVES_REST: Final = ("banner", "_until_s", "_told")

    def __init__(self) -> None:
        self.banner: str | None = None
        self._until_s = float("-inf")
        self._told = False

    def in_force(self, settings: PolicySettings, now_s: float) -> PolicySettings:
        """The settings as they are, or reduced to mode observe."""
        if now_s >= self._until_s:
            self.banner = None
        return settings if self.banner is None else settings._replace(mode="observe")

    def met(self, error: Exception, now_s: float) -> bool:
        """A write was denied; whether that is news."""
        self.banner = f"Nothing can be changed, mode observe is in force: {error}"
        self._until_s = now_s + RETRY_S
        news, self._told = not self._told, True
        return news

    def over(self) -> bool:
        """A write was permitted; whether that is news."""
        news, self._told = self._told, False
        return news

    def lift(self) -> None:
        """Try again at the next occasion."""
        self.banner, self._until_s = None, float("-inf")
