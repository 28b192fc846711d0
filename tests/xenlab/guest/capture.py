# SPDX-License-Identifier: GPL-2.0-or-later
"""Captures what a domain shows of its memory, in the layout that `balloon-agent --root` reads.

`python3 -m tests.xenlab.guest.capture [--once-moving SECONDS]` writes a tar.gz to standard output:

    sys/... proc/...        as root reads them
    nonroot/proc/iomem      as an ordinary user reads it
    xenstore/KEY            the domain's own keys, those about memory and about itself
    kernel.log              the kernel's messages

With --once-moving it reads when the balloon starts to move, so that the files disagree with each
other the way an agent meets them. Runs in guests and in dom0.
"""

from __future__ import annotations

import contextlib
import glob
import io
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from typing import Final

from tests.xenlab.guest.channel import NOBODY
from tests.xenlab.guest.truth import balloon
from tests.xenlab.guest.xenbus import XenBus

TREES: Final = (
    "/sys/devices/system/xen_memory",
    "/sys/firmware/memmap",
    "/sys/hypervisor",
    "/proc/sys/xen",
)
FILES: Final = (
    "/proc/iomem", "/proc/meminfo", "/proc/zoneinfo", "/proc/vmstat", "/proc/pressure/memory",
    "/proc/cmdline", "/proc/cpuinfo", "/proc/uptime", "/proc/version",
    "/proc/sys/kernel/osrelease", "/proc/xen/capabilities", "/run/balloon-agent/boot.json",
    "/sys/devices/system/memory/auto_online_blocks",
    "/sys/devices/system/memory/block_size_bytes",
    "/sys/devices/system/memory/memory[0-9]*/phys_index",
    "/sys/devices/system/memory/memory[0-9]*/state",
    "/sys/devices/system/memory/memory[0-9]*/valid_zones",
    "/sys/devices/system/node/online", "/sys/devices/system/node/node0/meminfo",
    "/sys/class/dmi/id/bios_vendor", "/sys/class/dmi/id/product_name",
    "/sys/class/dmi/id/sys_vendor", "/sys/module/xen/parameters/balloon_boot_timeout",
    "/sys/module/memory_hotplug/parameters/memmap_on_memory",
    "/sys/module/memory_hotplug/parameters/online_policy",
)  # fmt: skip
KEYS: Final = (
    "attr", "control", "cpu", "data", "domid", "drivers", "error", "feature", "memory", "name",
    "vm",
)  # fmt: skip
MOVING_FOR_S: Final = 0.05
"""Growing by half a GiB takes less than a second."""


def _paths() -> Iterator[str]:
    for root in TREES:
        for folder, folders, names in os.walk(root):
            folders[:] = sorted(name for name in folders if name != "power")
            yield from (f"{folder}/{name}" for name in sorted(names))
    for pattern in FILES:
        yield from sorted(glob.glob(pattern))


def _read(path: str) -> bytes | None:
    with contextlib.suppress(OSError), open(path, "rb", buffering=0) as file:
        return b"".join(iter(lambda: file.read(1 << 16), b""))
    return None


def _as_ordinary_user(path: str) -> bytes:
    return subprocess.run(
        ["cat", path], user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, check=False
    ).stdout


def _keys(bus: XenBus, key: str) -> Iterator[tuple[str, bytes]]:
    children = bus.children(key)
    for child in children:
        yield from _keys(bus, f"{key}/{child}")
    value = None if children else bus.read(key)
    if value is not None:
        yield f"xenstore/{key}", value


def _wait_until_moving(at_most_s: float) -> None:
    end = time.monotonic() + at_most_s
    while time.monotonic() < end:
        current, target = balloon()
        if current != target:
            time.sleep(MOVING_FOR_S)
            return
        time.sleep(0.005)


def collect(once_moving_s: float | None = None) -> dict[str, bytes]:
    """Return the contents of a capture by its paths.

    Args:
        once_moving_s: wait at most so long for the balloon to move, then read.
    """
    found: dict[str, bytes] = {}
    paths = list(_paths())
    if once_moving_s is not None:
        _wait_until_moving(once_moving_s)
    for path in paths:
        content = _read(path)
        if content is not None:
            found[path.lstrip("/")] = content
    found["nonroot/proc/iomem"] = _as_ordinary_user("/proc/iomem")
    with XenBus() as bus:
        for key in KEYS:
            found.update(_keys(bus, key))
    found["kernel.log"] = subprocess.run(["dmesg"], capture_output=True, check=False).stdout
    return found


def main(arguments: list[str]) -> None:
    """Write the archive."""
    once_moving_s = float(arguments[1]) if arguments[:1] == ["--once-moving"] else None
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|gz") as archive:
        for path, content in collect(once_moving_s).items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


if __name__ == "__main__":
    main(sys.argv[1:])
