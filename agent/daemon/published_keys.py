# SPDX-License-Identifier: GPL-2.0-or-later
"""Which keys a guest publishes, and with what values: from an assessment to a mapping.

Values are short ASCII words or decimal KiB.  A value that follows the guest's use of memory has a
dead band, so that a settled guest writes nothing.

Relies on docs/design.md A21 and A22.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from agent import __version__
from agent.core.account.shortage import shortage
from agent.core.account.situation import Situation
from agent.core.facts.snapshot import MemoryReading, Snapshot, Toolstack
from agent.core.facts.units import MIB_KIB
from agent.core.policy.guard import DEAD_BAND_KIB
from agent.core.policy.memory import is_at
from agent.core.policy.settings import Mode, PolicySettings

Keys = Mapping[str, str]

BALLOON: Final = "data/balloon"
SEQUENCE: Final = f"{BALLOON}/seq"
STATE: Final = f"{BALLOON}/state"
STOPPED: Final = "stopped"
PROFILE: Final = f"{BALLOON}/profile"
HELD: Final = f"{BALLOON}/target_kb"
ASKED: Final = f"{BALLOON}/host_target_kb"
FLOOR: Final = f"{BALLOON}/floor_kb"
FOLLOW: Final = f"{BALLOON}/follow_kb"
FIGURES: Final = (
    FOLLOW,
    ASKED,
    HELD,
    f"{BALLOON}/actual_kb",
    f"{BALLOON}/ballooned_kb",
    f"{BALLOON}/beyond_nr_pages_kb",
    FLOOR,
    f"{BALLOON}/pressure",
)
"""What would go stale below data/balloon."""
UPDATED: Final = "data/updated"
FEATURE: Final = "control/feature-balloon"
BESIDES: Final[Mapping[str, tuple[str, ...]]] = {
    "xapi": ("data/meminfo_total", "data/meminfo_free", UPDATED, FEATURE),
    "qubes": ("memory/meminfo",),
}
"""What a profile writes outside data/balloon."""
LOOK_EVERY_S: Final[Mapping[str, float]] = {"xapi": 60.0, "qubes": 10.0}
_FLOOR_BAND_KIB: Final = 16 * MIB_KIB
_FREE_BAND_KIB: Final = 16 * MIB_KIB
_QUBES_BAND_KIB: Final = 30 * MIB_KIB  # as Qubes' own meminfo-writer


def profile_for(configured: str, toolstack: Toolstack | None) -> str:
    """The profile that is meant; memory/meminfo enrols a guest, so `qubes` is never a guess."""
    if configured != "auto":
        return configured
    return "xapi" if toolstack == "xapi" else "libxl"


def keys_for(
    profile: str, situation: Situation, mode: Mode, floor_kib: int | None, *, came_to_rest: bool
) -> Keys:
    """Everything that profile publishes now, but for `seq` and the time of day.

    `came_to_rest`: the balloon has been seen at rest once; before that squeezed must not think
    that this guest balloons, as it calibrates itself by what the guest has then.
    """
    if profile == "none":
        return {}
    keys = _balloon_keys(situation, mode, floor_kib)
    keys[PROFILE] = profile
    memory = situation.snapshot.memory
    if memory is not None and profile == "xapi":
        keys["data/meminfo_total"] = str(memory.total_kib)
        keys["data/meminfo_free"] = str(memory.available_kib)
    if came_to_rest and profile == "xapi":
        keys[FEATURE] = "1"
    if memory is not None and profile == "qubes":
        keys["memory/meminfo"] = str(_used_kib(memory))
    return keys


def _balloon_keys(situation: Situation, mode: Mode, floor_kib: int | None) -> dict[str, str]:
    snapshot, balloon = situation.snapshot, situation.snapshot.balloon
    numbers: dict[str, int | None] = {
        "host_target_kb": snapshot.host.target_kib,
        "target_kb": balloon.target_kib if balloon else None,
        "actual_kb": balloon.current_kib if balloon else None,
        "ballooned_kb": balloon.ballooned_kib if balloon else None,
        "beyond_nr_pages_kb": situation.boot.beyond_kib,
        "floor_kb": floor_kib if mode in ("guard", "self") else None,
    }
    keys = {f"{BALLOON}/{name}": str(kib) for name, kib in numbers.items() if kib is not None}
    keys[STATE] = situation.state
    keys[f"{BALLOON}/pressure"] = pressure_word(snapshot)
    keys[f"{BALLOON}/version"] = __version__
    return keys


def parting_keys(
    profile: str, situation: Situation, settings: PolicySettings, aim_kib: int | None
) -> Keys:
    """What stays of those keys when the daemon stops: that it has, and no figure nobody minds.

    Where a target of the agent's own is in force, that one stays, and beside it what following
    the host would mean to the kernel (`aim_kib`): whoever takes the agent away has to set it.
    """
    if profile == "none":
        return {}
    keys = {STATE: STOPPED, PROFILE: profile, f"{BALLOON}/version": __version__}
    balloon = situation.snapshot.balloon
    target_kib = balloon.target_kib if balloon else None
    dom0 = situation.snapshot.domain.is_dom0
    sets_targets = settings.mode in ("guard", "self") and (settings.act_in_dom0 or not dom0)
    if not sets_targets or aim_kib is None or target_kib is None or is_at(target_kib, aim_kib):
        return keys
    return keys | {HELD: str(target_kib), FOLLOW: str(aim_kib)}


def is_worth_writing(key: str, before: str, keys: Keys) -> bool:
    """Whether a value differs enough from what was written of it before."""
    now = keys[key]
    if now == before:
        return False
    bands = {
        FLOOR: _floor_band_kib(keys),
        "data/meminfo_free": _FREE_BAND_KIB,
        "memory/meminfo": _QUBES_BAND_KIB,
    }
    band_kib = bands.get(key)
    return band_kib is None or abs(int(now) - int(before)) >= band_kib


def _floor_band_kib(keys: Keys) -> int:
    """A host that asks for less than the guest needs is told closely how far it may go."""
    asked_kib, floor_kib = keys.get(ASKED), keys.get(FLOOR)
    held = asked_kib is not None and floor_kib is not None and int(asked_kib) < int(floor_kib)
    return DEAD_BAND_KIB if held else _FLOOR_BAND_KIB


def pressure_word(snapshot: Snapshot) -> str:
    """`none`, `some` (short of memory), `full` (and programs wait for it), or `unknown`."""
    if snapshot.memory is None:
        return "unknown"
    return {"none": "none", "short": "some", "stalled": "full"}[
        shortage(snapshot.memory, snapshot.pressure)
    ]


def _used_kib(memory: MemoryReading) -> int:
    """What Qubes counts as used: memory that is not available, and swap."""
    swapped_kib = memory.swap_total_kib - memory.swap_free_kib
    return max(0, memory.total_kib - memory.available_kib + swapped_kib)
