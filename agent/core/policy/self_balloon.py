# SPDX-License-Identifier: GPL-2.0-or-later
"""Mode `self`: gives back what the guest does not need, and takes it back before it hurts.

Between the floor and the host's target, never outside.  What is needed is what is in use and a
reserve, or the recent peak and half of it.  Giving back is slow (an eighth of the surplus at a
time, after a calm minute), taking back is immediate, and everything the host allows when programs
begin to wait: as selfballoon's hysteresis of 8 down and 1 up (drivers/xen/xen-selfballoon.c, Linux
4.4), with a dead band so that small changes move nothing.
"""

from __future__ import annotations

from typing import Final

from agent.core.account.driver import may_hot_add
from agent.core.facts.units import MIB_KIB, PAGE_KIB, format_kib
from agent.core.policy.decision import Decision, nothing, write_target
from agent.core.policy.follow import blocks_offline, cancelled, on_its_way
from agent.core.policy.view import View

_DOWN_SHARE: Final = 8
_STEP_LEAST_KIB: Final = 16 * MIB_KIB
_GROW_LEAST_KIB: Final = 32 * MIB_KIB
_GROW_SHARE: Final = 8
_CALM_STALL_PERCENT: Final = 1.0
_LOST_US: Final = 40_000  # less than what fires the pressure trigger
_SOONEST_S: Final = 0.5


