# SPDX-License-Identifier: GPL-2.0-or-later
"""From memory/target written by dom0 to the decision reported below data/balloon.

    python3 -m tests.bench.reaction [COUNT] [socket|device|published]

A `socket` and a `device`, which is a terminal like the kernel's xenbus, lead to Debian's xenstored
as a true guest; `published` is the simulated domain in a process of its own.  The report is done
when `seq` has changed, which is written last.

Wall time depends on who else is at work on the machine, so beside it stand the round trips that
dom0 made in the same minute (a write, its watch event, a read: no daemon in it), and the
daemon's own processor time, which depends on nobody.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from tests.bench.daemon_under_test import (
    HOME,
    compiled_daemon,
    processor_s,
    running_daemon,
)
from tests.bench.rows import Row, number, tell
from tests.support.published_domain import published
from tests.support.xenstored.raw_client import RawClient

COUNT: Final = 200
WAYS: Final = ("socket", "device", "published")
# The daemon's own limit on how often it publishes is not measured.  The simulated balloon moves
# after each change, and that is reported, too.
_BETWEEN_S: Final = {"socket": 0.25, "device": 0.25, "published": 0.7}
# A page is at the target still; what the simulated balloon does about more has been reported when
# the next change comes.
_STEP_KIB: Final = {"socket": 4, "device": 4, "published": 1024}
_START_KIB: Final = 524288


class _There(NamedTuple):
    """A daemon at work and dom0 beside it."""

    pid: int
    dom0: RawClient
    home: str


def rows(way: str = "socket", count: int = COUNT) -> list[Row]:
    """`count` changes of the target, one way."""
    with _daemon(way) as there:
        balloon = f"{there.home}/data/balloon"
        there.dom0.watch(f"{balloon}/seq", "seq")
        there.dom0.watch("/bench", "ping")
        _drain(there.dom0, 2)
        step_kib = _STEP_KIB[way]
        react(there.dom0, there.home, _START_KIB - step_kib)  # the first report has no seq yet
        reactions_ms, pings_ms, cpu_s = [], [], 0.0
        for step in range(count):
            time.sleep(_BETWEEN_S[way])
            pings_ms.append(_ping(there.dom0, step))
            before_s = processor_s(there.pid)
            reactions_ms.append(react(there.dom0, there.home, _START_KIB - step_kib * (step % 2)))
            time.sleep(0.02)
            cpu_s += processor_s(there.pid) - before_s
    reactions_ms.sort()
    median_ms, ping_ms = statistics.median(reactions_ms), statistics.median(pings_ms)
    return [
        Row("median", median_ms, 2.0, "ms"),
        Row("p99", p99(reactions_ms), 10.0, "ms"),
        Row("processor time each", cpu_s / count * 1000, None, "ms"),
        Row("round trip", ping_ms, None, "ms"),
        Row("its p99", p99(sorted(pings_ms)), None, "ms"),
        Row("median / round trip", median_ms / ping_ms),
    ]


@contextmanager
def _daemon(way: str) -> Iterator[_There]:
    if way != "published":
        with running_daemon("--mode", "observe", device=way == "device") as bench:
            yield _There(bench.pid, bench.dom0, HOME)
        return
    with (
        published("balloon-up") as there,
        there.dom0() as dom0,
        compiled_daemon(there.root, there.xenstore, "--mode", "observe") as daemon,
    ):
        yield _There(daemon.process.pid, dom0, there.home)


def react(dom0: RawClient, home: str, target_kib: int) -> float:
    """Milliseconds until the host has the report of a new target."""
    said = f"{home}/data/balloon/host_target_kb"
    began_s = time.perf_counter()
    dom0.write(f"{home}/memory/target", target_kib)
    while True:
        dom0.next_event()
        if dom0.read(said) == str(target_kib).encode():
            return (time.perf_counter() - began_s) * 1000


def _ping(dom0: RawClient, value: int) -> float:
    """Milliseconds for what dom0 does in a reaction, without one."""
    began_s = time.perf_counter()
    dom0.write("/bench", value)
    dom0.next_event()
    dom0.read("/bench")
    return (time.perf_counter() - began_s) * 1000


def _drain(dom0: RawClient, count: int) -> None:
    for _ in range(count):
        dom0.next_event()


def p99(ordered: list[float]) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


def main() -> int:
    """Measure and print; 1 if a limit is passed and it is to be checked."""
    count = number(COUNT)
    way = next((word for word in sys.argv[1:] if word in WAYS), WAYS[0])
    return tell(f"reaction over {way}, {count} times", rows(way, count))


if __name__ == "__main__":
    sys.exit(main())
