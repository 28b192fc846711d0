# SPDX-License-Identifier: GPL-2.0-or-later
"""Wake-ups, xenstore writes and processor time of a settled guest's daemon.

python3 -m tests.bench.idle [SECONDS] [MODE]
"""

import sys
import time
from pathlib import Path

from tests.bench.daemon_under_test import descriptors, running_daemon, voluntary_switches


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    mode = sys.argv[2] if len(sys.argv) > 2 else "follow"
    with running_daemon("--mode", mode) as bench:
        time.sleep(5.0)  # the first status is written, nothing is held back any more
        before, said = voluntary_switches(bench.pid), bench.daemon.status()["daemon"]
        time.sleep(seconds)
        woken = voluntary_switches(bench.pid) - before
        threads = len(list(Path(f"/proc/{bench.pid}/task").iterdir()))
        children = Path(f"/proc/{bench.pid}/task/{bench.pid}/children").read_text().split()
        open_files = descriptors(bench.pid)
        bench.daemon.end()
        polls = (
            bench.daemon.status()["daemon"]["wakeups"] - said["wakeups"] - 1
        )  # the last: SIGTERM
        writes = bench.daemon.status()["daemon"]["xenstore_writes"] - said["xenstore_writes"]
        print(
            f"idle for {seconds:g} s in mode {mode}: {polls} wake-ups "
            f"({woken} voluntary context switches), {writes} xenstore writes, "
            f"{threads} thread, {len(children)} children, "
            f"{open_files} descriptors"
        )


if __name__ == "__main__":
    main()
