# SPDX-License-Identifier: GPL-2.0-or-later
"""How far XAPI lets a guest grow, and whether squeezed took its measure at the wrong moment."""

from __future__ import annotations

from agent.core.account.headroom import spoilt_offset_kib
from agent.core.account.situation import understand
from agent.core.facts.snapshot import HostMemoryKeys
from tests.recordings.records import records
from tests.support.snapshots import MIB, a_pv_guest

OFFSET = "memory/memory-offset"
FAR_KIB = 32 * MIB


def test_of_the_recorded_calibrations_the_far_wrong_ones_are_told_from_the_right_ones() -> None:
    told = wrong = 0
    for record in records("squeezed-host"):
        for domain in record["domains"] if record.get("label") else ():
            written = [w[3] for w in record["writes"] if w[1:3] == [domain["domid"], OFFSET]]
            host = HostMemoryKeys(memory_offset_kib=int(written[-1]) if written else None)
            spoilt_kib = spoilt_offset_kib(host, domain["type"] == "pv")
            off_kib = int(written[-1]) - domain["offset_at_rest_kib"] if written else 0
            if record["label"] in ("right", "feature-only"):
                assert spoilt_kib is None, record["name"]
            elif abs(off_kib) > FAR_KIB:
                wrong += 1
                told += spoilt_kib is not None
    assert told == wrong > 10


def up_kib(**host: int) -> int | None:
    return understand(a_pv_guest(host={"static_max_kib": 1024 * MIB, **host})).headroom.up_kib


def test_squeezed_gives_no_more_than_the_dynamic_maximum() -> None:
    assert up_kib() == 512 * MIB
    assert up_kib(dynamic_max_kib=768 * MIB) == 256 * MIB
    assert up_kib(dynamic_max_kib=768 * MIB, memory_offset_kib=0) == 256 * MIB


def test_a_guest_measured_while_it_grew_lacks_for_good_what_was_missing_then() -> None:
    assert up_kib(dynamic_max_kib=768 * MIB, memory_offset_kib=-156 * MIB) == 100 * MIB
    assert up_kib(dynamic_max_kib=600 * MIB, memory_offset_kib=-156 * MIB) == 0
