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
from agent.core.facts.snapshot import Snapshot, Toolstack
from agent.core.facts.units import MIB_KIB
from agent.core.policy.decide import sets_targets
from agent.core.policy.guard import DEAD_BAND_KIB
from agent.core.policy.history import is_at
from agent.core.policy.settings import PolicySettings
from agent.daemon import key_table as k

Keys = Mapping[str, str]

LOOK_EVERY_S: Final[Mapping[str, float]] = {"xapi": 60.0}
_FLOOR_BAND_KIB: Final = 16 * MIB_KIB
_FREE_BAND_KIB: Final = 16 * MIB_KIB


def profile_for(configured: str, toolstack: Toolstack | None) -> str:
    """The profile that is meant; memory/meminfo enrols a guest, so `qubes` is never a guess."""
    if configured != "auto":
        return configured
    return "xapi" if toolstack == "xapi" else "libxl"


def keys_for(
    profile: str,
    situation: Situation,
    settings: PolicySettings,
    floor_kib: int | None,
    *,
    finding: str | None = None,
    came_to_rest: bool,
    in_motion: bool = False,
    time_of_day: str = "",
) -> Keys:
    """Everything that profile publishes of this situation, but for `seq`.

    What Qubes is told follows the use of memory more closely than looks do: see `use_report`.

    `came_to_rest`: the balloon has been seen at rest where the host wants it, and not only been
    asked for something since; before that squeezed must not think that this guest has booted, as
    it calibrates itself by what the guest has then.  `in_motion`: a save has to wait.
    """
    if profile == "none":
        return {}
    keys: dict[str, str] = {}
    if profile == "xapi":
        keys[k.ACTIVE] = "1" if in_motion else "0"  # first: xenopsd may be about to save
    keys |= _balloon_keys(situation, settings, floor_kib, finding)
    keys[k.PROFILE] = profile
    memory = situation.snapshot.memory
    if memory is not None and profile == "xapi":
        keys[k.TOTAL] = str(memory.total_kib)
        keys[k.FREE] = str(memory.available_kib)
    if came_to_rest and profile == "xapi":
        keys[k.FEATURE] = "1"
        keys[k.UPDATED] = time_of_day
    return keys


def _balloon_keys(
    situation: Situation, settings: PolicySettings, floor_kib: int | None, finding: str | None
) -> dict[str, str]:
    snapshot, balloon = situation.snapshot, situation.snapshot.balloon
    current_kib = balloon.current_kib if balloon else None
    spare_kib = None
    if floor_kib is not None and current_kib is not None:
        spare_kib = max(0, current_kib - floor_kib)
    values: dict[str, int | str | None] = {
        k.ASKED: snapshot.host.target_kib,
        k.HELD: balloon.target_kib if balloon else None,
        k.ACTUAL: current_kib,
        k.BALLOONED: balloon.ballooned_kib if balloon else None,
        k.BEYOND: situation.boot.beyond_kib,
        k.FLOOR: floor_kib if sets_targets(situation, settings) else None,
        k.SPARE: spare_kib,
        k.AVAILABLE: snapshot.memory.available_kib if snapshot.memory else None,
        k.STATE: situation.state,
        k.PRESSURE: pressure_word(snapshot),
        k.MODE: settings.mode,
        k.VERSION: __version__,
        k.FINDING: finding,
    }
    return {name: str(value) for name, value in values.items() if value is not None}


def parting_keys(
    profile: str, situation: Situation, settings: PolicySettings, aim_kib: int | None
) -> Keys:
    """The last words of a daemon that stops: that it does, and no figure that goes stale.

    Where a target of the agent's own is in force, that one stays, and beside it what following
    the host would mean to the kernel (`aim_kib`): whoever takes the agent away has to set it.
    """
    if profile == "none":
        return {}
    said = [key for key in k.KEYS if profile in key.profiles and key.at_stop == "says so"]
    keys = {key.name: key.last_word for key in said} | {k.PROFILE: profile, k.VERSION: __version__}
    balloon = situation.snapshot.balloon
    target_kib = balloon.target_kib if balloon else None
    own = sets_targets(situation, settings)
    if not own or aim_kib is None or target_kib is None or is_at(target_kib, aim_kib):
        return keys
    return keys | {k.HELD: str(target_kib), k.FOLLOW: str(aim_kib)}


def is_worth_writing(key: str, before: str, keys: Keys, *, exactly: bool = False) -> bool:
    """Whether a value differs enough from what was written of it before.

    `exactly`: other keys are written now, and whoever reads those wants the rest of that moment.
    """
    now = keys[key]
    if now == before or key == k.UPDATED:  # the time of day goes with what it is the time of
        return False
    bands = {
        k.FLOOR: _floor_band_kib(keys),
        k.FREE: _FREE_BAND_KIB,
        k.SPARE: _spare_band_kib(keys),
        k.AVAILABLE: _FREE_BAND_KIB,
    }
    band_kib = bands.get(key)
    exactly &= key in (k.SPARE, k.AVAILABLE)
    return band_kib is None or exactly or abs(int(now) - int(before)) >= band_kib


def _floor_band_kib(keys: Keys) -> int:
    """A host that asks for less than the guest needs is told closely how far it may go."""
    asked_kib, floor_kib = keys.get(k.ASKED), keys.get(k.FLOOR)
    held = asked_kib is not None and floor_kib is not None and int(asked_kib) < int(floor_kib)
    return DEAD_BAND_KIB if held else _FLOOR_BAND_KIB


def _spare_band_kib(keys: Keys) -> int:
    """A host that takes memory wants to know how much the last is that can be spared."""
    return max(DEAD_BAND_KIB, min(_FREE_BAND_KIB, int(keys.get(k.SPARE, "0")) // 4))


def pressure_word(snapshot: Snapshot) -> str:
    """`none`, `some` (short of memory), `full` (and programs wait for it), or `unknown`."""
    if snapshot.memory is None:
        return "unknown"
    return {"none": "none", "short": "some", "stalled": "full"}[
        shortage(snapshot.memory, snapshot.pressure)
    ]
