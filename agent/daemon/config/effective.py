# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration as the daemon uses it, without what reads and checks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Union

from agent.core.policy.settings import RESTING_MODES, PolicySettings

Value = Union[str, bool, int, float, None]


class ConfigError(Exception):
    """A configuration that cannot be used; the text names the file, the key and the remedy."""


class Config(NamedTuple):
    """The effective configuration.

    `came_from` has the file of every key that is not at its default.
    """

    policy: PolicySettings
    profile: str
    values: Mapping[str, Value]
    came_from: Mapping[str, str]
    files: tuple[str, ...]

    @property
    def quiet_s(self) -> float | None:
        """After how much quiet the daemon goes to rest; None: never."""
        if self.values.get("rest") != "auto" or self.policy.mode not in RESTING_MODES:
            return None
        return float(str(self.values["timing.quiet"]))
