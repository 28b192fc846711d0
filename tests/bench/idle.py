# SPDX-License-Identifier: GPL-2.0-or-later
"""Wake-ups, xenstore writes and everything else that a settled guest's daemon should not have.

python3 -m tests.bench.idle [SECONDS] [MODE]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from agent.core.policy.settings import RESTING_MODES
from tests.bench.daemon_under_test import (
    HOME,
    RESTS_SOON,
    descriptors,
    running_daemon,
    voluntary_switches,
)
from tests.bench.rows import Row, number, tell
from tests.support.xenstored.raw_client import RawClient

SECONDS = 30
MODES = ("observe", "follow", "guard", "self")


def rows(seconds: int = SECONDS, mode: str = "follow") -> list[Row]:
    """Over `seconds`, after the daemon has come to rest."""
    rests = mode in RESTING_MODES
    with running_daemon("--mode", mode, quiet=RESTS_SOON if rests else None) as bench:
        time.sleep(5.0)  # the first status is written, nothing is held back any more
        if rests:
            bench.daemon.wait_for_rest()
        bench.dom0.watch(HOME, "guest")
        bench.dom0.next_event()  # the watch itself
        before, said = voluntary_switches(bench.pid), bench.daemon.status()["daemon"]
        time.sleep(seconds)
        writes = written_below(bench.dom0, HOME)
        switches = voluntary_switches(bench.pid) - before
        threads = len(list(Path(f"/proc/{bench.pid}/task").iterdir()))
        children = Path(f"/proc/{bench.pid}/task/{bench.pid}/children").read_text().split()
        open_files = descriptors(bench.pid)
        bench.daemon.end()
        woken = bench.daemon.status()["daemon"]["wakeups"] - said["wakeups"] - 1  # by SIGTERM
        woken -= rests  # that there is nothing to do any more, before the first of these seconds
    # Mode self looks by the clock, as its configuration says.
    return [
        Row("wake-ups", woken, None if mode == "self" else 0),
        Row("voluntary context switches", switches),
        Row("xenstore writes", writes, 0),
        Row("threads", threads, 1),
        Row("children", len(children), 0),
        Row("descriptors", open_files, 10),
    ]


def written_below(dom0: RawClient, path: str) -> int:
    """How often anything was written there, as its watch has told; events keep their order."""
    dom0.write(f"{path}/bench", "end")
    return sum(1 for _ in iter(dom0.next_event, (f"{path}/bench", "guest")))


def main() -> int:
    """Measure and print; 1 if a limit is passed and it is to be checked."""
    seconds = number(SECONDS)
    mode = next((word for word in sys.argv[1:] if word in MODES), "follow")
    return tell(f"idle for {seconds} s in mode {mode}", rows(seconds, mode))


if __name__ == "__main__":
    sys.exit(main())
