# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/meminfo through psutil: the only module that knows psutil.

    MemTotal:         456048 kB
    MemFree:          382568 kB
    MemAvailable:     324488 kB
    SwapTotal:             0 kB

psutil knows the quirks of many kernels (no MemAvailable before 3.14, containers); its
`PROCFS_PATH` makes it read below another root.
"""

import os
from typing import Final

from agent.core.snapshot import MemoryReading
from agent.core.units import KIB
from agent.sources.outcome import OK, Outcome, malformed
from agent.sources.system_root import SystemRoot, status_of_error

FILE: Final = "proc/meminfo"
LIMIT_BYTES: Final = 64 * 1024


def read_meminfo(root: SystemRoot) -> Outcome[MemoryReading]:
    """The allocator's totals in KiB; looks first, so that psutil never meets a huge file."""
    text = root.read(FILE, LIMIT_BYTES)
    if text.value is None:
        return Outcome(None, text.status)
    import psutil  # noqa: PLC0415 - 20 ms that a command without memory figures does not pay

    before = psutil.PROCFS_PATH
    psutil.PROCFS_PATH = os.path.join(root.path, "proc")
    try:
        memory = psutil.virtual_memory()
    except OSError as error:
        return Outcome(None, status_of_error(error))
    except (KeyError, ValueError, IndexError) as error:
        return Outcome(None, malformed(f"psutil cannot read it: {error!r}"))
    finally:
        psutil.PROCFS_PATH = before
    swap = _swap_kib(text.value)
    return Outcome(
        MemoryReading(
            total_kib=memory.total // KIB,
            available_kib=memory.available // KIB,
            free_kib=memory.free // KIB,
            cached_kib=memory.cached // KIB,
            swap_total_kib=swap["SwapTotal"],
            swap_free_kib=swap["SwapFree"],
        ),
        OK,
    )


def _swap_kib(text: str) -> dict[str, int]:
    """SwapTotal and SwapFree.

    psutil.swap_memory() takes them from sysinfo(2): the live kernel's, whatever root is read.
    """
    swap = {"SwapTotal": 0, "SwapFree": 0}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        digits = value.split()[:1]
        if name in swap and digits and digits[0].isascii() and digits[0].isdigit():
            swap[name] = int(digits[0])
    return swap
