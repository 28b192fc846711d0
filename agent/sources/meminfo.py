# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/meminfo through psutil: the only module that knows psutil.

    MemTotal:         456048 kB
    MemFree:          382568 kB
    MemAvailable:     324488 kB
    SwapTotal:             0 kB

psutil knows the quirks of many kernels (no MemAvailable before 3.14, containers); its
`PROCFS_PATH` makes it read below another root.  It costs 1.3 MiB of memory for as long as a process
lives, so the daemon reads the file itself and asks psutil only where a line is missing.
"""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from typing import Final

from agent.core.facts.snapshot import MemoryReading
from agent.core.facts.units import KIB
from agent.sources.outcome import OK, MalformedError, Outcome, malformed
from agent.sources.system_root import LARGE_LIMIT_BYTES, SystemRoot, status_of_error
from agent.sources.zoneinfo import FILE as ZONEINFO_FILE

FILE: Final = "proc/meminfo"
LIMIT_BYTES: Final = 64 * 1024

_AVAILABLE = re.compile(r"^MemAvailable:\s+0*[1-9]", re.ASCII | re.MULTILINE)
_LINE = re.compile(r"^([A-Za-z]{1,32}): {0,32}([0-9]{1,15}) kB$", re.ASCII | re.MULTILINE)


def parse_meminfo(text: str) -> MemoryReading:
    """The totals as a kernel since 3.14 prints them, MemAvailable included.

    Raises:
        MalformedError: a line is missing, or the sizes make no sense.
    """
    sizes_kib = {name: int(size) for name, size in _LINE.findall(text)}
    try:
        reading = MemoryReading(
            total_kib=sizes_kib["MemTotal"],
            available_kib=sizes_kib["MemAvailable"],
            free_kib=sizes_kib["MemFree"],
            cached_kib=sizes_kib.get("Cached", 0) + sizes_kib.get("SReclaimable", 0),
            swap_total_kib=sizes_kib.get("SwapTotal", 0),
            swap_free_kib=sizes_kib.get("SwapFree", 0),
        )
    except KeyError as missing:
        raise MalformedError(f"no {missing.args[0]} in it") from None
    if not 0 < reading.available_kib <= reading.total_kib or reading.free_kib > reading.total_kib:
        raise MalformedError("its sizes do not go together")
    return reading


def read_meminfo_lean(root: SystemRoot) -> Outcome[MemoryReading]:
    """As `read_meminfo`, without psutil where every line needed is there."""
    text = root.read(FILE, LIMIT_BYTES)
    if text.value is not None:
        with contextlib.suppress(MalformedError):
            return Outcome(parse_meminfo(text.value), OK)
    return read_meminfo(root)


def read_meminfo(root: SystemRoot) -> Outcome[MemoryReading]:
    """The allocator's totals in KiB; looks first, so that psutil never meets a huge file."""
    text = root.read(FILE, LIMIT_BYTES)
    if text.value is None:
        return Outcome(None, text.status)
    obstacle = _obstacle_for_psutil(root, text.value)
    if obstacle is not None:
        return Outcome(None, malformed(obstacle))
    import psutil  # noqa: PLC0415 - 20 ms that a command without memory figures does not pay

    before = psutil.PROCFS_PATH
    psutil.PROCFS_PATH = os.path.join(root.path, "proc")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # fields that are not there read as 0
            memory = psutil.virtual_memory()
    except OSError as error:
        return Outcome(None, status_of_error(error))
    except (KeyError, ValueError, IndexError) as error:
        return Outcome(None, malformed(f"psutil cannot read it: {error!r}"))
    finally:
        psutil.PROCFS_PATH = before
    swap = _swap_kib(text.value)
    reading = MemoryReading(
        total_kib=memory.total // KIB,
        available_kib=memory.available // KIB,
        free_kib=memory.free // KIB,
        cached_kib=memory.cached // KIB,
        swap_total_kib=swap["SwapTotal"],
        swap_free_kib=swap["SwapFree"],
    )
    if not 0 <= reading.free_kib <= reading.total_kib < 1 << 54:
        return Outcome(None, malformed("MemFree is more than MemTotal, or they are no sizes"))
    return Outcome(reading, OK)


def _obstacle_for_psutil(root: SystemRoot, text: str) -> str | None:
    """Why psutil must not look by itself: it would wait at a FIFO and follow a way out."""
    if not text:
        return "empty"
    if root.is_live or _AVAILABLE.search(text):
        return None
    zoneinfo = root.read(ZONEINFO_FILE, LARGE_LIMIT_BYTES)  # psutil's estimate opens it
    if zoneinfo.value == "" or zoneinfo.status.startswith("malformed"):
        return f"no MemAvailable in it, and {ZONEINFO_FILE} cannot be read for an estimate"
    return None


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
