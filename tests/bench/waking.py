# SPDX-License-Identifier: GPL-2.0-or-later
"""From rest: memory/target written by dom0 to the decision reported, and what stays of it.

    python3 -m tests.bench.waking [COUNT] [device]

Each time the daemon is loaded anew, so beside the wall's time, which depends on who else is at
work, stands its own processor time, and beside both what a bare `python3 -I` takes to start.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from typing import Final

from tests.bench.daemon_under_test import (
    HOME,
    RESTS_SOON,
    descriptors,
    flatness,
    processor_s,
    rollup_kib,
    running_daemon,
)
from tests.bench.reaction import p99, react
from tests.bench.rows import Row, number, tell

COUNT: Final = 50
_START_KIB: Final = 524288
_STEP_KIB: Final = 4  # a page is at the target still


def rows(count: int = COUNT, *, device: bool = False) -> list[Row]:
    """`count` changes of the target, each met at rest."""
    took_ms, cpu_ms, dirty, opened, bare = [], [], [], set(), []
    with running_daemon("--mode", "observe", device=device, quiet=RESTS_SOON) as bench:
        bench.dom0.watch(f"{HOME}/data/balloon/seq", "seq")
        bench.dom0.next_event()
        for step in range(count):
            bench.daemon.wait_for_rest()
            time.sleep(0.05)
            dirty.append(rollup_kib(bench.pid)["Private_Dirty"])
            opened.add(descriptors(bench.pid))
            before_s = processor_s(bench.pid)
            took_ms.append(react(bench.dom0, HOME, _START_KIB - _STEP_KIB * ((step + 1) % 2)))
            cpu_ms.append((processor_s(bench.pid) - before_s) * 1000)
            bare.append(_bare_start_ms())
    took_ms.sort()
    tenths = [statistics.median(dirty[at : at + max(1, count // 10)]) for at in _tenths(count)]
    return [
        Row("median", statistics.median(took_ms), 60.0, "ms"),
        Row("p99", p99(took_ms), 120.0, "ms"),
        Row("processor time each", statistics.median(cpu_ms), None, "ms"),
        Row("median / start of a bare python", statistics.median(took_ms) / min(bare)[0]),
        Row(
            "processor time / that of a bare python",
            statistics.median(cpu_ms) / statistics.median(cpu for _, cpu in bare),
        ),
        *flatness([int(kib) for kib in tenths]),
        Row("descriptors", max(opened), 10),
        Row("numbers of descriptors", len(opened), 1),
    ]


def _tenths(count: int) -> list[int]:
    return [count * tenth // 10 for tenth in range(10)]


def _bare_start_ms() -> tuple[float, float]:
    """By the clock, and of the processor."""
    began_s, used_s = time.perf_counter(), _of_children_s()
    subprocess.run([sys.executable, "-I", "-c", ""], check=True)
    return (time.perf_counter() - began_s) * 1000, (_of_children_s() - used_s) * 1000


def _of_children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> int:
    """Measure and print; 1 if a limit is passed and it is to be checked."""
    count = number(COUNT)
    return tell(f"reaction from rest, {count} times", rows(count, device="device" in sys.argv))


if __name__ == "__main__":
    sys.exit(main())
