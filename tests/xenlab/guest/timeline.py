# SPDX-License-Identifier: GPL-2.0-or-later
"""Samples the balloon: a line whenever current, target or the host's target changed.

`python3 -m tests.xenlab.guest.timeline SECONDS` prints tab-separated columns with a header; the
time is the wall clock's, so that it can be laid beside what was done in dom0.
"""

from __future__ import annotations

import sys
import time
from typing import Final

from tests.xenlab.guest.truth import balloon
from tests.xenlab.guest.xenbus import XenBus

PERIOD_S: Final = 0.02
COLUMNS: Final = ("wall", "current_kb", "target_kb", "xenstore_target", "MemTotal", "MemFree")


def _memory() -> tuple[str, str]:
    with open("/proc/meminfo", encoding="ascii") as file:
        total, free = file.readline(), file.readline()
    return total.split()[1], free.split()[1]


def main(seconds: float) -> None:
    """Print samples for a while, the last one always."""
    print(*COLUMNS, sep="\t")
    end = time.monotonic() + seconds
    last: tuple[int, int, str] | None = None
    with XenBus() as bus:
        while True:
            over = time.monotonic() >= end
            state = (*balloon(), (bus.read("memory/target") or b"-").decode())
            if state != last or over:
                print(f"{time.time():.3f}", *state, *_memory(), sep="\t")
                last = state
            if over:
                return
            time.sleep(PERIOD_S)


if __name__ == "__main__":
    main(float(sys.argv[1]))
