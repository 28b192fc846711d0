# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel's log says when the balloon does not get what it wants.

    [    5.000000] xen:balloon: Waiting for initial ballooning down having finished.
    [    5.100000] xen:balloon: Initial ballooning down finished.
    xen:balloon: Initial ballooning failed, 1234 pages need to be freed.
    xen:balloon: Cannot add additional memory (-17)
    xen:balloon: reserve_additional_memory: add_memory() failed: -17        (3.13 to 4.4)
    xen:balloon: Cannot allocate new System RAM resource
    System RAM resource [mem 0x...-0x...] cannot be added
    kernel BUG at /home/user/linux-3.7.6/arch/x86/xen/p2m.c:545!
    Memory cgroup out of memory: Killed process 7777 (node) total-vm:1200000kB, ...

drivers/xen/balloon.c, mm/memory_hotplug.c, mm/oom_kill.c.
"""

from __future__ import annotations

import re
from typing import Final

from agent.core.findings.examination import KernelComplaints
from agent.sources.kernel_log import (
    GROUP_CONSTRAINT,
    GROUP_KILLS,
    KILLS,
    of_last_boot,
    read_kernel_log_text,
)
from agent.sources.outcome import Outcome, parsed
from agent.sources.system_root import SystemRoot

MOST_REFUSALS: Final = 3

_WAITING: Final = "Waiting for initial ballooning down"
_FINISHED: Final = "Initial ballooning down finished"
_STAMP = re.compile(
    r"\[ *([0-9]{1,9}\.[0-9]{6})\]"
    r"|\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9]?[0-9] ([0-9]{2}):([0-9]{2}):([0-9]{2}) [0-9]{4}\]",
    re.ASCII,
)  # dmesg, and dmesg -T; what syslog and the journal write before a line is when they got it
_DAY_S: Final = 86400
_FAILED = re.compile(r"Initial ballooning failed, ([0-9]{1,15}) pages need to be freed", re.ASCII)
_REFUSED = re.compile(
    r"Cannot add additional memory \(-[0-9]{1,4}\)|Cannot allocate new System RAM resource"
    r"|add_memory\(\) failed: -[0-9]{1,4}"
    r"|System RAM resource \[mem [^\]\n]{1,60}\] cannot be added",
    re.ASCII,
)
# The path is that of the machine the kernel was built on (qubes-issues 733), or relative.
_P2M_BUG = re.compile(
    r"kernel BUG at (?:/[^\n:]{0,200}/)?(arch/x86/xen/p2m\.c:[0-9]{1,6})", re.ASCII
)


def parse_kernel_complaints(text: str) -> KernelComplaints:
    """All of them, of the last boot; a log without any gives an empty value."""
    text = of_last_boot(text)
    failed, crashed = _FAILED.search(text), _P2M_BUG.search(text)
    return KernelComplaints(
        boot_wait_s=_wait_s(text),
        boot_shortage_pages=int(failed[1]) if failed else None,
        refusals=tuple(dict.fromkeys(_REFUSED.findall(text)))[:MOST_REFUSALS],
        p2m_bug=crashed[1] if crashed else None,
        kills=sum(text.count(words) for words in KILLS),
        group_kills=max(sum(text.count(w) for w in GROUP_KILLS), text.count(GROUP_CONSTRAINT)),
    )


def _wait_s(text: str) -> float | None:
    """How long the boot was held; None where it was not, or the lines do not tell when."""
    waiting, finished = _stamp_of(text, _WAITING), _stamp_of(text, _FINISHED)
    if waiting is None or finished is None or bool(waiting[1]) != bool(finished[1]):
        return None
    if waiting[1]:
        wait_s = float(finished[1]) - float(waiting[1])
        return wait_s if wait_s >= 0 else None
    return (_of_the_day_s(finished) - _of_the_day_s(waiting)) % _DAY_S


def _of_the_day_s(stamp: re.Match[str]) -> float:
    hours, minutes, seconds = map(float, stamp.groups()[1:])
    return hours * 3600 + minutes * 60 + seconds


def _stamp_of(text: str, words: str) -> re.Match[str] | None:
    """The first stamp of the line in which the kernel says that."""
    found_at = text.find(words)
    line_at = text.rfind("\n", 0, found_at) + 1
    return _STAMP.search(text, line_at, found_at) if found_at >= 0 else None


def read_kernel_complaints(root: SystemRoot) -> Outcome[KernelComplaints]:
    """What the log of this boot still holds."""
    return parsed(read_kernel_log_text(root), parse_kernel_complaints)
