# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's memory beside that of a Python that sleeps, and what work does to it.

python3 -m tests.bench.memory                  at rest
python3 -m tests.bench.memory --storm COUNT    before and after that many watch events
"""

import sys
import time

from tests.bench.daemon_under_test import HOME, Bench, bare_python, rollup_kib, running_daemon

NAMES = ("Rss", "Pss", "Private_Dirty")


def storm(bench: Bench, count: int) -> None:
    """The host writes the same key over and over."""
    for number in range(count):
        bench.dom0.write(f"{HOME}/memory/static-max", 1048576 + number % 2)


def main() -> None:
    with running_daemon() as bench:
        time.sleep(3.0)
        before = rollup_kib(bench.pid)
        with bare_python() as bare_pid:
            bare = rollup_kib(bare_pid)
        for name in NAMES:
            print(
                f"{name}: daemon {before[name]} KiB, bare python {bare[name]} KiB, "
                f"{before[name] / bare[name]:.2f} times"
            )
        if "--storm" in sys.argv:
            count = int(sys.argv[sys.argv.index("--storm") + 1])
            began_s = time.monotonic()
            storm(bench, count)
            time.sleep(2.0)
            warm = rollup_kib(bench.pid)
            storm(bench, count)
            time.sleep(2.0)
            after = rollup_kib(bench.pid)
            first = {name: warm[name] - before[name] for name in NAMES}
            second = {name: after[name] - warm[name] for name in NAMES}
            ticks = bench.daemon.status()["daemon"]["ticks"]
            print(f"the first {count} events: {first}")
            print(f"the second {count} events: {second}")
            print(f"{time.monotonic() - began_s:.0f} s, {ticks} looks")


if __name__ == "__main__":
    main()
