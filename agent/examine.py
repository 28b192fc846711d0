# SPDX-License-Identifier: GPL-2.0-or-later
"""Examine: read what the doctor wants beyond a snapshot, and look again while time passes."""

from collections.abc import Callable

from agent.core.examination import Examination, Look, Watch
from agent.core.situation import understand
from agent.core.snapshot import Snapshot
from agent.sources.daemon_status import read_published_domid
from agent.sources.guest_keys import read_control_writable, read_guest_keys
from agent.sources.kernel_complaints import read_kernel_complaints
from agent.sources.kernel_config import read_kernel_config
from agent.sources.key_store import KeyStore
from agent.sources.outcome import ABSENT, OK
from agent.sources.processes import read_processes
from agent.sources.system_root import SystemRoot
from agent.sources.vmstat import read_vmstat

LOOK_EVERY_S = 0.5
A_MINUTE_S = 60.0
# A driver that found nothing to do looks again after a second (BP_WAIT), so two tell.
STEADY_S = 2.0


def examine(
    snapshot: Snapshot, root: SystemRoot, store: KeyStore, watch: Watch | None
) -> Examination:
    """Everything for the doctor; never raises for what a domain may lack."""
    config = read_kernel_config(root)
    complaints = read_kernel_complaints(root)
    counters = read_vmstat(root)
    processes = read_processes(root)
    keys = read_guest_keys(store)
    published = read_published_domid(root)
    return Examination(
        situation=understand(snapshot),
        sources={
            **snapshot.sources,
            "kernel-config": config.status,
            "kernel-messages": complaints.status,
            "vmstat": counters.status,
            "processes": processes.status,
            "guest-keys": keys.status,
            "control-permissions": read_control_writable(store).status,
            "published-status": published.status,
            "minute-of-watching": _minute(watch),
        },
        config=config.value,
        complaints=complaints.value,
        counters=counters.value,
        processes=processes.value,
        keys=keys.value,
        published_domid=published.value,
        watch=watch,
    )


def watched(
    take: Callable[[], Snapshot],
    root: SystemRoot,
    wait: Callable[[float], None],
    seconds: float,
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
