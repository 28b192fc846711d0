# SPDX-License-Identifier: GPL-2.0-or-later
"""Mode `guard`: as `follow`, but a shrink goes in steps and stops at the floor.

The kernel takes memory/target up at once and would squeeze the guest into the OOM killer.  The
agent lets it take the host's target first (otherwise that would overwrite what the agent wrote),
and then sets one nearer, as far as memory allows now.  When the host's target is above what the
guest has, there is nothing to guard.

Relies on docs/design.md A14 and A16.
"""

from __future__ import annotations

from typing import Final

from agent.core.account.headroom import air_kib
from agent.core.facts.units import MIB_KIB, PAGE_KIB, format_kib
from agent.core.policy.decision import Decision, nothing, write_target
from agent.core.policy.follow import (
    FOLLOW_RULES,
    beyond_static_max,
    cancelled,
    finish_nudge,
    no_host_target,
)
from agent.core.policy.view import View

DEAD_BAND_KIB: Final = 4 * MIB_KIB
GUARD_REMEMBERS_S: Final = 15.0
"""A program that takes more for each request is not to be squeezed between two of them."""
_AWAIT_KERNEL_S: Final = 0.05
_STEP_LOOK_S: Final = 0.25
_HELD_LOOK_S: Final = 2.0


def await_kernel(view: View) -> Decision | None:
    """A new target of the host's that the kernel has not taken up yet: it would win."""
    if view.aim_kib is None or not view.kernel_has_time or view.at_host_target:
        return None
    return nothing(
        "kernel-has-time",
        "The kernel is given a moment to take up the host's target.",
        view.numbers(aim_kib=view.aim_kib),
        min(view.grace_ends_s, view.now_s + _AWAIT_KERNEL_S),
    )


def release(view: View) -> Decision | None:
    """The host no longer asks for less than there is: its target counts again."""
    own_kib, aim_kib = view.memory.own_kib, view.aim_kib
    if aim_kib is None or aim_kib < view.current_kib or own_kib is None:
        return None
    if view.target_kib != own_kib or view.at_host_target:
        return None
    return write_target(
        aim_kib,
        "guard-over",
        "The host no longer asks for less; its target counts.",
        view.numbers(),
    )


def guarded_shrink(view: View) -> Decision | None:
    """The host asks for less than there is: the next step, if there is room for one."""
    if view.aim_kib is None or view.aim_kib >= view.current_kib:
        return None
    short = view.short
    floor_kib = _watched_floor_kib(view)
    lowest_kib = max(view.aim_kib, view.current_kib if short else floor_kib)
    next_kib = _next_kib(view, lowest_kib)
    figures = view.numbers(
        aim_kib=view.aim_kib,
        floor_kib=floor_kib,
        next_kib=next_kib,
        available_kib=view.available_kib,
        short="yes" if short else "no",
    )
    if view.target_kib < next_kib:
        return write_target(
            next_kib,
            "guard-held" if next_kib >= view.current_kib else "guard-step",
            f"The host asks for {format_kib(view.aim_kib)}; for now the guest sinks to "
            f"{format_kib(next_kib)}.",
            figures,
        )
    worth_it = view.target_kib - next_kib >= DEAD_BAND_KIB or next_kib == view.aim_kib
    if view.target_kib > next_kib and worth_it:
        return write_target(
            next_kib,
            "guard-step",
            f"There is room: the guest sinks to {format_kib(next_kib)}.",
            figures,
        )
    if view.target_kib >= view.current_kib:
        return nothing(
            "held-at-floor",
            f"The host asks for {format_kib(view.aim_kib)}; the guest needs "
            f"{format_kib(floor_kib)} and is not made smaller.",
            figures,
            view.now_s + _HELD_LOOK_S,
        )
    stuck = cancelled(view)
    if stuck is not None and view.target_kib >= view.floor_kib:
        latest_s = view.now_s + _HELD_LOOK_S
        return stuck._replace(look_again_s=min(stuck.look_again_s or latest_s, latest_s))
    return nothing(
        "guard-shrinks",
        f"The guest is on its way to {format_kib(view.target_kib)}.",
        figures,
        view.now_s + _STEP_LOOK_S,
    )


def _watched_floor_kib(view: View) -> int:
    """The floor; with twice the air as long as the guest has not been watched for a while.

    What is taken too much cannot be had back: with the target, the toolstack has lowered what Xen
    lets the domain have (libxl.c, libxl_set_memory_target).
    """
    memory = view.snapshot.memory
    if memory is None or view.settings.mode != "guard" or not view.memory.use.is_new:
        return view.floor_kib
    return min(view.current_kib, view.floor_kib + air_kib(memory) // PAGE_KIB * PAGE_KIB)


def _next_kib(view: View, lowest_kib: int) -> int:
    """How far to go now: half of the room there is; no new step while one is under way."""
    half_kib = (view.current_kib - lowest_kib) // 2 // PAGE_KIB * PAGE_KIB
    step_kib = max(view.settings.guard_step_kib // PAGE_KIB * PAGE_KIB, half_kib)
    next_kib = max(lowest_kib, view.current_kib - step_kib)
    own_kib = view.memory.own_kib
    under_way = own_kib is not None and lowest_kib <= own_kib < view.current_kib
    return own_kib if under_way and own_kib is not None else next_kib


GUARD_RULES: Final = (
    finish_nudge,
    no_host_target,
    beyond_static_max,
    await_kernel,
    release,
    guarded_shrink,
    *FOLLOW_RULES,
)
