# SPDX-License-Identifier: GPL-2.0-or-later
"""Mode `guard`: as `follow`, but a shrink goes in steps and stops at the floor.

The kernel takes memory/target up at once and would squeeze the guest into the OOM killer.  Whatever
it aims at, and whoever told it so, `hold` puts back what may be; that never waits.  The steps down
do.  When the host's target is above what the guest has, there is nothing to guard.

Relies on docs/design.md A14 and A16.
"""

from __future__ import annotations

from typing import Final

from agent.core.account.headroom import air_kib
from agent.core.facts.units import MIB_KIB, PAGE_KIB, format_kib
from agent.core.policy.decision import Decision, Numbers, nothing, write_target
from agent.core.policy.follow import cancelled
from agent.core.policy.view import View

DEAD_BAND_KIB: Final = 4 * MIB_KIB
_HELD_LOOK_S: Final = 2.0


def hold(view: View) -> Decision | None:
    """The kernel aims lower than it may for now."""
    next_kib = held_kib(view)
    if not view.history.sinks_below(next_kib, view.target_kib):
        return None
    asked_kib = view.target_kib if view.asked_kib is None else view.asked_kib
    return write_target(
        next_kib,
        "guard",
        "guard-held" if next_kib >= view.current_kib else "guard-step",
        f"The host asks for {format_kib(max(0, asked_kib))}; for now the guest sinks to "
        f"{format_kib(next_kib)}.",
        _figures(view, next_kib),
    )


def held_kib(view: View) -> int:
    """How far the guest may sink now if the host asks for all: what was held, or the next step."""
    lowest_kib, own_kib = _lowest_kib(view), view.history.own_kib
    if own_kib is not None and own_kib >= lowest_kib:
        return own_kib
    return _step_kib(view, lowest_kib)


def await_kernel(view: View) -> Decision | None:
    """A new target of the host's that the kernel has not taken up yet: it would win."""
    if view.aim_kib is None or not view.kernel_has_time or view.at_host_target:
        return None
    return nothing(
        "kernel-has-time",
        "The kernel is given a moment to take up the host's target.",
        view.numbers(aim_kib=view.aim_kib),
        view.grace_ends_s,
    )


def release(view: View) -> Decision | None:
    """The host no longer asks for less than there is: its target counts again."""
    own_kib, aim_kib = view.history.own_kib, view.aim_kib
    if aim_kib is None or aim_kib < view.current_kib or own_kib is None:
        return None
    if not view.history.is_own(view.target_kib) or view.at_host_target:
        return None
    return write_target(
        aim_kib,
        "follow",
        "guard-over",
        "The host no longer asks for less; its target counts.",
        view.numbers(),
    )


def guarded_shrink(view: View) -> Decision | None:
    """The host asks for less than there is: the next step, if there is room for one."""
    asked_kib = view.asked_kib
    if asked_kib is None or asked_kib >= view.current_kib:
        return None
    lowest_kib, own_kib = max(asked_kib, _lowest_kib(view)), view.history.own_kib
    next_kib = _step_kib(view, lowest_kib)
    if own_kib is not None and lowest_kib <= own_kib < view.current_kib:
        next_kib = own_kib  # no new step while one is under way
    figures = _figures(view, next_kib)
    held = view.target_kib == own_kib and min(own_kib, next_kib) >= view.current_kib
    goes_on = view.history.asks.air_kib(view.now_s) > 0  # the air melts away with each second
    band_kib = max(DEAD_BAND_KIB, view.settings.guard_step_kib) if goes_on else DEAD_BAND_KIB
    worth_it = view.target_kib - next_kib >= band_kib or next_kib == asked_kib
    too_low = view.history.sinks_below(next_kib, view.target_kib)
    if too_low or (view.target_kib > next_kib and worth_it and not held):
        return write_target(
            next_kib,
            "follow" if next_kib == view.aim_kib else "guard",
            "guard-step",
            f"There is room: the guest sinks to {format_kib(next_kib)}.",
            figures,
        )
    if view.target_kib >= view.current_kib:
        when = "not yet" if goes_on else "not"
        return nothing(
            "held-at-floor",
            f"The host asks for {format_kib(max(0, asked_kib))}; the guest needs "
            f"{format_kib(view.floor_kib)} and is {when} made smaller.",
            figures,
            view.now_s + _HELD_LOOK_S,
        )
    stuck = cancelled(view)
    if stuck is not None and view.target_kib >= view.floor_kib:
        return stuck._replace(look_again_s=view.now_s + _HELD_LOOK_S)
    return nothing(
        "guard-shrinks",
        f"The guest is on its way to {format_kib(view.target_kib)}.",
        figures,
        min(view.look_s(), view.now_s + _HELD_LOOK_S),
    )


def _figures(view: View, next_kib: int) -> Numbers:
    return view.numbers(
        aim_kib=view.asked_kib,
        floor_kib=_watched_floor_kib(view),
        next_kib=next_kib,
        available_kib=view.available_kib,
        short="yes" if view.short else "no",
    )


def _lowest_kib(view: View) -> int:
    return view.current_kib if view.short else _watched_floor_kib(view)


def _watched_floor_kib(view: View) -> int:
    """The floor, with air for what this host's asks will cost if it goes on as it does.

    Twice the air as long as the guest has not been watched for a while.  What is taken too much
    cannot be had back: with the target, the toolstack has lowered what Xen lets the domain have
    (libxl.c, libxl_set_memory_target).
    """
    more_kib = view.history.asks.air_kib(view.now_s)
    reading = view.snapshot.memory
    if reading is not None and view.settings.mode == "guard" and view.history.use.is_new:
        more_kib += air_kib(reading)
    return min(view.current_kib, view.floor_kib + more_kib // PAGE_KIB * PAGE_KIB)


def _step_kib(view: View, lowest_kib: int) -> int:
    """How far to go at once: half of the room there is."""
    half_kib = (view.current_kib - lowest_kib) // 2 // PAGE_KIB * PAGE_KIB
    step_kib = max(view.settings.guard_step_kib // PAGE_KIB * PAGE_KIB, half_kib)
    return max(lowest_kib, view.current_kib - step_kib)
