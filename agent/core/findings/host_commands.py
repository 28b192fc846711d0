# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be done on the host, in the words of the toolstack that runs there.

Commands are meant to be pasted, so nothing goes into them that has not been looked at: a domain's
name may hold anything.  Where the toolstack is not known, or owns the target itself (squeezed,
qmemman), there is no command that sets it.

xl and xm   mem-set sets limit and target at once
XAPI        squeezed moves the target within the dynamic range, which is the administrator's
Qubes       qmemman sets the target of each qube; qvm-prefs takes effect at the next start
"""

from __future__ import annotations

from typing import Final

from agent.core.account.boot_facts import LARGEST_USUAL_KIB
from agent.core.account.headroom import limit_kib
from agent.core.account.situation import Situation
from agent.core.facts.pattern import Pattern
from agent.core.facts.snapshot import Snapshot, Toolstack
from agent.core.facts.units import MIB_KIB, format_apart, format_exactly, format_kib
from agent.core.findings.finding import Fix

_PLAIN_NAME: Final = Pattern(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ASK: Final = "ask whoever runs the host"


def hold_at(situation: Situation, kib: int, note: str = "") -> Fix:
    """The host asks for what the guest has: ends a wish that cannot be fulfilled."""
    toolstack = situation.snapshot.domain.toolstack
    if toolstack == "qubes":
        lacks = situation.refused_by == "guest-memory"
        close = "programs in this qube" if lacks else "other qubes where memory is short"
        words = "qmemman sets this target and takes it back by itself when it balances again"
        return Fix("host", note=f"{words}; close {close}")
    if toolstack == "xapi":
        return Fix("host", note=_xapi_holds(situation, on_host_scale_kib(situation, kib)))
    return set_memory(situation.snapshot, on_host_scale_kib(situation, kib), note)


def _xapi_holds(situation: Situation, host_kib: int) -> str:
    """Squeezed sets the target, between limits that are the administrator's."""
    most_kib = situation.snapshot.host.dynamic_max_kib
    if situation.refused_by == "guest-memory" and most_kib is not None and most_kib < host_kib:
        return (
            f"raise the VM's dynamic-max ({format_apart(most_kib, host_kib)}) and dynamic-min to "
            f"{format_apart(host_kib, most_kib)}, which it uses: squeezed takes it down to them"
        )
    if situation.refused_by == "guest-memory":
        return (
            f"raise the VM's dynamic-min to {format_kib(host_kib)}, which it uses; squeezed takes "
            "it down where the host is short (xe host-list params=name-label,memory-free)"
        )
    if situation.refused_by in ("hot-add", "empty-balloon"):
        return (
            f"the VM can take no more than {format_kib(host_kib)} until its next start; "
            "a dynamic-max beyond that does nothing"
        )
    return (
        "squeezed sets this target: free memory there (xe host-list "
        "params=name-label,memory-free), or change the VM's dynamic range"
    )


def give_at_least(situation: Situation, kib: int) -> Fix:
    """The host lets the guest have `kib` of populated memory."""
    snapshot = situation.snapshot
    host_kib = on_host_scale_kib(situation, kib)
    if snapshot.domain.toolstack == "xapi":
        words = f"raise the VM's dynamic-min ({format_kib(host_kib)}), or free memory there"
        return Fix("host", note=words)
    if snapshot.domain.toolstack == "qubes":
        if snapshot.domain.is_dom0:
            words = "raise dom0-mem-boost in /etc/qubes/qmemman.conf, or dom0_mem= with its max:"
            return Fix("host", (), "next-boot", words)
        return Fix("host", note="close other qubes: qmemman divides what there is")
    return set_memory(snapshot, host_kib)


def on_host_scale_kib(situation: Situation, kib: int) -> int:
    """What `xl mem-set` has to be told so that the kernel aims at `kib`."""
    video_kib = situation.snapshot.host.video_kib
    if situation.offset is not None:
        return kib + situation.offset.kib + video_kib
    most_kib = limit_kib(situation.snapshot)
    aimed_kib = kib + _as_aimed_kib(situation)
    return (aimed_kib if most_kib is None else min(aimed_kib, max(kib, most_kib))) + video_kib


