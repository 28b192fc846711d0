# SPDX-License-Identifier: GPL-2.0-or-later
"""When the balloon is where the host wants it."""

from __future__ import annotations

from typing import Any

import pytest

from agent.core.account.situation import Situation, understand
from tests.support.snapshots import MIB, a_pv_guest


def a_guest(**balloon: Any) -> Situation:
    return understand(a_pv_guest(balloon=balloon) if balloon else a_pv_guest())


def test_a_settled_guest_at_the_hosts_target_is_where_it_belongs() -> None:
    assert a_guest().is_where_the_host_wants_it
    assert not a_guest(target_kib=768 * MIB).is_where_the_host_wants_it


def test_a_target_of_anybodys_own_is_not_where_the_host_wants_it() -> None:
    held = a_guest(target_kib=600 * MIB, current_kib=600 * MIB)
    assert held.state == "settled"
    assert not held.is_where_the_host_wants_it


@pytest.mark.parametrize(("off_kib", "there"), [(-8, False), (-4, True), (4, True), (8, False)])
def test_a_page_off_counts_as_there(off_kib: int, there: bool) -> None:
    size_kib = 512 * MIB + off_kib
    guest = a_guest(target_kib=size_kib, current_kib=size_kib)
    assert guest.is_where_the_host_wants_it is there


def test_a_crash_kernel_has_no_target_and_is_never_announced() -> None:
    snapshot = a_guest().snapshot
    without = snapshot._replace(host=snapshot.host._replace(target_kib=None))
    assert not understand(without).is_where_the_host_wants_it
