# SPDX-License-Identifier: GPL-2.0-or-later
"""Examine: read what the doctor wants beyond a snapshot, and look again while time passes."""

from __future__ import annotations

from collections.abc import Callable

from agent.core.account.situation import understand
from agent.core.facts.snapshot import Snapshot
from agent.core.findings.examination import Examination, Look, Watch
from agent.sources.daemon_status import read_published_domid
from agent.sources.guest_keys import read_guest_keys
from agent.sources.kernel_complaints import read_kernel_complaints
from agent.sources.kernel_config import read_kernel_config
from agent.sources.os_release import read_os_release
from agent.sources.outcome import ABSENT, OK, Statuses
from agent.sources.processes import read_processes
from agent.sources.system_root import SystemRoot
from agent.sources.vmstat import read_vmstat
from agent.sources.xenstore.key_store import KeyStore

LOOK_EVERY_S = 0.5
A_MINUTE_S = 60.0
# A driver that found nothing to do looks again after a second (BP_WAIT), so two tell.
STEADY_S = 2.0


def examine(
    snapshot: Snapshot, root: SystemRoot, store: KeyStore, watch: Watch | None
) -> Examination:
    """Everything for the doctor; never raises for what a domain may lack."""
    took = Statuses(snapshot.sources)
    config = took.take("kernel-config", read_kernel_config(root))
    complaints = took.take("kernel-messages", read_kernel_complaints(root))
    counters = took.take("vmstat", read_vmstat(root))
    processes = took.take("processes", read_processes(root))
    keys = took.take("guest-keys", read_guest_keys(store))
    took.take("control-permissions", store.may_write("control"))
    published_domid = took.take("published-status", read_published_domid(root))
    took["minute-of-watching"] = _minute(watch)
    return Examination(
        situation=understand(snapshot),
        sources=took,
        config=config,
        complaints=complaints,
        counters=counters,
        processes=processes,
        keys=keys,
        published_domid=published_domid,
        watch=watch,
        distribution=took.take("os-release", read_os_release(root)),
    )


def watched(
    take: Callable[[], Snapshot], root: SystemRoot, wait: Callable[[float], None], seconds: float
) -> tuple[Snapshot, Watch | None]:
    """The last of several snapshots, and what changed between them.

    `take` takes a snapshot and `wait` lets so many seconds pass; both are the simulation's own
    for a simulated domain.  With 0 `seconds` it is one look and no watch.
    """
    snapshot = take()
    steps = round(seconds / LOOK_EVERY_S)
    if steps < 1:
        return snapshot, None
    looks = [_look(snapshot, root, 0.0)]
    for step in range(1, steps + 1):
        wait(LOOK_EVERY_S)
        snapshot = take()
        looks.append(_look(snapshot, root, step * LOOK_EVERY_S))
    return _motion_corrected(snapshot, looks), Watch(tuple(looks))


def _motion_corrected(snapshot: Snapshot, looks: list[Look]) -> Snapshot:
    """The snapshot with what the last looks say of motion: the driver may pause for a second."""
    late = {look.current_kib for look in looks if look.at_s >= looks[-1].at_s - STEADY_S}
    if snapshot.balloon is None or len(late) == 1:
        return snapshot
    return snapshot._replace(balloon=snapshot.balloon._replace(motion="moved"))


def _minute(watch: Watch | None) -> str:
    """Whether the watch was long enough for what shows in a minute."""
    if watch is None:
        return ABSENT
    return OK if watch.lasted_s >= A_MINUTE_S - LOOK_EVERY_S else "too short"


def _look(snapshot: Snapshot, root: SystemRoot, at_s: float) -> Look:
    balloon, memory = snapshot.balloon, snapshot.memory
    processes = read_processes(root).value
    return Look(
        at_s=at_s,
        current_kib=balloon.current_kib if balloon else None,
        target_kib=balloon.target_kib if balloon else None,
        host_target_kib=snapshot.host.target_kib,
        available_kib=memory.available_kib if memory else None,
        balloon_thread_s=processes.balloon_thread_s if processes else None,
        counters=read_vmstat(root).value,
    )
