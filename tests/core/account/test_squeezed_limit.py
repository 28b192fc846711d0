# SPDX-License-Identifier: GPL-2.0-or-later
"""How far XAPI lets a guest grow, and whether squeezed took its measure at the wrong moment."""

from __future__ import annotations

import pytest

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


@pytest.mark.parametrize(
    ("least_kib", "most_kib", "is_pv"), [(-MIB, MIB, True), (-4 * MIB, 32 * MIB, False)]
)
def test_what_a_guest_at_rest_may_have_beyond_its_target_is_no_wrong_measure(
    least_kib: int, most_kib: int, is_pv: bool
) -> None:
    for kib in (least_kib, 0, most_kib):
        assert spoilt_offset_kib(HostMemoryKeys(memory_offset_kib=kib), is_pv) is None
    for kib in (least_kib - 1, most_kib + 1):
        assert spoilt_offset_kib(HostMemoryKeys(memory_offset_kib=kib), is_pv) == kib


@pytest.mark.parametrize("off_kib", [-MIB - 1, -MIB, 0, MIB, MIB + 1])
def test_the_shim_of_a_pv_guest_takes_23_mib_and_a_90th_give_or_take_a_mib(off_kib: int) -> None:
    kib = 23 * MIB + 900 * MIB // 90 + off_kib
    host = HostMemoryKeys(memory_offset_kib=kib, static_max_kib=900 * MIB)
    assert spoilt_offset_kib(host, is_pv=True) == (None if abs(off_kib) <= MIB else kib)
    assert spoilt_offset_kib(host._replace(static_max_kib=None), is_pv=True) == kib
