# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest has set aside for a crash kernel: memory that it owns and cannot use.

    /sys/kernel/kexec_crash_size    469762048                              (bytes)
    /proc/iomem                       63000000-7effffff : Crash kernel     (root only)
    /proc/cmdline                   crashkernel=1G-64G:448M

kernel/ksysfs.c, kernel/crash_reserve.c.  The first leaves out what is set aside low beside a high
one.  A PV kernel sets nothing aside, whatever its command line asks for (arch/x86/kernel/setup.c,
"Ignoring crashkernel for a Xen PV domain").
"""

from __future__ import annotations

import re
from typing import Final

from agent.core.facts.bounds import LARGEST_ADDRESS, LARGEST_KIB
from agent.core.facts.memory_options import crash_kernel_kib, crash_low_kib
from agent.core.facts.numbers import parse_decimal
from agent.core.facts.units import KIB
from agent.sources.iomem import FILE as IOMEM_FILE
from agent.sources.outcome import parsed
from agent.sources.system_root import LARGE_LIMIT_BYTES, SystemRoot

_SIZES: Final = range(2, LARGEST_ADDRESS + 1)  # a hidden range is one byte, at 0
SIZE_FILE: Final = "sys/kernel/kexec_crash_size"

_RANGE = re.compile(
    r"^ *([0-9a-f]{1,16})-([0-9a-f]{1,16}) : Crash kernel$", re.ASCII | re.MULTILINE
)


def parse_crash_ranges(iomem: str) -> int:
    """The sum of all ranges of the crash kernel, in KiB; 0 where addresses are hidden."""
    sizes = [int(end, 16) - int(start, 16) + 1 for start, end in _RANGE.findall(iomem)]
    return sum(size for size in sizes if size in _SIZES) // KIB


def read_crash_kernel(
    root: SystemRoot, options: tuple[str, ...], ram_kib: int | None, *, is_pv: bool
) -> int | None:
    """How much is set aside, in KiB; None where it cannot be told."""
    size_bytes = parsed(root.read(SIZE_FILE), parse_decimal).value
    if size_bytes == 0 or is_pv:
        return 0
    if size_bytes is None and not options:
        return None
    in_ranges_kib = parse_crash_ranges(root.read(IOMEM_FILE, LARGE_LIMIT_BYTES).value or "")
    if in_ranges_kib:
        return min(in_ranges_kib, LARGEST_KIB)
    if size_bytes is not None:
        low_kib = 0 if ram_kib is None else crash_low_kib(options, ram_kib)
        return min(size_bytes // KIB + low_kib, LARGEST_KIB)
    asked_kib = None if ram_kib is None else crash_kernel_kib(options, ram_kib)
    return None if asked_kib is None or asked_kib > (ram_kib or 0) else asked_kib
