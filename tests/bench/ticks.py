# SPDX-License-Identifier: GPL-2.0-or-later
"""What many looks do to the daemon's memory, in this process: nothing.

    python3 -m tests.bench.ticks [COUNT]

Every look finds another figure, so that each is judged, decided on and kept.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

from agent.daemon.bus import Bus
from agent.daemon.config import load_config
from agent.daemon.journal import Journal
from agent.daemon.loop import Daemon
from agent.daemon.notify import Notifier
from agent.daemon.parts import Parts
from agent.daemon.runtime_directory import RuntimeDirectory
from agent.daemon.wakeups import Wakeups
from agent.sources.system_root import SystemRoot
from sim_backend.toolstacks import simple_guest
from tests.bench.daemon_under_test import rollup_kib
from tests.support.daemon_process import kernel_files

CURRENT = "sys/devices/system/xen_memory/xen_memory0/info/current_kb"


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as directory:
        root = kernel_files(simple_guest()[1], Path(directory))
        config = load_config(directory=directory)
        parts = Parts(
            SystemRoot(str(root)),
            Bus("/nowhere"),
            Wakeups(None),
            RuntimeDirectory(f"{directory}/run/balloon-agent"),
            Journal(os.open("/dev/null", os.O_WRONLY)),
            Notifier({}),
            lambda: config,
        )
        daemon = Daemon(parts, config)
        warm = {}
        began_s = time.monotonic()
        for number in range(count):
            (root / CURRENT).write_text(f"{524288 - number % 1000 * 4}\n")
            assert daemon.tick("bench")
            if number == count // 10:
                warm = rollup_kib(os.getpid())
        after = rollup_kib(os.getpid())
        grown = {name: after[name] - warm[name] for name in ("Rss", "Anonymous", "Private_Dirty")}
        print(
            f"{count} looks in {time.monotonic() - began_s:.0f} s, after the first tenth: {grown}"
        )


if __name__ == "__main__":
    main()
