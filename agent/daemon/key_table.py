# SPDX-License-Identifier: GPL-2.0-or-later
"""The keys that the daemon writes, and to whom each of them belongs.

Publishing, parting, forgetting and the table in docs/xenstore.md follow from here.  What is read
there is of squeezed, xenopsd, xapi and rrdd (xapi-project/xen-api e2ee48d6883e), xe-daemon
(xenserver/xe-guest-utilities 244c56f8c7a1), qmemman and qubesd (QubesOS/qubes-core-admin
1ad5f9b84dc1).

A key that others write as well is shared: one that is there and that this agent has not made is
theirs, and is left alone for as long as it is.  Which ones it made stands in `data/balloon/made`,
beside them, so that a daemon started later, and `run --forget`, know.

Relies on docs/design.md A21 and A22.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

BALLOON: Final = "data/balloon"
SEQUENCE: Final = f"{BALLOON}/seq"
STATE: Final = f"{BALLOON}/state"
PROFILE: Final = f"{BALLOON}/profile"
VERSION: Final = f"{BALLOON}/version"
MADE: Final = f"{BALLOON}/made"
HELD: Final = f"{BALLOON}/target_kb"
ASKED: Final = f"{BALLOON}/host_target_kb"
ACTUAL: Final = f"{BALLOON}/actual_kb"
BALLOONED: Final = f"{BALLOON}/ballooned_kb"
BEYOND: Final = f"{BALLOON}/beyond_nr_pages_kb"
SPARE: Final = f"{BALLOON}/spare_kb"
AVAILABLE: Final = f"{BALLOON}/available_kb"
MODE: Final = f"{BALLOON}/mode"
FINDING: Final = f"{BALLOON}/finding"
FLOOR: Final = f"{BALLOON}/floor_kb"
PRESSURE: Final = f"{BALLOON}/pressure"
FOLLOW: Final = f"{BALLOON}/follow_kb"
ACTIVE: Final = "control/balloon-active"
FEATURE: Final = "control/feature-balloon"
TOTAL: Final = "data/meminfo_total"
FREE: Final = "data/meminfo_free"
UPDATED: Final = "data/updated"
USED: Final = "memory/meminfo"
SWAPPED: Final = "memory/swapinfo"

STOPPED: Final = "stopped"

First = Literal["at once", "in motion", "at rest", "after a stop"]
AtStop = Literal["stays", "goes", "says so"]
OnForget = Literal["goes", "stays", "says so", "goes, if ours"]


class Key(NamedTuple):
    """One key.

    Attributes:
        name: below the guest's own directory.
        profiles: which of the profiles write it.
        holds: its value, for a person.
        reader: who reads it on the host, and what presence, absence and value mean there.
        first: when it is written for the first time.
        at_stop: what becomes of it when the daemon stops.
        on_forget: the same at `run --forget`, which the package runs when it is removed or purged.
        others: who else writes it, for a shared key; one that is there and not ours is theirs.
        given: the host makes it; where it is absent, nobody in the guest can.
        last_word: what it says from then on, where it says so.
    """

    name: str
    profiles: tuple[str, ...]
    holds: str
    reader: str
    first: First = "at once"
    at_stop: AtStop = "goes"
    on_forget: OnForget = "goes"
    others: str = ""
    given: bool = False
    last_word: str = ""


_ALL: Final = ("libxl", "xapi", "qubes")
_XAPI: Final = ("xapi",)
_QUBES: Final = ("qubes",)
_TOOLS: Final = "tools and administrators; no toolstack"

KEYS: Final = (
    Key(
        ACTIVE, _XAPI, "1 while the balloon is on its way, else 0",
        "xenopsd, before a save or a migration: there and not 0, it waits up to 120 s",
        first="in motion", at_stop="says so", last_word="0",
    ),
    Key(
        STATE, _ALL,
        "`settled`, `moving`, `retrying`, `cancelled`, `unreachable`, `absent`, `stopped`",
        _TOOLS, at_stop="says so", last_word=STOPPED,
    ),
    Key(ASKED, _ALL, "the host's target, as the guest read it", _TOOLS),
    Key(HELD, _ALL, "the kernel's target", _TOOLS),
    Key(ACTUAL, _ALL, "what the guest has", _TOOLS),
    Key(BALLOONED, _ALL, "what is in the balloon", _TOOLS),
    Key(BEYOND, _ALL, "RAM of the boot's map that was not populated", _TOOLS),
    Key(
        FLOOR, _ALL,
        "in the modes `guard` and `self`, where the agent may set targets: how far the host "
        "may go, within 16 MiB; see below",
        _TOOLS,
    ),
    Key(
        SPARE, _ALL,
        "what it could give and go on as it does, within a quarter of it (4 to 16 MiB), and "
        "exactly whenever the balloon has moved; see below",
        f"`balloon-agent guests` and `mem-set` in dom0; {_TOOLS}",
    ),
    Key(AVAILABLE, _ALL, "MemAvailable, within 16 MiB, and exactly whenever the balloon has moved",
        "the same"),
    Key(MODE, _ALL, "the daemon's: `observe`, `follow`, `guard` or `self`", "the same"),
    Key(FINDING, _ALL, "the gravest finding, by its code; absent where nothing is wrong",
        "the same"),
    Key(
        PRESSURE, _ALL,
        "`none`; `some`: next to nothing is available (8 MiB, or 3 % of MemTotal); `full`: little "
        "is, and programs wait for it; `unknown`",
        _TOOLS,
    ),
    Key(
        PROFILE, _ALL, "by which of the profiles these keys are published", _TOOLS,
        at_stop="stays",
    ),
    Key(VERSION, _ALL, "of the agent", _TOOLS, at_stop="stays"),
    Key(
        SEQUENCE, _ALL, "grows with every change published, over restarts of the daemon too",
        _TOOLS, at_stop="stays",
    ),
    Key(FOLLOW, _ALL, "what following the host would be", _TOOLS, first="after a stop"),
    Key(
        MADE, ("xapi", "qubes"), "which of the shared keys this agent made", "the agent itself",
        at_stop="stays",
    ),
    Key(
        TOTAL, _XAPI, "what the guest has", "xapi: a change refreshes what `xe` shows",
        at_stop="stays", on_forget="goes, if ours", others="xe-daemon, xen-guest-agent",
    ),
    Key(
        FREE, _XAPI, "what it has available",
        "rrdd: the graph memory_internal_free, which ends when the key goes",
        at_stop="stays", on_forget="goes, if ours", others="xe-daemon, xen-guest-agent",
    ),
    Key(
        FEATURE, _XAPI, "1",
        "squeezed: there, with any value, the guest has booted and can balloon, and what it has "
        "less memory/target is its memory-offset for good; without it and data/updated the guest "
        "has not booted, and what it lacks of memory/initial-reservation is kept for it",
        first="at rest", at_stop="stays", on_forget="stays", others="xe-daemon, xen-guest-agent",
    ),
    Key(
        UPDATED, _XAPI, "when the figures of memory were written last",
        "squeezed: there, the guest has booted, as above",
        first="at rest", at_stop="stays", on_forget="stays",
        others="xe-daemon, xen-guest-agent, xenopsd",
    ),
    Key(
        USED, _QUBES,
        "memory in use as Qubes counts it: current_kb less MemFree, Buffers and Cached, and the "
        "swap in use",
        "qmemman: a number enrols the qube, empty or absent leaves the last one in force, any "
        "other word takes it out; once removed it cannot be made again",
        at_stop="stays", on_forget="says so", others="meminfo-writer", given=True,
        last_word=STOPPED,
    ),
    Key(
        SWAPPED, _QUBES, "swap in use", "qubesd shows it as swap_used",
        at_stop="stays", on_forget="says so", others="meminfo-writer", given=True,
        last_word=STOPPED,
    ),
)  # fmt: skip
BY_NAME: Final = {key.name: key for key in KEYS}


def is_shared(name: str) -> bool:
    """Whether others write it as well."""
    return bool(BY_NAME[name].others)


def goes_when_untrue(name: str) -> bool:
    """Whether it is removed when there is nothing to say of it any more: never what is shared."""
    return BY_NAME[name].on_forget == "goes" and name not in (SEQUENCE, MADE)
