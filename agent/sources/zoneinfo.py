# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/zoneinfo: how many pages each zone spans, has, and manages.

    Node 0, zone    DMA32
      pages free     93654
            low      344
            spanned  258048
            present  258048
            managed  110028

mm/vmstat.c, zoneinfo_show_print; pages are the kernel's own.  Ballooned pages are present but
not managed; offline blocks are neither.
"""

from __future__ import annotations

from typing import Final

from agent.core.facts.bounds import LARGEST_KIB
from agent.core.facts.numbers import MalformedError
from agent.core.facts.pattern import Pattern
from agent.core.facts.snapshot import Zones
from agent.core.facts.units import PAGE_KIB
from agent.sources.outcome import Outcome, parsed
from agent.sources.system_root import LARGE_LIMIT_BYTES, SystemRoot

FILE: Final = "proc/zoneinfo"

_MOST_PAGES: Final = LARGEST_KIB // PAGE_KIB
_LOW = Pattern(r"(?m)^ +low +([0-9]{1,18})$")
_COUNT = Pattern(r"(?m)^ +(spanned|present|managed) +([0-9]{1,18})$")


def parse_zoneinfo(text: str) -> Zones:
    """The sums over all zones.

    Raises:
        MalformedError: a count is missing (`managed` is there since Linux 3.9).
    """
    sums: dict[str, int] = {}
    for name, count in _COUNT.findall(text):
        sums[name] = sums.get(name, 0) + int(count)
    try:
        zones = Zones(sums["spanned"], sums["present"], sums["managed"])
    except KeyError as missing:
        raise MalformedError(f"no {missing.args[0]!r} line in it") from None
    if max(zones) > _MOST_PAGES:
        raise MalformedError("more pages than a machine could have")
    return zones


def low_watermark_pages(text: str) -> int:
    """The sum of all zones' low watermarks: what is free below them is not handed out lightly."""
    return sum(map(int, _LOW.findall(text)))


def read_zoneinfo(root: SystemRoot) -> Outcome[Zones]:
    """/proc/zoneinfo below `root`."""
    return parsed(root.read(FILE, LARGE_LIMIT_BYTES), parse_zoneinfo)