def goal_kib(view: View) -> int | None:
    """What the guest should have now, between floor and host target; None if it cannot be told."""
    reading = view.snapshot.memory
    if reading is None or view.aim_kib is None:
        return None
    reserve = reserve_kib(view)
    in_use_kib = view.current_kib - reading.available_kib
    needed_kib = max(in_use_kib + reserve, view.history.use.recent_peak_kib + reserve // 2)
    floor_kib = max(view.floor_kib, view.settings.floor_kib or 0)
    return min(view.aim_kib, max(floor_kib, -(-needed_kib // PAGE_KIB) * PAGE_KIB))


def reserve_kib(view: View) -> int:
    """What is to stay available: a share of what the host allows, so it does not shrink as well."""
    allowed_kib = view.aim_kib or view.current_kib
    share_kib = int(allowed_kib * view.settings.self_reserve_percent // 100)
    return max(view.settings.self_reserve_kib, share_kib)


def is_urgent(view: View) -> bool:
    """Whether programs wait for memory now, and it is the guest's memory they wait for.

    The averages are up to 2 s old (kernel/sched/psi.c), so what was lost since the last look
    counts as well.  Programs that wait while the reserve is whole wait because of a control
    group's own limit: more memory for the guest is no help to them.
    """
    pressure = view.snapshot.pressure
    stalls = pressure is not None and pressure.some_avg10 >= view.settings.guard_stall_percent
    waits = stalls or view.history.use.lost_us >= _LOST_US
    return view.short or (waits and (view.available_kib or 0) < reserve_kib(view))


def is_tight(view: View) -> bool:
    """Whether the guest should get more: half the reserve is gone, or programs wait."""
    return is_urgent(view) or (view.available_kib or 0) < reserve_kib(view) // 2


def is_calm(view: View) -> bool:
    """Whether nothing speaks against giving memory back."""
    pressure = view.snapshot.pressure
    stalled = pressure is not None and pressure.some_avg60 >= _CALM_STALL_PERCENT
    return not (stalled or is_tight(view))


def resume(view: View) -> Decision | None:
    """The host wrote a target again, and the guest needs no more than it had kept for itself."""
    kept_kib, goal = view.history.kept_kib, goal_kib(view)
    if kept_kib is None or goal is None or view.aim_kib is None or is_tight(view):
        return None
    grows = view.at_host_target and view.current_kib < view.target_kib
    if not grows or view.history.own_kib is not None or not goal <= kept_kib < view.aim_kib:
        return None
    return write_target(
        max(kept_kib, view.current_kib),
        "take-back",
        "self-resume",
        f"The host allows {format_kib(view.aim_kib)}; the guest still needs less.",
        view.numbers(goal_kib=goal, kept_kib=kept_kib),
    )


def take_back(view: View) -> Decision | None:
    """The guest needs more and the host allows it."""
    goal = goal_kib(view)
    if goal is None or view.aim_kib is None or view.target_kib >= view.aim_kib:
        return None
    tight = is_tight(view)
    wanted_kib = goal
    if is_urgent(view):
        wanted_kib = view.aim_kib
    elif tight:
        grown_kib = view.current_kib + max(_GROW_LEAST_KIB, view.current_kib // _GROW_SHARE)
        wanted_kib = max(goal, grown_kib)
    next_kib = min(_within_reach_kib(view, view.aim_kib), wanted_kib // PAGE_KIB * PAGE_KIB)
    band_kib = PAGE_KIB if tight else view.settings.self_dead_band_kib
    too_low = view.history.sinks_below(next_kib, view.target_kib)
    if not too_low or next_kib - view.target_kib < band_kib:
        return None
    return write_target(
        next_kib,
        "take-back",
        "self-take-back",
        f"The guest needs more: {format_kib(next_kib)} of the {format_kib(view.aim_kib)} the host "
        "allows.",
        view.numbers(goal_kib=goal, available_kib=view.available_kib),
    )


def _within_reach_kib(view: View, aim_kib: int) -> int:
    """What of it the kernel can have.

    One that cannot hot-add takes a target back at once that is beyond what its balloon holds
    (drivers/xen/balloon.c, reserve_additional_memory): it would be told so again and again.
    """
    driver = view.situation.driver
    if driver is None or may_hot_add(view.snapshot):
        return aim_kib
    return min(aim_kib, driver.current_kib + driver.ballooned_kib)


def give_back(view: View) -> Decision | None:
    """The guest has had more than it needs for a while."""
    goal, calm_since_s = goal_kib(view), view.history.calm_since_s
    if goal is None or calm_since_s is None or view.situation.state != "settled":
        return None
    surplus_kib = view.target_kib - goal
    if surplus_kib <= view.settings.self_dead_band_kib:
        return None
    due_s = max(
        calm_since_s + view.settings.self_calm_s,
        view.history.gave_s + view.settings.self_interval_s,
    )
    if view.now_s < due_s:
        return None
    step_kib = max(_STEP_LEAST_KIB, surplus_kib // _DOWN_SHARE) // PAGE_KIB * PAGE_KIB
    next_kib = max(goal, view.target_kib - step_kib)
    return write_target(
        next_kib,
        "give-back",
        "self-give-back",
        f"{format_kib(surplus_kib)} are not needed; the guest goes to {format_kib(next_kib)}.",
        view.numbers(goal_kib=goal, available_kib=view.available_kib),
    )


def stay(view: View) -> Decision | None:
    """At its own target, below the host's: nothing to do for the moment.

    A guest that cannot get its own target does not get the host's, which is larger: the kernel goes
    on trying, and is woken where it gave up.
    """
    if view.aim_kib is None or view.aim_kib < view.current_kib:
        return None
    is_own = view.history.is_own(view.target_kib)
    if not (is_own or view.at_host_target):
        return None
    if view.situation.state not in ("settled", "moving"):
        grows = is_own and view.current_kib < view.target_kib
        return _on_its_way(view) if grows else None
    return nothing(
        "self-stays",
        "The guest has what it needs.",
        view.numbers(goal_kib=goal_kib(view), available_kib=view.available_kib),
        view.now_s + _patience_s(view),
    )


def _on_its_way(view: View) -> Decision:
    return blocks_offline(view) or cancelled(view) or on_its_way(view)


def _patience_s(view: View) -> float:
    """How long not to look: less than it takes to use up half the reserve, as fast as lately."""
    grew_kib_s = view.history.use.grew_kib_s
    if grew_kib_s <= 0 or view.at_host_target:
        return view.settings.self_interval_s
    room_kib = (view.available_kib or 0) - reserve_kib(view) // 2
    return min(view.settings.self_interval_s, max(_SOONEST_S, room_kib / grew_kib_s / 2))
