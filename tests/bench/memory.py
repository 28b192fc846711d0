# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's memory beside that of a Python that sleeps, and what a storm of events does to it.

python3 -m tests.bench.memory                  at rest
python3 -m tests.bench.memory --storm [COUNT]  over that many watch events (a million)
"""

from __future__ import annotations

import sys
import time

from tests.bench.daemon_under_test import (
    HOME,
    Bench,
    bare_python,
    flatness,
    rollup_kib,
    running_daemon,
)
from tests.bench.rows import Row, number, tell

WANTED = {"Rss": 1.7, "Private_Dirty": 2.6}
SETTLING_S = 3.0  # the first status is written, nothing is held back any more
STORM = 1_000_000


def rows() -> list[Row]:
    """At rest: how many times a bare Python of the same kind."""
    with running_daemon() as bench, bare_python() as bare_pid:
        time.sleep(SETTLING_S)
        daemon, bare = rollup_kib(bench.pid), rollup_kib(bare_pid)
    found = []
    for name, most in WANTED.items():
        found.append(Row(f"{name} / bare python", daemon[name] / bare[name], most))
        found.append(Row(name, daemon[name], None, f"KiB beside {bare[name]}"))
    return found


def storm_rows(count: int = STORM) -> list[Row]:
    """Over `count` watch events: the host writes the same key over and over."""
    with running_daemon() as bench:
        time.sleep(SETTLING_S)
        dirty = []
        for _ in range(10):
            _storm(bench, count // 10)
            time.sleep(1.5)  # what was held back in the storm is told
            dirty.append(rollup_kib(bench.pid)["Private_Dirty"])
        looks = bench.daemon.status()["daemon"]["ticks"]
    return [*flatness(dirty), Row("looks", looks)]


def _storm(bench: Bench, count: int) -> None:
    for step in range(count):
        bench.dom0.write(f"{HOME}/memory/static-max", 1048576 + step % 2)


def main() -> int:
    """Measure and print; 1 if a limit is passed and it is to be checked."""
    if "--storm" in sys.argv:
        count = number(STORM)
        return tell(f"memory over {count} watch events", storm_rows(count))
    return tell("memory at rest", rows())


if __name__ == "__main__":
    sys.exit(main())
