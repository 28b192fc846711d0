# SPDX-License-Identifier: GPL-2.0-or-later
"""Every key of the configuration: its type, its default, what it may be, and what it means.

`config show`, the shipped default file, the documentation and the loader all read this table.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from agent.core.facts.units import MIB_KIB
from agent.core.policy.settings import MODES

Kind = Literal["choice", "switch", "size", "size-or-auto", "seconds", "percent"]

PROFILES: Final = ("auto", "libxl", "xapi", "qubes", "none")


class Key(NamedTuple):
    """One key.

    Attributes:
        name: as written, with its table: `guard.step`.
        kind: how it is written.
        default: as it is written in TOML.
        meaning: for a person.
        choices: for a `choice`.
        least, most: bounds of a number, in KiB, seconds or percent.
    """

    name: str
    kind: Kind
    default: str
    meaning: str
    choices: tuple[str, ...] = ()
    least: float = 0
    most: float = float("inf")


KEYS: Final = (
    Key(
        "mode", "choice", '"follow"',
        "What the agent may change. observe: nothing. follow: it makes what the host asked for "
        "really happen (wakes a driver that gave up, puts hot-added memory online). guard: as "
        "follow, but a shrink goes in steps and stops at the floor. self: as guard, and the guest "
        "gives back what it does not need.",
        choices=MODES,
    ),
    Key(
        "floor", "size-or-auto", '"auto"',
        "The agent never writes a target below this size. auto computes it from what the guest "
        "uses at the moment.",
        least=32 * MIB_KIB,
    ),
    Key(
        "online_blocks", "switch", "true",
        "Put hot-added memory online when the host's target needs it and the kernel left it "
        "offline.",
    ),
    Key(
        "reclaim_released", "switch", "false",
        "Take pages again that the kernel gave back to Xen at boot because they lay in holes of "
        "the memory map, as far as the host allows.",
    ),
    Key(
        "act_in_dom0", "switch", "false",
        "Act in dom0 and in a driver domain as in any other guest.",
    ),
    Key(
        "driver_domain", "switch", "false",
        "This guest runs backends for others, so memory may be missing because it is lent out.",
    ),
    Key(
        "rest", "choice", '"auto"',
        "What the daemon keeps in memory while there is nothing to do. auto: in the modes observe "
        "and follow a small waiter, lighter than a Python that sleeps, which loads the daemon when "
        "something happens; modes guard and self never rest, as they have to react within "
        "milliseconds. never: all of the daemon, in every mode.",
        choices=("auto", "never"),
    ),
    Key(
        "publish.profile", "choice", '"auto"',
        "Which keys are written to xenstore. libxl: data/balloon/*. xapi: also data/meminfo_*, "
        "data/updated and control/feature-balloon. qubes: also memory/meminfo, which enrols the "
        "guest in memory balancing. none: no key. auto: xapi or libxl, by the toolstack.",
        choices=PROFILES,
    ),
    Key(
        "timing.grace", "seconds", '"2s"',
        "How long the kernel is given to take up what the host asks.",
        least=0.1, most=60,
    ),
    Key(
        "timing.cooldown", "seconds", '"1s"',
        "The least time between two writes to target_kb.",
        least=0.1, most=60,
    ),
    Key(
        "timing.quiet", "seconds", '"10s"',
        "How long nothing must have happened before the daemon goes to rest.",
        least=0.1, most=3600,
    ),
    Key(
        "guard.step", "size", '"16M"',
        "The least step of a guarded shrink; with more room, half of the room is taken at once.",
        least=MIB_KIB,
    ),
    Key(
        "guard.stall", "percent", "5",
        "A guarded shrink waits while the share of time that every task waits for memory (full "
        "avg10 in /proc/pressure/memory) is at least this, in percent.",
        least=0.1, most=100,
    ),
    Key(
        "self.reserve_percent", "percent", "25",
        "Mode self keeps this much available beyond what is in use, in percent of the host's "
        "target.",
        least=5, most=90,
    ),
    Key(
        "self.reserve", "size", '"64M"',
        "The least that mode self keeps available.",
        least=16 * MIB_KIB,
    ),
    Key(
        "self.dead_band", "size", '"32M"',
        "Mode self moves nothing for differences up to this.",
        least=4 * MIB_KIB,
    ),
    Key(
        "self.interval", "seconds", '"10s"',
        "How often mode self looks while nothing happens, and the least time between two steps "
        "downwards.",
        least=1, most=3600,
    ),
    Key(
        "self.calm", "seconds", '"60s"',
        "Mode self gives memory back after the guest has been at ease for this long.",
        least=1, most=86400,
    ),
    Key(
        "self.remember", "seconds", '"30min"',
        "Mode self keeps what the guest used at most within this time, and half the reserve.",
        least=1, most=7 * 86400,
    ),
)  # fmt: skip
BY_NAME: Final = {key.name: key for key in KEYS}
