# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/swaps: how much of the swap lies in memory itself (zram), and so makes none free.

    Filename        Type            Size            Used            Priority
    /dev/zram0      partition       1048572         2048            100
    /dev/xvda2      partition       2097148         0               -2

mm/swapfile.c, swap_show; KiB.
"""

from __future__ import annotations

import re
from typing import Final

from agent.core.facts.bounds import LARGEST_KIB
from agent.sources.outcome import Outcome, parsed
from agent.sources.system_root import SystemRoot

FILE: Final = "proc/swaps"
LIMIT_BYTES: Final = 64 * 1024

_ZRAM = re.compile(
    r"^/dev/zram[0-9]{1,4}[ \t]+partition[ \t]+([0-9]{1,15})[ \t]+([0-9]{1,15})[ \t]",
    re.ASCII | re.MULTILINE,
)


def parse_zram_free_kib(text: str) -> int:
    """What is free on all swap devices that are compressed memory, in KiB."""
    free_kib = sum(max(0, int(size) - int(used)) for size, used in _ZRAM.findall(text))
    return min(free_kib, LARGEST_KIB)


def zram_lines(text: str) -> str:
    """The file with nothing in it that names a disk of this guest."""
    return "".join(line for line in text.splitlines(True) if line.startswith("/dev/zram"))


def read_zram_free_kib(root: SystemRoot) -> Outcome[int]:
    """The same, below `root`."""
    return parsed(root.read(FILE, LIMIT_BYTES), parse_zram_free_kib)
