# SPDX-License-Identifier: GPL-2.0-or-later
"""Waking and resting, over and over: no descriptor and no page more than at the start.

    python3 -m tests.bench.cycles [COUNT] [device]    ten thousand of them, more than an hour

Whatever wakes it, the daemon is loaded, does what is to be done and goes to rest.  In nineteen of
twenty cycles that is nothing, since the key is one that a guest writes itself; in the twentieth the
host asks for another size, which is decided, published and told in the status.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

from tests.bench.daemon_under_test import (
    HOME,
    Bench,
    descriptors,
    flatness,
    rollup_kib,
    running_daemon,
)
from tests.bench.reaction import react
from tests.bench.rows import Row, number, tell
from tests.support.daemon_process import PATIENCE_S

COUNT: Final = 10_000
_ASKS_EVERY: Final = 20
_START_KIB: Final = 524288
_STEP_KIB: Final = 4  # a page is at the target still


class AtRest(NamedTuple):
    """A rest: the number of the file that was handed on, its size, and what the process holds."""

    number: int
    handed_bytes: int
    dirty_kib: int
    resident_kib: int
    mappings: int
    descriptors: int

    def is_as(self, other: AtRest | None) -> bool:
        """Whether it is the same rest."""
        return other is not None and self.number == other.number


def rows(count: int = COUNT, *, device: bool = False) -> list[Row]:
    """`count` cycles of one daemon."""
    seen: list[AtRest] = []
    with running_daemon("--mode", "observe", device=device, quiet="100ms") as bench:
        dom0, last = bench.dom0, _at_rest(bench, None)
        dom0.watch(f"{HOME}/data/balloon/seq", "seq")
        dom0.next_event()  # the watch itself
        began_s = time.monotonic()
        for step in range(count):
            if step % _ASKS_EVERY == _ASKS_EVERY - 1:
                react(dom0, HOME, _START_KIB - _STEP_KIB * ((step // _ASKS_EVERY + 1) % 2))
            else:
                dom0.write(f"{HOME}/memory/meminfo", step)
            last = _at_rest(bench, last)
            seen.append(last)
        each_s = (time.monotonic() - began_s) / count
        bench.daemon.end()
        told = bench.daemon.status()["daemon"]
    first, most = seen[0], max(one.descriptors for one in seen)
    return [
        Row("rests", told["rests"]),
        Row("each", each_s * 1000, None, "ms"),
        Row("looks", told["ticks"]),
        Row("looks that failed", told["failed_ticks"], 0),
        Row("connections", told["connections"], 1),
        *flatness(_tenths([one.dirty_kib for one in seen])),
        Row("private memory at the first", first.dirty_kib, None, "KiB"),
        Row("at the last", last.dirty_kib, None, "KiB"),
        Row("more that is resident", _grown([one.resident_kib for one in seen]), 128, "KiB"),
        Row("more mappings", _grown([one.mappings for one in seen]), 0),
        Row("descriptors at the first", first.descriptors, 10),
        Row("most descriptors", most, first.descriptors),
        Row("handed on at the last", last.handed_bytes / 1024, None, "KiB"),
        Row("more than after a tenth", _grown([one.handed_bytes for one in seen]) / 1024, 1, "KiB"),
    ]


def _at_rest(bench: Bench, before: AtRest | None) -> AtRest:
    """Wait for another rest, and look at it while it lasts: the watchdog's time may end it, too."""
    until_s = time.monotonic() + 2 * PATIENCE_S  # it does not rest for less than 20 s
    while time.monotonic() < until_s:
        found, still = _looked_at(bench), _looked_at(bench)
        if found is not None and found.is_as(still) and not found.is_as(before):
            return found
        while bench.daemon.message(0.01) is not None:
            pass  # what it says to its service manager
    raise AssertionError("nothing wakes it")


def _looked_at(bench: Bench) -> AtRest | None:
    """None while the daemon is loaded."""
    file = bench.daemon.memory_file
    if file is None:
        return None
    try:
        handed = file.stat()
        pages = rollup_kib(bench.pid)
        mappings = len(Path(f"/proc/{bench.pid}/maps").read_text().splitlines())
        return AtRest(
            handed.st_ino,
            handed.st_size,
            pages["Private_Dirty"],
            pages["Rss"],
            mappings,
            descriptors(bench.pid),
        )
    except (FileNotFoundError, ProcessLookupError):  # the other program takes its place just now
        return None


def _tenths(values: list[int]) -> list[int]:
    """The median of each tenth."""
    size = max(1, len(values) // 10)
    return [int(statistics.median(values[at * size : (at + 1) * size])) for at in range(10)]


def _grown(values: list[int]) -> int:
    """From the second tenth to the last."""
    tenths = _tenths(values)
    return tenths[-1] - tenths[1]


def main() -> int:
    """Measure and print; 1 if a limit is passed and it is to be checked."""
    count = number(COUNT)
    return tell(f"{count} cycles of waking and resting", rows(count, device="device" in sys.argv))


if __name__ == "__main__":
    sys.exit(main())
