# SPDX-License-Identifier: GPL-2.0-or-later
"""What the doctor looks at beyond one snapshot: configuration, log, other agents, and time.

Each part is None where it could not be read; `Examination.sources` says why, with the words of
`Snapshot.sources`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from agent.core.account.driver import Driver
from agent.core.account.situation import Situation
from agent.core.facts.snapshot import Snapshot


class KernelConfig(NamedTuple):
    """What the kernel was built with; `source` is the file that told."""

    memory_hotplug: bool
    source: str


class KernelComplaints(NamedTuple):
    """What the kernel's log says of the balloon, beyond the figures of the boot.

    Attributes:
        boot_wait_s: how long the boot waited for the first ballooning-down, None if it did not.
        boot_shortage_pages: pages that were still to be freed when that wait was given up.
        refusals: messages about memory that could not be hot-added, the first few.
        p2m_bug: where in arch/x86/xen/p2m.c the kernel crashed, as `FILE:LINE`.
        kills: processes killed because all memory was used up, as far back as the log goes.
        group_kills: processes killed for a control group's own limit, while there was memory.
    """

    boot_wait_s: float | None = None
    boot_shortage_pages: int | None = None
    refusals: tuple[str, ...] = ()
    p2m_bug: str | None = None
    kills: int = 0
    group_kills: int = 0


class VmCounters(NamedTuple):
    """Counters of /proc/vmstat since boot."""

    oom_kills: int
    allocation_stalls: int
    swapped_out_pages: int


class Processes(NamedTuple):
    """The agents that run in this guest, and the CPU time of the balloon's kernel thread.

    `systemd`: whether it is what starts and stops them.
    """

    agents: tuple[str, ...]
    balloon_thread_s: float | None
    systemd: bool = False


class GuestKeys(NamedTuple):
    """What agents of this guest have published in xenstore.

    Attributes:
        meminfo_total_kib: data/meminfo_total.
        feature_balloon: whether control/feature-balloon is there.
        qubes_meminfo: whether memory/meminfo holds something, which enrols the guest in Qubes.
        control_writable: whether this domain may write below control/; None: not known.
    """

    meminfo_total_kib: int | None = None
    feature_balloon: bool = False
    qubes_meminfo: bool = False
    control_writable: bool | None = None


class Look(NamedTuple):
    """One of several looks at the same domain; KiB."""

    at_s: float
    current_kib: int | None
    target_kib: int | None
    host_target_kib: int | None
    available_kib: int | None
    balloon_thread_s: float | None
    counters: VmCounters | None


class Watch(NamedTuple):
    """Looks in the order of time, at least two."""

    looks: tuple[Look, ...]

    @property
    def lasted_s(self) -> float:
        return self.looks[-1].at_s - self.looks[0].at_s


class Distribution(NamedTuple):
    """ID and ID_LIKE of /etc/os-release."""

    name: str
    like: tuple[str, ...] = ()

    def is_of(self, family: str) -> bool:
        """Whether it is that distribution or descends from it."""
        return family == self.name or family in self.like


class Examination(NamedTuple):
    """All that is known when it is judged; `status` of a moment knows less than the doctor."""

    situation: Situation
    sources: Mapping[str, str]
    config: KernelConfig | None = None
    complaints: KernelComplaints | None = None
    counters: VmCounters | None = None
    processes: Processes | None = None
    keys: GuestKeys | None = None
    published_domid: int | None = None
    watch: Watch | None = None
    distribution: Distribution | None = None

    @property
    def snapshot(self) -> Snapshot:
        return self.situation.snapshot

    @property
    def driver(self) -> Driver | None:
        return self.situation.driver
