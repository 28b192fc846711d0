# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/meminfo: what the kernel's allocator has.

    MemTotal:         456048 kB
    MemFree:          382568 kB
    MemAvailable:     324488 kB        (Linux 3.14 and later)
    SwapTotal:             0 kB
    HugePages_Total:       0
    Hugepagesize:       2048 kB

Where MemAvailable is missing, or 0 as some containers show it, psutil is asked of the running
kernel if it is installed; without it, and below another root, it is worked out as the kernel does
(mm/page_alloc.c, si_mem_available; 34e431b0ae39), from /proc/zoneinfo's low watermarks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from agent.core.facts.bounds import is_size
from agent.core.facts.numbers import MalformedError, is_digits
from agent.core.facts.snapshot import MemoryReading
from agent.core.facts.units import KIB, pages_to_kib
from agent.sources.outcome import Outcome, parsed
from agent.sources.system_root import LARGE_LIMIT_BYTES, SystemRoot
from agent.sources.zoneinfo import FILE as ZONEINFO_FILE
from agent.sources.zoneinfo import low_watermark_pages

FILE: Final = "proc/meminfo"
LIMIT_BYTES: Final = 64 * 1024

Sizes = dict[str, int]


def read_meminfo(root: SystemRoot) -> Outcome[MemoryReading]:
    """The allocator's totals, MemAvailable estimated where the kernel does not tell it."""
    return parsed(
        root.read(FILE, LIMIT_BYTES),
        lambda text: parse_meminfo(
            text, lambda sizes: _by_psutil(root) or _estimate_kib(root, sizes)
        ),
    )


def _none_told(_sizes: Sizes) -> int:
    raise MalformedError("no MemAvailable in it")


def parse_meminfo(text: str, available_kib: Callable[[Sizes], int] = _none_told) -> MemoryReading:
    """The totals; `available_kib` is asked where the text does not tell what is available.

    Raises:
        MalformedError: a line is missing, or the sizes make no sense.
    """
    sizes = _sizes(text)
    return _reading(sizes, sizes.get("MemAvailable") or available_kib(sizes))


def _sizes(text: str) -> Sizes:
    """Every line that has a number, by its name."""
    if not text:
        raise MalformedError("empty")
    sizes = {}
    for line in text.split("\n"):
        name, _, size = line.partition(":")
        digits = size.lstrip(" \t").removesuffix(" kB")
        if is_digits(digits):
            sizes[name] = int(digits)
    for name in ("MemTotal", "MemFree"):
        if name not in sizes:
            raise MalformedError(f"no {name} in it")
    return sizes


def _reading(sizes: Sizes, available_kib: int) -> MemoryReading:
    """The reading, if its sizes go together."""
    total_kib, free_kib = sizes["MemTotal"], sizes["MemFree"]
    huge_kib = sizes.get("Hugepagesize", 0)
    if available_kib > total_kib:
        available_kib = free_kib  # as some containers have it
    reading = MemoryReading(
        total_kib=total_kib,
        available_kib=available_kib,
        free_kib=free_kib,
        cached_kib=sizes.get("Cached", 0) + sizes.get("SReclaimable", 0),
        swap_total_kib=sizes.get("SwapTotal", 0),
        swap_free_kib=sizes.get("SwapFree", 0),
        # "Hugetlb" (Linux 4.16) counts the huge pages of every size, the others one size alone.
        hugetlb_kib=sizes.get("Hugetlb", sizes.get("HugePages_Total", 0) * huge_kib),
        hugetlb_free_kib=sizes.get("HugePages_Free", 0) * huge_kib,
        buffers_kib=sizes.get("Buffers", 0),
        reclaimable_kib=sizes.get("SReclaimable", 0),
    )
    bounded = is_size(reading.cached_kib) and is_size(reading.swap_total_kib)
    if not bounded or not total_kib > 0 or not is_size(total_kib) or free_kib > total_kib:
        raise MalformedError("its sizes do not go together")
    if reading.swap_free_kib > reading.swap_total_kib or not is_size(reading.buffers_kib):
        raise MalformedError("its sizes do not go together")
    if not reading.hugetlb_free_kib <= reading.hugetlb_kib <= total_kib:
        raise MalformedError("its sizes do not go together")
    return reading


def _by_psutil(root: SystemRoot) -> int | None:
    """What psutil makes of the running kernel, where it is installed.

    It knows the quirks of containers.  Never of another root: it opens what it finds there, a FIFO
    like a file.
    """
    if not root.is_live:
        return None
    try:
        import psutil  # noqa: PLC0415 - it costs 1.3 MiB, and hardly a kernel needs it
    except ImportError:
        return None
    try:
        return psutil.virtual_memory().available // KIB
    except (OSError, ValueError, KeyError, IndexError, ArithmeticError):
        return None


def _estimate_kib(root: SystemRoot, sizes: Sizes) -> int:
    """What could be used without swapping: free memory, and cache, less what must stay.

    The page is that of the kernels without MemAvailable that Xen runs: 4 KiB.
    """
    zoneinfo = root.read(ZONEINFO_FILE, LARGE_LIMIT_BYTES)
    if not zoneinfo.value:
        raise MalformedError(f"no MemAvailable in it, and no {ZONEINFO_FILE} for an estimate")
    low_kib = pages_to_kib(low_watermark_pages(zoneinfo.value))
    cache_kib = sizes.get("Active(file)", 0) + sizes.get("Inactive(file)", 0)
    slab_kib = sizes.get("SReclaimable", 0)
    usable_kib = sum(part - min(part // 2, low_kib) for part in (cache_kib, slab_kib))
    return min(max(0, sizes["MemFree"] - low_kib + usable_kib), sizes["MemTotal"])
