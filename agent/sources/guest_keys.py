# SPDX-License-Identifier: GPL-2.0-or-later
"""What agents of this guest have published in its part of xenstore.

data/meminfo_total 456048          (xe-daemon, xen-guest-agent; KiB)
control/feature-balloon 1          (the same; under xl a guest may not write there)
memory/meminfo 123456              (Qubes' meminfo-writer; KiB in use)
"""

from __future__ import annotations

from typing import Final

from agent.core.facts.numbers import key_kib
from agent.core.findings.examination import GuestKeys
from agent.sources.outcome import ABSENT, OK, Outcome, parsed
from agent.sources.xenstore.key_store import KeyStore

KEYS: Final = ("data/meminfo_total", "control/feature-balloon", "memory/meminfo")


def read_guest_keys(store: KeyStore) -> Outcome[GuestKeys]:
    """All of them; that one is absent is ordinary."""
    total, feature, used = (store.read(key) for key in KEYS)
    refused = [read.status for read in (total, feature, used) if read.status not in (OK, ABSENT)]
    if refused:
        return Outcome(None, refused[0])
    if store.read("domid").status == ABSENT and total.value is None and feature.value is None:
        return Outcome(None, ABSENT)
    return Outcome(
        GuestKeys(
            meminfo_total_kib=parsed(total, key_kib).value,
            feature_balloon=feature.value is not None,
            qubes_meminfo=bool(used.value),
            control_writable=store.may_write("control").value,
        ),
        OK,
    )
