# SPDX-License-Identifier: GPL-2.0-or-later
"""The same snapshot without any one of what was read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from agent.core.facts.snapshot import Snapshot

_PARTS: Final = ("domain", "balloon", "host", "blocks", "boot_log", "boot_record")


def without_one(whole: Any) -> Iterator[Any]:
    """A named tuple without each field that may be None, one after the other."""
    hints = type(whole).__annotations__
    for name in whole._fields:
        if "None" in str(hints[name]) and getattr(whole, name) is not None:
            yield whole._replace(**{name: None})


def snapshots_without_one(snapshot: Snapshot) -> Iterator[Snapshot]:
    """As `without_one`, of the snapshot and of its parts."""
    yield from without_one(snapshot)
    for name in _PARTS:
        part = getattr(snapshot, name)
        for lacking in without_one(part) if part is not None else ():
            yield snapshot._replace(**{name: lacking})
