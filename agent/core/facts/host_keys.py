# SPDX-License-Identifier: GPL-2.0-or-later
"""What a toolstack may say of a domain below memory/ in its xenstore, and what it means.

docs/misc/xenstore-paths.pandoc, and each toolstack's own.  Values in decimal KiB.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from agent.core.facts.numbers import key_kib, key_signed_kib

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
"""By key, the field of `HostMemoryKeys`; of two keys for one field the first counts."""
_SIGNED: Final = frozenset({"videoram", "memory-offset"})


def parser_of(name: str) -> Callable[[bytes], int]:
    """What makes a number of the value of memory/NAME, or raises `MalformedError`."""
    return key_signed_kib if name in _SIGNED else key_kib
