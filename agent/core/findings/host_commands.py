# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands for the host, in the words of the toolstack that runs there.

They are meant to be pasted, so nothing goes into them that has not been looked at: a domain's name
may hold anything.
"""

from __future__ import annotations

import re
from typing import Final

from agent.core.account.situation import Situation
from agent.core.facts.snapshot import Snapshot
from agent.core.facts.units import MIB_KIB

_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


def host_name_of(snapshot: Snapshot) -> str:
    """What xl calls this domain: its number, or a word to replace."""
    domid = snapshot.domain.domid
    return "DOMAIN" if domid is None else str(domid)


def set_populated(situation: Situation, kib: int) -> str:
    """The command after which the kernel aims at `kib`: less than the host counts, on HVM."""
    offset_kib = situation.offset.kib if situation.offset else 0
    videoram_kib = max(0, situation.snapshot.host.videoram_kib or 0)
    return set_memory(situation.snapshot, kib + offset_kib + videoram_kib)


def set_memory(snapshot: Snapshot, kib: int) -> str:
    """The command that gives this domain so much memory as the host counts it."""
    if snapshot.domain.toolstack == "xapi":
        return set_range(snapshot, kib, kib)
    if snapshot.domain.toolstack == "qubes":
        name = snapshot.domain.name or ""
        mib = -(-kib // MIB_KIB)
        return f"qvm-prefs {name if _PLAIN_NAME.fullmatch(name) else 'QUBE'} maxmem {mib}"
    return f"xl mem-set {host_name_of(snapshot)} {kib}k"


def set_range(snapshot: Snapshot, low_kib: int, high_kib: int) -> str:
    """The command that lets the host move this domain between two sizes as it counts them."""
    if snapshot.domain.toolstack != "xapi":
        return set_memory(snapshot, high_kib)
    low_mib, high_mib = (-(-kib // MIB_KIB) for kib in (low_kib, high_kib))
    uuid = snapshot.domain.uuid or "UUID"
    return f"xe vm-memory-dynamic-range-set uuid={uuid} min={low_mib}MiB max={high_mib}MiB"


def stop_balancing(snapshot: Snapshot, kib: int) -> str:
    """The command after which the host leaves this domain's memory where it is."""
    if snapshot.domain.toolstack == "qubes":  # maxmem 0 is Qubes' word for "not balanced".
        return set_memory(snapshot, 0)
    return set_memory(snapshot, kib)


def raise_maximum(snapshot: Snapshot, kib: int) -> str:
    """The command that lets this domain have more than it may now."""
    mib = -(-kib // MIB_KIB)
    if snapshot.domain.toolstack == "xapi":  # Only of a VM that is shut down.
        return f"xe vm-param-set uuid={snapshot.domain.uuid or 'UUID'} memory-static-max={mib}MiB"
    if snapshot.domain.toolstack == "qubes":
        return set_memory(snapshot, kib)
    return f"xl mem-max {host_name_of(snapshot)} {mib}m"


def free_memory(snapshot: Snapshot) -> str:
    """The command that tells what the host has left."""
    if snapshot.domain.toolstack == "xapi":
        return "xe host-list params=name-label,memory-free"
    return "xl info free_memory"
