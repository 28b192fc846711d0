# SPDX-License-Identifier: GPL-2.0-or-later
"""What a toolstack may say of a domain below memory/ in its xenstore, and what it means.

docs/misc/xenstore-paths.pandoc, and each toolstack's own.  Values in decimal KiB.
"""

from __future__ import annotations

from typing import Final

from agent.core.facts.untrusted import Untrusted, parse_kib, parse_signed_kib

NUMBERS: Final = {
    "target": "target_kib",
    "static-max": "static_max_kib",
    "videoram": "videoram_kib",
    "dynamic-min": "dynamic_min_kib",
    "dynamic-max": "dynamic_max_kib",
    "initial-target": "initial_target_kib",
    "hotplug-max": "hotplug_max_kib",
    "memory-offset": "memory_offset_kib",
    "memory_static_max": "static_max_kib",  # xend's name for it
}
"""By key, the field of `HostWishes`; of two keys for one field the first counts."""
_SIGNED: Final = frozenset({"videoram", "memory-offset"})


def judged(name: str, raw: bytes) -> Untrusted:
    """The number that memory/NAME holds, or why it is none."""
    return (parse_signed_kib if name in _SIGNED else parse_kib)(raw)
