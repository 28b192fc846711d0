# SPDX-License-Identifier: GPL-2.0-or-later
"""The waterfall as JSON: levels, each with the steps that lead to it."""

from __future__ import annotations

from typing import Any

from agent.core.account.waterfall import Waterfall


def waterfall_object(fall: Waterfall) -> dict[str, Any]:
    """Sizes in KiB, steps with their sign; a level is the one before plus its steps."""
    return {
        "levels": [
            {
                "name": level.name,
                "kib": level.kib,
                "steps": [step._asdict() for step in level.steps],
            }
            for level in fall.levels
        ],
        "available_free_kib": fall.free_kib,
        "available_cache_kib": fall.cache_kib,
    }
