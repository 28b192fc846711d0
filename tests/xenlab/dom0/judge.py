# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares what the agent says with what the kernel, xenstore and the hypervisor say.

Pure: from three views of one domain at one moment to a list of complaints.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

LISTED_TOLERANCE_KIB: Final = 1024
"""`xl list` shows whole MiB, of the domain's pages rather than of what its kernel counts."""


class View(NamedTuple):
    """One domain at one moment."""

    domain_type: str
    status: Mapping[str, Any]
    """The agent's `status --json`."""
    truth: Mapping[str, Any]
    """guest/truth.py."""
    listed_mib: int
    xenstore_target: str | None
    """`memory/target` as dom0 reads it."""
    xenstore_static_max: str | None
    beside_kib: int
    """What `xl list` counts beside what the kernel does."""
    xenstore_readable: bool
    """Whether the agent may open xenstore, as root may and an ordinary user may not."""


def complaints(view: View) -> list[str]:
    """Return a sentence for everything that does not agree."""
    status, truth = view.status, view.truth
    found = [
        *_equal("domain.type", view.domain_type, status),
        *_equal("domain.kernel", truth["kernel"], status),
        *_equal("e820.ram_kib", truth["ram_kib"], status),
        *_equal("balloon.current_kib", truth["current_kib"], status),
        *_equal("balloon.target_kib", truth["target_kib"], status),
        *_equal("balloon.ballooned_kib", truth["ballooned_kib"], status),
        *_equal("memory.total_kib", truth["mem_total_kib"], status),
        *_equal("host.target_kib", _wish(view, view.xenstore_target), status),
        *_equal("host.static_max_kib", _wish(view, view.xenstore_static_max), status),
        *_equal("reconciliation.unexplained_kib", 0, status),
        *_equal("source.kind", "live", status),
    ]
    off_kib = abs(view.listed_mib * 1024 - view.beside_kib - truth["current_kib"])
    if off_kib > LISTED_TOLERANCE_KIB:
        found.append(f"xl list says {view.listed_mib} MiB, which is {off_kib} KiB off current")
    terms = look_up(status, "reconciliation.terms") or []
    if sum(term["kib"] for term in terms) != look_up(status, "reconciliation.unexplained_kib"):
        found.append(f"the terms do not add up to unexplained_kib: {terms}")
    return found


def look_up(status: Mapping[str, Any], path: str) -> Any:
    """Return the value at a dotted path, None if there is none."""
    value: Any = status
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def _equal(path: str, expected: object, status: Mapping[str, Any]) -> list[str]:
    actual = look_up(status, path)
    if actual == expected and type(actual) is type(expected):
        return []
    return [f"the agent says {path} = {actual!r}, from outside it is {expected!r}"]


def _wish(view: View, value: str | None) -> int | None:
    if value is None or not view.xenstore_readable or not value.isdigit():
        return None
    return int(value)
