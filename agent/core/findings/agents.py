# SPDX-License-Identifier: GPL-2.0-or-later
"""The doctor's rules about the agents of this guest and what they tell the host."""

from __future__ import annotations

from typing import Final

from agent.core.facts.units import MIB_KIB, format_kib
from agent.core.findings.examination import Examination
from agent.core.findings.finding import Finding
from agent.core.findings.host_commands import host_name_of

_UNITS: Final = {
    "xe-daemon": "xe-linux-distribution.service",
    "xen-guest-agent": "xen-guest-agent.service",
    "meminfo-writer": "qubes-meminfo-writer.service",
    "xenballoond": "xenballoond",
    "balloon-agent": "balloon-agent.service",
}
_WRITES_XAPI_KEYS: Final = frozenset({"xe-daemon", "xen-guest-agent"})
# What squeezed and rrdd would be misled by; MemTotal itself moves a little with every hot-add.
_STALE_KIB: Final = 16 * MIB_KIB


def rival_agents(examination: Examination) -> Finding | None:
    """Two programs that do the same thing to the same keys or to the balloon."""
    processes, toolstack = examination.processes, examination.situation.snapshot.domain.toolstack
    if processes is None:
        return None
    running = sorted(processes.agents)
    rivals = _rivals(running, toolstack)
    if not rivals:
        return None
    name, why = rivals
    return Finding(
        "rival-agents", "warning",
        f"{why}: {', '.join(running)}.",
        {"running": ", ".join(running), "toolstack": toolstack or "unknown"},
        f"systemctl disable --now {_UNITS[name]}  # keep one of them",
        cause="Each writes what it believes right, so the host sees the values of whoever wrote "
        "last.",
    )  # fmt: skip


def _rivals(running: list[str], toolstack: str | None) -> tuple[str, str] | None:
    """The one to stop first, and in what they clash."""
    if len(running) != len(set(running)):
        return next(n for n in running if running.count(n) > 1), "One agent runs twice"
    if len(_WRITES_XAPI_KEYS & set(running)) > 1:
        return "xe-daemon", "Two agents publish the same keys for XAPI"
    if "xenballoond" in running:
        return "xenballoond", "xenballoond moves the balloon by itself, against the host"
    if "meminfo-writer" in running and toolstack != "qubes":
        return "meminfo-writer", "Qubes' meminfo-writer runs, but the toolstack is another"
    return None


def enrolled_but_stuck(examination: Examination) -> Finding | None:
    """Qubes balances this guest, which cannot follow; everybody else waits for it."""
    keys, situation = examination.keys, examination.situation
    if keys is None or not keys.qubes_meminfo:
        return None
    if situation.state not in ("absent", "cancelled", "retrying", "unreachable"):
        return None
    return Finding(
        "enrolled-but-stuck", "warning",
        "memory/meminfo enrols this guest in Qubes' balancing, but its balloon does not follow; "
        "that holds up every other guest.",
        {"memory/meminfo": "present", "balloon_state": situation.state},
        "systemctl disable --now qubes-meminfo-writer.service  # until the balloon works",
        cause="qmemman counts on every guest that reports its use.",
    )  # fmt: skip


def feature_balloon_missing(examination: Examination) -> Finding | None:
    """XAPI leaves a guest alone that does not say it can balloon."""
    keys, host = examination.keys, examination.situation.snapshot.host
    if keys is None or keys.feature_balloon or host.dynamic_max_kib is None:
        return None
    if examination.situation.snapshot.domain.toolstack != "xapi":
        return None
    low_kib = host.dynamic_min_kib
    if low_kib is None or low_kib >= host.dynamic_max_kib:
        return None
    return Finding(
        "feature-balloon-missing", "warning",
        "XAPI does not balloon this guest although it has a dynamic range: no agent has told it "
        "that the guest can.",
        {
            "control/feature-balloon": "absent",
            "memory/dynamic-min_kib": low_kib,
            "memory/dynamic-max_kib": host.dynamic_max_kib,
        },
        "systemctl enable --now balloon-agent.service  # or another agent that writes the key",
        cause="squeezed tests whether control/feature-balloon exists before it counts on a guest.",
    )  # fmt: skip


def feature_balloon_denied(examination: Examination) -> Finding | None:
    """An agent wants to say that the guest can balloon, and xl does not let it."""
    keys, processes = examination.keys, examination.processes
    if keys is None or processes is None or keys.control_writable is not False:
        return None
    wanting = sorted(_WRITES_XAPI_KEYS & set(processes.agents))
    if keys.feature_balloon or not wanting:
        return None
    return Finding(
        "feature-balloon-denied", "info",
        f"{wanting[0]} may not write control/feature-balloon here.",
        {"control": "read-only for this guest", "running": ", ".join(wanting)},
        "nothing to do; xl needs no such key",
        cause="xl keeps control/ to itself; only XAPI hands it to the guest.",
        actor="nobody",
    )  # fmt: skip


def stale_meminfo_total(examination: Examination) -> Finding | None:
    """The host is told a MemTotal of long ago."""
    keys, memory = examination.keys, examination.situation.snapshot.memory
    if keys is None or keys.meminfo_total_kib is None or memory is None:
        return None
    off_kib = keys.meminfo_total_kib - memory.total_kib
    if abs(off_kib) <= _STALE_KIB or examination.situation.state == "moving":
        return None
    return Finding(
        "stale-meminfo-total", "warning",
        f"The host is told {format_kib(keys.meminfo_total_kib)} of memory, the guest has "
        f"{format_kib(memory.total_kib)}.",
        {"data/meminfo_total_kib": keys.meminfo_total_kib, "mem_total_kib": memory.total_kib},
        "systemctl restart xen-guest-agent.service  # writes it once, at its start",
        cause="The agent that published it does not look again after the balloon has moved.",
    )  # fmt: skip


def migrated(examination: Examination) -> Finding | None:
    """What the daemon has published is about the domain this guest was on another host."""
    then, now = examination.published_domid, examination.situation.snapshot.domain.domid
    if then is None or now is None or then == now:
        return None
    return Finding(
        "migrated", "info",
        f"This guest was domain {then} and is domain {now} now; the daemon has not noticed yet.",
        {"published_domid": then, "domid": now},
        "systemctl restart balloon-agent.service  # reads everything anew",
        cause="It was migrated, or suspended and resumed; limits may be those of another host. "
        f"On the host it is `xl list {host_name_of(examination.situation.snapshot)}`.",
    )  # fmt: skip
