# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/sys/kernel/osrelease, /proc/cmdline, /proc/uptime, and the xen balloon's sysctl.

osrelease               6.1.0-56-amd64
cmdline                 root=/dev/xvda1 ro quiet mem=512M
xen/balloon/hotplug_unpopulated   0     (only with CONFIG_XEN_BALLOON_MEMORY_HOTPLUG)
"""

from __future__ import annotations

from typing import Final

from agent.core.facts.memory_options import memory_options
from agent.core.facts.numbers import MalformedError, is_hundredths, shown
from agent.sources.outcome import Outcome, parsed
from agent.sources.system_root import SystemRoot

RELEASE_FILE: Final = "proc/sys/kernel/osrelease"
CMDLINE_FILE: Final = "proc/cmdline"
UPTIME_FILE: Final = "proc/uptime"
HOTPLUG_FILE: Final = "proc/sys/xen/balloon/hotplug_unpopulated"


def parse_switch(text: str) -> bool:
    """`0` or `1`.

    Raises:
        MalformedError: anything else.
    """
    switch = text.strip()
    if switch not in ("0", "1"):
        raise MalformedError("neither 0 nor 1")
    return switch == "1"


def parse_uptime(text: str) -> float:
    """Seconds since boot, the first of two numbers.

    Raises:
        MalformedError: it is not one.
    """
    seconds = text.partition(" ")[0]
    if not is_hundredths(seconds, 12):
        raise MalformedError(f"{shown(text)} does not begin with seconds")
    return float(seconds)


def read_uptime(root: SystemRoot) -> Outcome[float]:
    """Seconds since boot."""
    return parsed(root.read(UPTIME_FILE), parse_uptime)


def read_release(root: SystemRoot) -> Outcome[str]:
    """The kernel's release as it names itself."""
    return root.read_line(RELEASE_FILE, 128)


def read_memory_options(root: SystemRoot) -> Outcome[tuple[str, ...]]:
    """The memory options this kernel was booted with."""
    return parsed(root.read(CMDLINE_FILE, 64 * 1024), memory_options)


def read_hotplug_unpopulated(root: SystemRoot) -> Outcome[bool]:
    """Whether foreign pages get hot-added space; absent means: the balloon cannot hotplug."""
    return parsed(root.read(HOTPLUG_FILE), parse_switch)
