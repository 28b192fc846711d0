# SPDX-License-Identifier: GPL-2.0-or-later
"""What 4,096 memory blocks cost that the kernel added and left offline: 512 GiB of them.

    python3 -m tests.bench.many_blocks [4096] [--check]

`status`, then the daemon in mode follow, which puts them online.  Each takes 5 ms of the kernel's,
so that all of them take half a minute, in which the host and signals are to be heard.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from sim_backend.guest.kernel_images import DEBIAN_11
from sim_backend.host.libxl import simple_guest
from tests.bench.daemon_under_test import HOME
from tests.bench.reaction import react
from tests.bench.rows import Row, number, tell
from tests.bench.status_speed import seconds
from tests.support.daemon_process import START, DaemonProcess, kernel_files
from tests.support.xenstored.daemon import Xenstored
from tests.support.xenstored.libxl_tree import GuestConfig, write_guest

BLOCKS: Final = 4096
BLOCK_BYTES: Final = 128 << 20
SIZE_KIB: Final = 512 << 10
# The files of the guest are plain ones, which take no time to write.
SLOWLY: Final = """
import time
from agent.sources.system_root import SystemRoot
write = SystemRoot.write
def slowly(self, relative, text):
    time.sleep(0.005)
    write(self, relative, text)
SystemRoot.write = slowly
"""


def a_guest(directory: Path, blocks: int) -> Path:
    """Its files, when the kernel has added as many blocks and nobody has put them online."""
    toolstack, domain = simple_guest(memory_kib=SIZE_KIB, maxmem_kib=6 * SIZE_KIB, image=DEBIAN_11)
    toolstack.mem_set(domain, 6 * SIZE_KIB)
    domain.clock.run_until(domain.clock.now_s + 60.0)
    root = kernel_files(domain, directory)
    first, *_, last = domain.blocks.reading().offline
    end = first + blocks
    for block_number in range(last + 1, end):  # the simulated kernel goes no further
        block = root / f"sys/devices/system/memory/memory{block_number}"
        block.mkdir()
        (block / "state").write_text("offline\n")
        (block / "phys_index").write_text(f"{block_number:08x}\n")
    was, now = (f"{block * BLOCK_BYTES - 1:x}" for block in (last + 1, end))
    for file in (root / "proc/iomem", *root.glob("sys/firmware/memmap/*/end")):
        file.write_text(file.read_text().replace(was, now))
    assert len(offline(root)) == blocks
    return root


def offline(root: Path) -> list[Path]:
    """The blocks that are."""
    states = root.glob("sys/devices/system/memory/memory*/state")
    return [state for state in states if state.read_text().strip() == "offline"]


def rows(blocks: int = BLOCKS) -> list[Row]:
    """`status`, READY, and what is heard while the blocks go online."""
    with tempfile.TemporaryDirectory() as directory, Xenstored() as xenstored:
        root = a_guest(Path(directory), blocks)
        guest = xenstored.introduce(5)
        most_kib = SIZE_KIB + blocks * (BLOCK_BYTES >> 10)
        status = (sys.executable, "-m", "agent", "--root", os.fspath(root), "status", "--json")
        status_s = min(seconds(status, warns=True) for _ in range(3))
        with xenstored.connect() as dom0:
            write_guest(dom0, GuestConfig(5, target_kib=most_kib, static_max_kib=most_kib))
            dom0.watch(f"{HOME}/data/balloon/seq", "seq")
            began_s = time.perf_counter()
            with DaemonProcess(root, guest.path, start=SLOWLY + START) as daemon:
                daemon.ready()
                ready_s = time.perf_counter() - began_s
                first_s = time.monotonic() + 20
                while len(offline(root)) == blocks and time.monotonic() < first_s:
                    time.sleep(0.1)
                heard_ms = [react(dom0, HOME, most_kib - 4 * turn) for turn in (1, 2, 3, 4, 5)]
                began_s = time.perf_counter()
                daemon.send(signal.SIGHUP)
                daemon.wait_for("RELOADING=1")
                reload_s = time.perf_counter() - began_s
                left = len(offline(root))
                began_s = time.perf_counter()
                daemon.end()
                stop_s = time.perf_counter() - began_s
    assert 0 < left < blocks, left
    return [
        Row(
            f"`status --json` of a guest with {blocks} blocks offline", status_s * 1000, 1000, "ms"
        ),
        Row("start to READY", ready_s * 1000, 2000, "ms"),
        Row("the host heard meanwhile, at the latest after", max(heard_ms), 1000, "ms"),
        Row("SIGHUP heard after", reload_s * 1000, 1000, "ms"),
        Row("SIGTERM to its end", stop_s * 1000, 1000, "ms"),
        Row("blocks offline then", left),
    ]


if __name__ == "__main__":
    sys.exit(tell("many blocks", rows(number(BLOCKS))))
