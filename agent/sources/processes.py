# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/PID/stat: which Xen agents run in this guest, and what the balloon's thread costs.

    36 (xen-balloon) S 2 0 0 0 -1 2129984 0 0 0 0 0 12 0 0 20 0 1 0 231 ...
                                                  ^utime ^stime, in 1/100 s

fs/proc/array.c, do_task_stat.  Nothing is kept of any other process.
"""

from __future__ import annotations

import re
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
    seen = False
    agents: dict[int, Stat] = {}
    thread_s: float | None = None
    systemd = False
    for number in [name for name in names.value if is_number(name)][:MOST_PROCESSES]:
        found = parse_stat(root.read(f"{DIRECTORY}/{number}/stat").value or "")
        if found is None:
            continue  # it ended meanwhile
        seen = True
        systemd = systemd or (number == _INIT and found.name == "systemd")
        if found.name == BALLOON_THREAD:
            thread_s = found.cpu_s
        elif found.name in AGENTS and _stays(root, number, found):
            agents[int(number)] = found
    if not seen:
        return Outcome(None, ABSENT)
    # A child that has not become another program yet carries its parent's name.
    own = [
        stat.name
        for stat in agents.values()
        if stat.parent not in agents or agents[stat.parent].name != stat.name
    ]
    return Outcome(Processes(tuple(sorted(own)), thread_s, systemd), OK)


def _stays(root: SystemRoot, number: str, stat: Stat) -> bool:
    """Whether it is an agent and not one of our own commands, such as this one."""
    if stat.name != OURSELVES:
        return True
    words = (root.read(f"{DIRECTORY}/{number}/cmdline").value or "").split("\0")
    return DAEMON in words


def process_files(root: SystemRoot) -> list[str]:
    """The stat files of the known agents and of the balloon's thread, for a capture."""
    paths = [f"{DIRECTORY}/{n}/stat" for n in root.names(DIRECTORY).value or () if is_number(n)]
    wanted = AGENTS | {BALLOON_THREAD, "systemd"}
    found = [(path, parse_stat(root.read(path).value or "")) for path in paths[:MOST_PROCESSES]]
    return [path for path, stat in found if stat is not None and stat.name in wanted]
