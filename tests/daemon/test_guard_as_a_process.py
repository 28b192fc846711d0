# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's process in mode guard beside a published guest whose host asks again."""

from __future__ import annotations

from tests.bench.schedules import with_processes

BATCHES_KIB = 4 * 1024  # of the driver's, which an ask may cost


def test_a_second_ask_a_moment_later_takes_no_more_than_two_batches_for_each() -> None:
    """`python3 -m tests.bench.schedules --processes` plays more, and looks on for longer."""
    seen = with_processes("second-value-1", after_s=0.5)
    assert seen.killed == 0
    assert 0 < seen.floor_kib < 512 * 1024
    assert seen.below_kib <= 2 * BATCHES_KIB
