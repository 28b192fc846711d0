# SPDX-License-Identifier: GPL-2.0-or-later
"""The agents of this guest and what they tell the host."""

from __future__ import annotations

from typing import Final

from agent.core.facts.units import MIB_KIB, format_kib
from agent.core.findings.examination import Examination
from agent.core.findings.finding import Finding, Fix, known
from agent.core.findings.guest_commands import service
from agent.core.findings.registry import check

_WRITES_XAPI_KEYS: Final = frozenset({"xe-daemon", "xen-guest-agent"})
# What squeezed and rrdd would be misled by; MemTotal itself moves a little with every hot-add.
_STALE_KIB: Final = 16 * MIB_KIB
_LAST_WINS: Final = (
    "Each writes what it believes right, so the host sees the values of whoever wrote last."
)


@check("rival-agents", severity="warning", do="keep one of them", needs=("processes",))
def rival_agents(seen: Examination) -> Finding | None:
    """Two programs write the same keys, or move the balloon against the host."""
    running = sorted(seen.processes.agents) if seen.processes else []
    clash = _clash(seen, running)
    if clash is None:
        return None
    what, why, fix = clash
    toolstack = known(seen.snapshot.domain.toolstack)
    return Finding(
        summary=f"{what}.",
        evidence={"running": ", ".join(running), "toolstack": toolstack},
        cause=why,
        fixes=(fix,),
    )


def _clash(seen: Examination, running: list[str]) -> tuple[str, str, Fix] | None:
    """In what they clash, why, and which one to stop first."""

    def stop(name: str, note: str) -> Fix:
        return service(seen, "disable --now", name, note)

    twice = next((name for name in running if running.count(name) > 1), None)
    if twice is not None:
        end = Fix("guest", note=f"end one of the two processes called {twice}")
        return f"{twice} runs twice", _LAST_WINS, end
    if len(_WRITES_XAPI_KEYS & set(running)) > 1:
        what = f"Two agents publish the same keys for XAPI: {', '.join(running)}"
        return what, _LAST_WINS, stop("xe-daemon", "keep one of them")
    if "xenballoond" in running:
        what = "xenballoond moves the balloon by itself, against the host"
        why = "It sets the target by what the guest uses, again and again, whatever the host wants."
        return what, why, stop("xenballoond", "the host sets the target")
    if "meminfo-writer" in running and seen.snapshot.domain.toolstack != "qubes":
        what = "Qubes' meminfo-writer runs, but the toolstack is another"
        why = "It tells qmemman what the guest uses, and there is no qmemman here."
        return what, why, stop("meminfo-writer", "nobody reads what it writes")
    return None


@check(
    "enrolled-but-stuck",
    severity="warning",
    do="end what holds the balloon up",
    needs=("guest-keys",),
    because=(
        "no-driver", "hotplug-offline", "hotplug-refused", "units-trap",
        "target-beyond-static-max", "target-retrying", "target-cancelled",
    ),
)  # fmt: skip
def enrolled_but_stuck(seen: Examination) -> Finding | None:
    """Qubes balances this guest, which cannot follow; everybody else waits for it."""
    keys, state = seen.keys, seen.situation.state
    if keys is None or not keys.qubes_meminfo:
        return None
    if state not in ("absent", "cancelled", "retrying", "unreachable"):
        return None
    return Finding(
        summary="memory/meminfo enrols this guest in Qubes' balancing, but its balloon does not "
        "follow; that holds up every other guest.",
        evidence={"memory/meminfo": "present", "balloon_state": state},
        cause="qmemman counts on every guest that reports its use.",
        fixes=(Fix("guest", note="stop qubes-meminfo-writer until the balloon works"),),
    )