def _as_aimed_kib(situation: Situation) -> int:
    """Where nothing else tells the offset: by how much the kernel aims below the host now."""
    host_kib, driver = situation.snapshot.host.target_kib, situation.driver
    if host_kib is None or driver is None:
        return 0
    below_kib = situation.snapshot.domain.whole_pages_kib(host_kib) - driver.target_kib
    return below_kib if 0 <= below_kib <= LARGEST_USUAL_KIB else 0


def set_memory(snapshot: Snapshot, kib: int, note: str = "") -> Fix:
    """The host asks for `kib`, as the host counts it."""
    toolstack, domid = snapshot.domain.toolstack, snapshot.domain.domid
    size = f"set its memory to {format_exactly(kib)}"
    if toolstack in ("xapi", "qubes"):
        return Fix("host", note=f"{size}, by what sets its target there")
    if toolstack not in ("libxl", "xend") or domid is None:
        return Fix("host", note=f"{_ASK} to {size}")
    if toolstack == "xend":
        return Fix("host", (f"xm mem-set {domid} {-(-kib // MIB_KIB)}",), note=note)
    return Fix("host", (f"xl mem-set {domid} {kib}k",), note=note)


def set_range(snapshot: Snapshot, low_kib: int, high_kib: int) -> Fix:
    """XAPI may move this domain between two sizes as it counts them."""
    low_mib, high_mib = (-(-kib // MIB_KIB) for kib in (low_kib, high_kib))
    if snapshot.domain.uuid is None:
        return Fix("host", note=f"let the VM's dynamic range be {low_mib} to {high_mib} MiB")
    command = (
        f"xe vm-memory-dynamic-range-set uuid={snapshot.domain.uuid} "
        f"min={low_mib}MiB max={high_mib}MiB"
    )
    return Fix("host", (command,))


def make_larger(snapshot: Snapshot) -> Fix:
    """More than the domain may have now; XAPI can raise what it may have up to static-max."""
    host, xapi = snapshot.host, snapshot.domain.toolstack == "xapi"
    most_kib, now_kib = host.static_max_kib, host.dynamic_max_kib
    if xapi and most_kib is not None and now_kib is not None and now_kib + MIB_KIB < most_kib:
        words = f"raise the VM's dynamic-max ({format_kib(now_kib)}), at most to static-max"
        return Fix("host", note=f"{words} ({format_kib(most_kib)})")
    return configure(snapshot, "maxmem= and memory= larger")


def configure(snapshot: Snapshot, advice: str, qubes: str = "") -> Fix:
    """Another configuration of the domain, from its next start on.

    `advice` speaks of memory= and maxmem=; `qubes` is what qvm-prefs is to set instead.
    """
    toolstack = snapshot.domain.toolstack
    if snapshot.domain.is_dom0:
        words = "dom0_mem=SIZE,max:SIZE on Xen's command line sets what it has and may have"
    elif toolstack == "qubes":
        name = snapshot.domain.name or ""
        if qubes and _PLAIN_NAME.fullmatch(name):
            return Fix("host", (f"qvm-prefs {name} {qubes}",), "next-boot", "then restart the qube")
        words = in_words_of(toolstack, advice)
    elif toolstack == "xapi":
        words = f"with the VM shut down: {in_words_of(toolstack, advice)}"
    elif toolstack in ("libxl", "xend"):
        words = f"{advice}, in the domain's configuration"
    else:
        words = f"{_ASK}: {in_words_of(toolstack, advice)}"
    return Fix("host", (), "next-boot", words)


def in_words_of(toolstack: Toolstack | None, advice: str) -> str:
    """Advice that speaks of memory= and maxmem=, in the words of who made the domain."""
    if toolstack in ("libxl", "xend"):
        return advice
    maximum, memory = {
        "qubes": ("maxmem of the qube", "its memory"),
        "xapi": ("static-max", "dynamic-max"),
    }.get(toolstack or "", ("maximum", "memory at the start"))
    return advice.replace("maxmem=", maximum).replace("memory=", memory)
