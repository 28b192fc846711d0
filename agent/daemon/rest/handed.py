# SPDX-License-Identifier: GPL-2.0-or-later
"""What the daemon that goes to rest leaves to the one that comes back."""

from __future__ import annotations

from typing import Any, NamedTuple

from agent.daemon.config.effective import Config
from agent.daemon.parts import Started


class Handed(NamedTuple):
    """Descriptors, and what survives of the daemon."""

    started: Started
    config: Config
    xenstore: int
    lock: int | None
    pressure: int | None
    kept: dict[str, Any]
