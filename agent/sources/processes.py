# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/PID/stat: which Xen agents run in this guest, and what the balloon's thread costs.

    36 (xen-balloon) S 2 0 0 0 -1 2129984 0 0 0 0 0 12 0 0 20 0 1 0 231 ...
                                                  ^utime ^stime, in 1/100 s

fs/proc/array.c, do_task_stat.  Nothing is kept of any other process.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from agent.core.facts.numbers import is_number
from agent.core.findings.examination import Processes
from agent.sources.outcome import ABSENT, OK, Outcome
from agent.sources.system_root import SystemRoot

DIRECTORY: Final = "proc"
MOST_PROCESSES: Final = 100_000
# The kernel cuts a name after 15 characters; all of these fit.
OURSELVES: Final = "balloon-agent"
DAEMON: Final = "run"  # the command that stays
AGENTS: Final = frozenset(
    {"xe-daemon", "xen-guest-agent", "meminfo-writer", "xenballoond", OURSELVES}
)
BALLOON_THREAD: Final = "xen-balloon"
_INIT: Final = "1"
_TICKS_PER_S: Final = 100  # USER_HZ, what the kernel shows to user space on every architecture used

_STAT = re.compile(
    r"[0-9]{1,10} \((.{0,64})\) [A-Za-z] ([0-9]{1,10})(?: -?[0-9]{1,20}){9} "
    r"([0-9]{1,20}) ([0-9]{1,20}) ",
    re.ASCII | re.DOTALL,
)


class Stat(NamedTuple):
    """What is used of a stat line."""

    name: str
    parent: int
    cpu_s: float


def parse_stat(text: str) -> Stat | None:
    """The fields of a stat line; None when it is not one."""
    match = _STAT.match(text)
    if match is None:
        return None
    return Stat(match[1], int(match[2]), (int(match[3]) + int(match[4])) / _TICKS_PER_S)


def read_processes(root: SystemRoot) -> Outcome[Processes]:
    """One pass over all processes; absent when /proc lists none, as in a capture."""
    names = root.names(DIRECTORY)
    if names.value is None:
        return Outcome(None, names.status)
    found = dict(_stats(root, names.value))
    if not found:
        return Outcome(None, ABSENT)
    agents = {int(number): stat for number, stat in found.items() if _stays(root, number, stat)}
    threads_s = [stat.cpu_s for stat in found.values() if stat.name == BALLOON_THREAD]
    systemd = _INIT in found and found[_INIT].name == "systemd"
    # A child that has not become another program yet carries its parent's name.
    own = [
        stat.name
        for stat in agents.values()
        if stat.parent not in agents or agents[stat.parent].name != stat.name
    ]
    thread_s = threads_s[-1] if threads_s else None
    return Outcome(Processes(tuple(sorted(own)), thread_s, systemd), OK)


def _stats(root: SystemRoot, names: tuple[str, ...]) -> Iterator[tuple[str, Stat]]:
    """Every process of these names of /proc, by its number; one that ended meanwhile is none."""
    for number in [name for name in names if is_number(name)][:MOST_PROCESSES]:
        stat = parse_stat(root.read(f"{DIRECTORY}/{number}/stat").value or "")
        if stat is not None:
            yield number, stat


def _stays(root: SystemRoot, number: str, stat: Stat) -> bool:
    """Whether it is an agent and not one of our own commands, such as this one."""
    if stat.name != OURSELVES:
        return stat.name in AGENTS
    return DAEMON in (root.read(f"{DIRECTORY}/{number}/cmdline").value or "").split("\0")


def process_files(root: SystemRoot) -> list[str]:
    """The stat files of the known agents and of the balloon's thread, for a capture."""
    wanted = AGENTS | {BALLOON_THREAD, "systemd"}
    stats = _stats(root, root.names(DIRECTORY).value or ())
    return [f"{DIRECTORY}/{number}/stat" for number, stat in stats if stat.name in wanted]
