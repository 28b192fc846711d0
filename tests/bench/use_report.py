# SPDX-License-Identifier: GPL-2.0-or-later
"""How promptly a qube's use of memory is told, and how often the daemon looks for that.

python3 -m tests.bench.use_report

Qubes' own meminfo-writer looks ten times a second.  Promptness is measured on recordings of it, in
virtual time, from ten phases of the daemon's clock each; the looks on the real daemon.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.bench.daemon_under_test import HOME, running_daemon
from tests.bench.rows import Row, number, tell
from tests.recordings.records import records
from tests.recordings.test_use_as_recorded import looks_a_second, promptness

SECONDS = 20
REAL_A_SECOND = 10.0
GIVEN = ("memory/meminfo", "memory/swapinfo")


def rows(seconds: int = SECONDS) -> list[Row]:
    """The share of late figures, and looks against those of the real writer."""
    kept = records("meminfo-timelines")
    return [
        Row("figures later than 0.5 s", 100 * (1 - promptness(kept)), 10, "percent"),
        Row("looks in a still recording / real", looks_a_second("still") / REAL_A_SECOND, 0.1),
        Row(
            "wake-ups of an idle daemon / real",
            idle_wakeups_a_second(seconds) / REAL_A_SECOND,
            0.105,
        ),
    ]


def idle_wakeups_a_second(seconds: int) -> float:
    """Of the daemon's process in profile qubes, on Debian's xenstored."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        config = Path(directory, "config.toml")
        config.write_text('[publish]\nprofile = "qubes"\n')
        with running_daemon("--config", str(config), given=GIVEN) as bench:
            time.sleep(5.0)
            if not bench.dom0.read(f"{HOME}/memory/meminfo").isdigit():
                raise RuntimeError("the daemon reports nothing")
            before = bench.daemon.status()["daemon"]  # of some time ago: nothing has changed
            time.sleep(seconds)
            bench.daemon.end()
            after = bench.daemon.status()["daemon"]
    woken = after["wakeups"] - before["wakeups"] - 1  # by SIGTERM
    return float(woken / (after["monotonic_s"] - before["monotonic_s"]))


def main() -> int:
    """Measure and print; 1 if a limit is passed and it is to be checked."""
    seconds = number(SECONDS)
    return tell("reporting a qube's use", rows(seconds))


if __name__ == "__main__":
    sys.exit(main())
