# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's memory beside that of a Python that sleeps, at rest, loaded, and through a storm.

python3 -m tests.bench.memory [SECONDS]        at rest, and over that many seconds of it
python3 -m tests.bench.memory --loaded         where it never rests, as in the modes guard and self
python3 -m tests.bench.memory --storm [COUNT]  over that many watch events (a million)
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from tests.bench.daemon_under_test import (
    HOME,
    RESTS_SOON,
    Bench,
    bare_python,
    descriptors,
    flatness,
    rollup_kib,
    running_daemon,
    voluntary_switches,
)
from tests.bench.idle import written_below
from tests.bench.rows import Row, number, tell

WANTED_AT_REST = {"Rss": 0.95, "Private_Dirty": 0.95}
WANTED_LOADED = {"Rss": 1.7, "Private_Dirty": 2.6}
SETTLING_S = 3.0  # the first status is written, nothing is held back any more
STORM = 1_000_000
SECONDS = 5


def rows(seconds: int = SECONDS) -> list[Row]:
    """At rest: how many times a bare Python that sleeps, and whether it does anything."""
    with running_daemon(quiet=RESTS_SOON) as bench, bare_python() as bare_pid:
        bench.daemon.wait_for_rest()
        bench.dom0.watch(HOME, "guest")
        bench.dom0.next_event()  # the watch itself
        pings, switches = len(bench.daemon.messages), voluntary_switches(bench.pid)
        rests = bench.daemon.status()["daemon"]["rests"]
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            bench.daemon.message(until_s - time.monotonic())
        if seconds > SECONDS:
            bench.daemon.wait_for_rest()
        slept = voluntary_switches(bench.pid) - switches
        woken = bench.daemon.status()["daemon"]["rests"] - rests  # as often as it has come back
        pinged = bench.daemon.messages[pings:].count("WATCHDOG=1")
        found = _beside(rollup_kib(bench.pid), rollup_kib(bare_pid), WANTED_AT_REST)
        handed_on = bench.daemon.memory_file
        assert handed_on is not None
        return [
            *found,
            Row("handed on, in a file in memory", handed_on.stat().st_size / 1024, None, "KiB"),
            Row("watchdog pings", pinged),
            Row("wake-ups but for pings", woken - pinged, 0),
            Row("voluntary context switches", slept, None if pinged else 0),
            Row("xenstore writes", written_below(bench.dom0, HOME), 0),
            Row("processes", 1 + len(_children(bench.pid)), 1),
            Row("descriptors", descriptors(bench.pid), 10),
        ]


def loaded_rows() -> list[Row]:
    """Loaded, with nothing to do: how many times a bare Python of the same kind."""
    with running_daemon() as bench, bare_python() as bare_pid:
        time.sleep(SETTLING_S)
        return _beside(rollup_kib(bench.pid), rollup_kib(bare_pid), WANTED_LOADED)


def _beside(daemon: dict[str, int], bare: dict[str, int], wanted: dict[str, float]) -> list[Row]:
    found = []
    for name, most in wanted.items():
        found.append(Row(f"{name} / bare python", daemon[name] / bare[name], most))
        found.append(Row(name, daemon[name], None, f"KiB beside {bare[name]}"))
    return found


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


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
    if "--loaded" in sys.argv:
        return tell("memory of a daemon that never rests", loaded_rows())
    seconds = number(SECONDS)
    return tell(f"memory at rest over {seconds} s (load {os.getloadavg()[0]:.1f})", rows(seconds))


if __name__ == "__main__":
    sys.exit(main())
