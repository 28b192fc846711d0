# SPDX-License-Identifier: GPL-2.0-or-later
"""What a storm of watch events does to the daemon: some looks a second, and no memory.

    python3 -m tests.bench.events [COUNT]

dom0 writes memory/target as fast as the real xenstored takes it; each write is an event for the
daemon.  Asked for last is what the host must read in the end.
"""

from __future__ import annotations

import sys
import time
from typing import Final

from tests.bench.daemon_under_test import (
    BALLOON,
    HOME,
    Bench,
    flatness,
    processor_s,
    rollup_kib,
    running_daemon,
)
from tests.bench.rows import Row, number, tell

EVENTS: Final = 1_000_000
_AT_ONCE: Final = 100
_LOOKS_AT_ONCE: Final = 40  # what `agent.daemon.link` allows, and the looks that follow the last
_LOOKS_PER_S: Final = 21
_SETTLES_WITHIN_S: Final = 30.0
_TARGETS_KIB: Final = (524288, 524284)


def rows(count: int = EVENTS) -> list[Row]:
    """Over `count` events."""
    with running_daemon("--mode", "observe") as bench:
        _await_report(bench, _TARGETS_KIB[0])
        before = bench.daemon.status()["daemon"]["ticks"]
        began_s, cpu_s = time.monotonic(), processor_s(bench.pid)
        dirty = []
        for _ in range(10):
            for _ in range(count // 10 // _AT_ONCE):
                bench.dom0.write_many(f"{HOME}/memory/target", _TARGETS_KIB * (_AT_ONCE // 2))
            dirty.append(rollup_kib(bench.pid)["Private_Dirty"])
        lasted_s, cpu_s = time.monotonic() - began_s, processor_s(bench.pid) - cpu_s
        bench.dom0.write(f"{HOME}/memory/target", _TARGETS_KIB[0])
        _await_report(bench, _TARGETS_KIB[0])
        bench.daemon.end()
        looks = bench.daemon.status()["daemon"]["ticks"] - before
    return [
        *flatness(dirty),
        Row("looks", looks, round(_LOOKS_AT_ONCE + _LOOKS_PER_S * lasted_s)),
        Row("an event", cpu_s / count * 1e6, None, "us of processor time"),
        Row("events", count / lasted_s, None, "in a second"),
    ]


def _await_report(bench: Bench, target_kib: int) -> None:
    """Wait until the host reads that the daemon knows the target.

    Raises:
        TimeoutError: it does not come.
    """
    key, end_s = f"{BALLOON}/host_target_kb", time.monotonic() + _SETTLES_WITHIN_S
    while not bench.dom0.exists(key) or bench.dom0.read(key) != str(target_kib).encode():
        if time.monotonic() > end_s:
            raise TimeoutError(key)
        time.sleep(0.1)


def main() -> int:
    """Measure and print; 1 if a limit is passed and it is to be checked."""
    count = number(EVENTS)
    return tell(f"{count} watch events", rows(count))


if __name__ == "__main__":
    sys.exit(main())
