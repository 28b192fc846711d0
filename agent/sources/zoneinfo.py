# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/zoneinfo: how many pages each zone spans, has, and manages.

    Node 0, zone    DMA32
      pages free     93654
            spanned  258048
            present  258048
            managed  110028

mm/vmstat.c, zoneinfo_show_print; pages are the kernel's own.  Ballooned pages are present but
not managed; offline blocks are neither.
"""

from __future__ import annotations

import re
from typing import Final

from agent.core.facts.snapshot import Zones
from agent.sources.outcome import MalformedError, Outcome, parsed
from agent.sources.system_root import LARGE_LIMIT_BYTES, SystemRoot

FILE: Final = "proc/zoneinfo"

_COUNT = re.compile(r"^ +(spanned|present|managed) +([0-9]{1,18})$", re.ASCII | re.MULTILINE)


def parse_zoneinfo(text: str) -> Zones:
    """The sums over all zones.

    Raises:
        MalformedError: a count is missing (`managed` is there since Linux 3.9).
    """
    sums: dict[str, int] = {}
    for name, count in _COUNT.findall(text):
        sums[name] = sums.get(name, 0) + int(count)
    try:
        return Zones(sums["spanned"], sums["present"], sums["managed"])
    except KeyError as missing:
        raise MalformedError(f"no {missing.args[0]!r} line in it") from None


def read_zoneinfo(root: SystemRoot) -> Outcome[Zones]:
    """/proc/zoneinfo below `root`."""
    return parsed(root.read(FILE, LARGE_LIMIT_BYTES), parse_zoneinfo)
