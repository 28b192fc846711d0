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
from agent.sources.kernel_log import GROUP_CONSTRAINT, GROUP_KILL, KILL, read_kernel_log_text
from agent.sources.outcome import Outcome, parsed
from agent.sources.system_root import SystemRoot

MOST_REFUSALS: Final = 3

_STAMP: Final = r"^\[ *([0-9]{1,9}\.[0-9]{6})\][^\n]*"
_WAITING = re.compile(_STAMP + r"Waiting for initial ballooning down", re.ASCII | re.MULTILINE)
_FINISHED = re.compile(_STAMP + r"Initial ballooning down finished", re.ASCII | re.MULTILINE)
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
    """All of them; a log without any gives an empty value."""
    waiting, finished = _WAITING.search(text), _FINISHED.search(text)
    failed, crashed = _FAILED.search(text), _P2M_BUG.search(text)
    return KernelComplaints(
        boot_wait_s=float(finished[1]) - float(waiting[1]) if waiting and finished else None,
        boot_shortage_pages=int(failed[1]) if failed else None,
        refusals=tuple(dict.fromkeys(_REFUSED.findall(text)))[:MOST_REFUSALS],
        p2m_bug=crashed[1] if crashed else None,
        kills=text.count(KILL),
        group_kills=max(text.count(GROUP_KILL), text.count(GROUP_CONSTRAINT)),
    )


def read_kernel_complaints(root: SystemRoot) -> Outcome[KernelComplaints]:
    """What the log of this boot still holds."""
    return parsed(read_kernel_log_text(root), parse_kernel_complaints)
