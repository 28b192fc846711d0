# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/vmstat: how often the guest ran short of memory since it booted.

    pswpout 0
    allocstall_normal 12      (one for each zone; a single allocstall before Linux 4.10)
    oom_kill 0                (Linux 4.13 and later)

mm/vmstat.c.
"""

from __future__ import annotations

import re
from typing import Final

from agent.core.facts.numbers import MalformedError
from agent.core.findings.examination import VmCounters
from agent.sources.outcome import Outcome, parsed
from agent.sources.system_root import SystemRoot

FILE: Final = "proc/vmstat"
LIMIT_BYTES: Final = 64 * 1024

_COUNTER = re.compile(
    r"^(oom_kill|pswpout|allocstall[a-z0-9_]{0,20}) ([0-9]{1,20})$", re.ASCII | re.MULTILINE
)


def parse_vmstat(text: str) -> VmCounters:
    """The counters; one that this kernel does not have is 0.

    Raises:
        MalformedError: none of them is in it.
    """
    found = _COUNTER.findall(text)
    if not found:
        raise MalformedError("none of oom_kill, pswpout, allocstall in it")
    counters = {name: int(value) for name, value in found}
    return VmCounters(
        oom_kills=counters.get("oom_kill", 0),
        allocation_stalls=sum(n for name, n in counters.items() if name.startswith("allocstall")),
        swapped_out_pages=counters.get("pswpout", 0),
    )


def read_vmstat(root: SystemRoot) -> Outcome[VmCounters]:
    """/proc/vmstat below `root`."""
    return parsed(root.read(FILE, LIMIT_BYTES), parse_vmstat)