@check(
    "feature-balloon-missing",
    severity="warning",
    do="run an agent that writes the key, such as this one",
    needs=("guest-keys",),
)
def feature_balloon_missing(seen: Examination) -> Finding | None:
    """XAPI leaves a guest alone that does not say it can balloon."""
    keys, host = seen.keys, seen.snapshot.host
    low_kib, high_kib = host.dynamic_min_kib, host.dynamic_max_kib
    if keys is None or keys.feature_balloon or seen.snapshot.domain.toolstack != "xapi":
        return None
    if low_kib is None or high_kib is None or low_kib >= high_kib:
        return None
    return Finding(
        summary="XAPI does not balloon this guest although it has a dynamic range: no agent has "
        "told it that the guest can.",
        evidence={
            "control/feature-balloon": "absent",
            "memory/dynamic-min_kib": low_kib,
            "memory/dynamic-max_kib": high_kib,
        },
        cause="squeezed tests whether control/feature-balloon exists before it counts on a guest.",
        fixes=(
            service(seen, "enable --now", "balloon-agent", "or another agent that writes the key"),
        ),
    )


@check(
    "feature-balloon-denied",
    severity="info",
    do="nothing",
    needs=("guest-keys", "processes", "control-permissions"),
)
def feature_balloon_denied(seen: Examination) -> Finding | None:
    """An agent wants to say that the guest can balloon, and xl does not let it."""
    keys, processes = seen.keys, seen.processes
    if keys is None or processes is None or keys.control_writable is not False:
        return None
    wanting = sorted(_WRITES_XAPI_KEYS & set(processes.agents))
    if keys.feature_balloon or not wanting:
        return None
    return Finding(
        summary=f"{wanting[0]} may not write control/feature-balloon here.",
        evidence={"control": "read-only for this guest", "running": ", ".join(wanting)},
        cause="xl keeps control/ to itself; only XAPI hands it to the guest.",
        remark="nothing to do; xl needs no such key",
    )


@check(
    "stale-meminfo-total",
    severity="warning; info where no agent is seen to run that could have written it",
    do="restart the agent that wrote it",
    needs=("guest-keys", "meminfo"),
)
def stale_meminfo_total(seen: Examination) -> Finding | None:
    """The host is told a MemTotal of long ago."""
    keys, memory = seen.keys, seen.snapshot.memory
    if keys is None or keys.meminfo_total_kib is None or memory is None:
        return None
    off_kib = keys.meminfo_total_kib - memory.total_kib
    if abs(off_kib) <= _STALE_KIB or seen.situation.state == "moving":
        return None
    running = set(seen.processes.agents) if seen.processes else set()
    writers = sorted(running & {*_WRITES_XAPI_KEYS, "balloon-agent"})
    return Finding(
        severity="warning" if writers else "info",
        summary=f"The host is told {format_kib(keys.meminfo_total_kib)} of memory, the guest has "
        f"{format_kib(memory.total_kib)}.",
        evidence={
            "data/meminfo_total_kib": keys.meminfo_total_kib,
            "mem_total_kib": memory.total_kib,
            "agents": ", ".join(writers) or "not seen",
        },
        cause="The agent that published it does not look again after the balloon has moved.",
        fixes=(
            service(seen, "restart", writers[0], "it writes the key at its start")
            if len(writers) == 1
            else Fix("guest", note="restart the agent that writes data/meminfo_total"),
        ),
    )


@check(
    "migrated",
    severity="info",
    do="restart the daemon",
    needs=("published-status", "xenstore.domid"),
)
def migrated(seen: Examination) -> Finding | None:
    """What the daemon has published is about the domain this guest was on another host."""
    then, now = seen.published_domid, seen.snapshot.domain.domid
    if then is None or now is None or then == now:
        return None
    return Finding(
        summary=f"This guest was domain {then} and is domain {now} now; the daemon has not noticed "
        "yet.",
        evidence={"published_domid": then, "domid": now},
        cause="It was migrated, or suspended and resumed; limits may be those of another host. "
        f"On the host it is number {now}.",
        fixes=(service(seen, "restart", "balloon-agent", "reads everything anew"),),
    )
