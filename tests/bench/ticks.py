# SPDX-License-Identifier: GPL-2.0-or-later
"""What many looks do to the daemon's memory, in this process: nothing.

    python3 -m tests.bench.ticks [COUNT]

Every look finds another figure, so that each is judged, decided on and kept.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import time
from pathlib import Path

from agent.daemon.config.load import load_config
from agent.daemon.journal import Journal
from agent.daemon.link import Link
from agent.daemon.loop import Daemon
from agent.daemon.notify import Notifier
from agent.daemon.parts import Parts
from agent.daemon.runtime_directory import RuntimeDirectory
from agent.daemon.wakeups import Wakeups, Woken
from agent.sources.system_root import SystemRoot
from sim_backend.host.libxl import simple_guest
from tests.bench.daemon_under_test import flatness, rollup_kib
from tests.bench.rows import Row, number, tell
from tests.support.daemon_process import kernel_files

CURRENT = "sys/devices/system/xen_memory/xen_memory0/info/current_kb"
TICKS = 100_000


def rows(count: int = TICKS) -> list[Row]:
    """Over `count` looks."""
    with tempfile.TemporaryDirectory() as directory:
        root = kernel_files(simple_guest()[1], Path(directory))
        config = load_config(directory=directory)
        parts = Parts(
            SystemRoot(str(root)),
            Link("/nowhere"),
            Wakeups(),
            RuntimeDirectory(f"{directory}/run/balloon-agent"),
            Journal(os.open("/dev/null", os.O_WRONLY)),
            Notifier({}),
            lambda: config,
        )
        daemon = Daemon(parts, config)
        gc.collect()
        gc.freeze()
        dirty = []
        began_s = time.process_time()
        for _ in range(10):
            for step in range(count // 10):
                (root / CURRENT).write_text(f"{524288 - step % 1000 * 4}\n")
                daemon.serve(Woken(pressure=True))
            dirty.append(rollup_kib(os.getpid())["Private_Dirty"])
        each_us = (time.process_time() - began_s) / count * 1e6
    return [*flatness(dirty), Row("a look", each_us, None, "us of processor time")]


def main() -> int:
    """Measure and print; 1 if a limit is passed and it is to be checked."""
    count = number(TICKS)
    return tell(f"memory over {count} looks", rows(count))


if __name__ == "__main__":
    sys.exit(main())
