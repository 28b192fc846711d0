# SPDX-License-Identifier: GPL-2.0-or-later
"""Samples the balloon, free memory and stalls for a plot, a JSON object a line.

    {"at": 1795376098.8, "current_kib": 449172, "target_kib": 204800, "available_kib": 7264,
     "stalled_percent": 34.1}

`python3 -m tests.xenlab.guest.samples` goes on until its file BEGUN is gone. `at` is the wall
clock's, which a PV guest shares with dom0. In a guest that thrashes the samples come late, which
is a finding of its own.
"""

from __future__ import annotations

import json
import os
import time
from typing import Final

from tests.xenlab.guest.truth import balloon

PERIOD_S: Final = 0.5
BEGUN: Final = "/run/lab-samples"
"""A file that is there while samples are taken."""


def _available_kib() -> int:
    with open("/proc/meminfo", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("MemAvailable"))


def _stalled_percent() -> float:
    """The share of the last 10 s in which every task waited for memory; 0 without PSI."""
    try:
        with open("/proc/pressure/memory", encoding="ascii") as file:
            full = next(line for line in file if line.startswith("full"))
    except OSError:
        return 0.0
    return float(full.split()[1].partition("=")[2])


def main() -> None:
    """Print samples for a while."""
    with open(BEGUN, "w", encoding="ascii"):
        pass
    while os.path.exists(BEGUN):
        current, target = balloon()
        sample = {
            "at": round(time.time(), 2),
            "current_kib": current,
            "target_kib": target,
            "available_kib": _available_kib(),
            "stalled_percent": _stalled_percent(),
        }
        print(json.dumps(sample), flush=True)
        time.sleep(PERIOD_S)


if __name__ == "__main__":
    main()
