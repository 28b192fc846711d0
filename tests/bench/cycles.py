# SPDX-License-Identifier: GPL-2.0-or-later
"""Waking and resting, over and over: no descriptor and no page more than at the start.

    python3 -m tests.bench.cycles [COUNT] [device]    ten thousand of them, about an hour

Whatever wakes it, the daemon is loaded, does what is to be done and goes to rest.  In nineteen of
twenty cycles that is nothing, since the key is one that a guest writes itself; in the twentieth the
host asks for another size, which is decided, published and told in the status.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Final

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


def rows(count: int = COUNT, *, device: bool = False) -> list[Row]:
    """`count` cycles of one daemon."""
    dirty, resident, mapped, opened, handed = [], [], [], [], []
    with running_daemon("--mode", "observe", device=device, quiet="100ms") as bench:
        dom0, last = bench.dom0, _at_rest(bench)
        dom0.watch(f"{HOME}/data/balloon/seq", "seq")
        dom0.next_event()  # the watch itself
        began_s = time.monotonic()
        for step in range(count):
            if step % _ASKS_EVERY == _ASKS_EVERY - 1:
                react(dom0, HOME, _START_KIB - _STEP_KIB * ((step // _ASKS_EVERY + 1) % 2))
            else:
                dom0.write(f"{HOME}/memory/meminfo", step)
            last = _at_rest(bench, last)
            pages = rollup_kib(bench.pid)
            dirty.append(pages["Private_Dirty"])
            resident.append(pages["Rss"])
            mapped.append(len(Path(f"/proc/{bench.pid}/maps").read_text().splitlines()))
            opened.append(descriptors(bench.pid))
            file = bench.daemon.memory_file
            assert file is not None
            handed.append(file.stat().st_size)
        took_s = time.monotonic() - began_s
        told = bench.daemon.status()["daemon"]
    return [
        Row("cycles", count),
        Row("each", took_s / count * 1000, None, "ms"),
        Row("looks that failed", told["failed_ticks"], 0),
        Row("connections", told["connections"], 1),
        *flatness(_tenths(dirty)),
        Row("growth of what is resident", _grown(resident), 128, "KiB"),
        Row("more mappings", _grown(mapped), 0),
        Row("descriptors at the first", opened[0], 10),
        Row("more descriptors at the last", opened[-1] - opened[0], 0),
        Row("most descriptors", max(opened), 10),
        Row("handed on at the last", handed[-1] / 1024, None, "KiB"),
        Row("more handed on than after a tenth", _grown(handed) / 1024, 1, "KiB"),
    ]


def _at_rest(bench: Bench, before: int | None = None) -> int:
    """Wait until it rests; which rest it is, by the file it has handed on."""
    until_s = time.monotonic() + PATIENCE_S
    while True:
        bench.daemon.wait_for_rest()
        try:
            file = bench.daemon.memory_file
            if file is not None and (found := file.stat().st_ino) != before:
                return found
        except FileNotFoundError:
            pass  # it has just come back
        assert time.monotonic() < until_s, "nothing wakes it"
        while bench.daemon.message(0.01) is not None:
            pass  # what it says to its service manager


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
