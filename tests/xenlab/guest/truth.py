# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the kernel's files itself, without any code of the agent, to compare the agent with.

`python3 -m tests.xenlab.guest.truth [SECONDS]` prints one JSON object. With SECONDS it first waits,
at most that long, until the balloon is at rest: its size the same for a while, a longer one if it
is not at its target.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any, Final

BALLOON: Final = "/sys/devices/system/xen_memory/xen_memory0"
MEMMAP: Final = "/sys/firmware/memmap"
BLOCKS: Final = "/sys/devices/system/memory"
POLL_S: Final = 0.1
REST_POLLS: Final = 10
OFF_TARGET_REST_POLLS: Final = 60
"""Growing by hot-added memory pauses for 1.5 s, a refused request for up to 8 s. Polls are counted
rather than seconds, for on a busy machine a guest may stand still for seconds at a time."""


def _text(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def _number(path: str) -> int:
    return int(_text(path))


def _meminfo() -> dict[str, int]:
    rows = (line.split() for line in _text("/proc/meminfo").splitlines())
    return {row[0].rstrip(":"): int(row[1]) for row in rows}


def _ram_kib() -> int:
    total = 0
    for entry in os.listdir(MEMMAP):
        if _text(f"{MEMMAP}/{entry}/type") == "System RAM":
            start, end = (int(_text(f"{MEMMAP}/{entry}/{name}"), 16) for name in ("start", "end"))
            total += end + 1 - start
    return total // 1024


def _offline_kib() -> int:
    size = int(_text(f"{BLOCKS}/block_size_bytes"), 16) // 1024
    states = [
        _text(f"{BLOCKS}/{name}/state")
        for name in os.listdir(BLOCKS)
        if name.startswith("memory") and name[6:].isdigit()
    ]
    return states.count("offline") * size


def _xenstore(key: str) -> str | None:
    done = subprocess.run(["xenstore-read", key], capture_output=True, text=True, check=False)
    return done.stdout.rstrip("\n") if done.returncode == 0 else None


def balloon() -> tuple[int, int]:
    """Return the current size and the target, in KiB."""
    return _number(f"{BALLOON}/info/current_kb"), _number(f"{BALLOON}/target_kb")


def wait_for_rest(at_most_s: float) -> bool:
    """Wait until the balloon rests; tell whether it does."""
    end = time.monotonic() + at_most_s
    last = balloon()
    unchanged = 0
    while time.monotonic() < end:
        time.sleep(POLL_S)
        now = balloon()
        unchanged = unchanged + 1 if now == last else 0
        last = now
        current, target = now
        if unchanged >= (REST_POLLS if current == target else OFF_TARGET_REST_POLLS):
            return True
    return False


def read() -> dict[str, Any]:
    """Return what the kernel and xenstore say now; sizes are KiB."""
    current, target = balloon()
    memory = _meminfo()
    return {
        "current_kib": current,
        "target_kib": target,
        "ballooned_kib": _number(f"{BALLOON}/info/low_kb") + _number(f"{BALLOON}/info/high_kb"),
        "ram_kib": _ram_kib(),
        "offline_kib": _offline_kib(),
        "mem_total_kib": memory["MemTotal"],
        "mem_available_kib": memory["MemAvailable"],
        "guest_type": _text("/sys/hypervisor/guest_type"),
        "kernel": os.uname().release,
        "xenstore_target": _xenstore("memory/target"),
        "xenstore_static_max": _xenstore("memory/static-max"),
    }


def main(arguments: list[str]) -> None:
    """Print the truth, after a rest if asked for one."""
    rested = wait_for_rest(float(arguments[0])) if arguments else None
    print(json.dumps(read() | {"rested": rested}))


if __name__ == "__main__":
    main(sys.argv[1:])
