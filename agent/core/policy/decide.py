# SPDX-License-Identifier: GPL-2.0-or-later
"""The policy: from a situation, what is remembered and what is allowed to one decision.

`decide` is a pure function: the same arguments give the same decision.  Rules propose; whatever
they propose passes `_admitted`, which alone keeps the promises: no write in mode observe, none
below the floor or above static-max, and at most one per cooldown.  Protection is exempt from
patience: what stops a shrink and makes the guest no larger is due at once.

Relies on docs/design.md A23.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Optional

from agent.core.account.situation import Situation
from agent.core.facts.units import format_kib
from agent.core.policy import follow, guard, self_balloon
from agent.core.policy.decision import Decision, Reason, nothing
from agent.core.policy.history import History, noticed
from agent.core.policy.settings import HOLDING_MODES, Mode, PolicySettings
from agent.core.policy.use import REMEMBERS_S, seen_use
from agent.core.policy.view import View, view

Rule = Callable[[View], Optional[Decision]]

_FOLLOW: Final[tuple[Rule, ...]] = (
    follow.finish_nudge,
    follow.released_pages,
    follow.no_host_target,
    follow.beyond_static_max,
    follow.target_ignored,
    follow.settled,
    follow.blocks_offline,
    follow.cancelled,
    follow.lent,
    follow.on_its_way,
)
_GUARD: Final[tuple[Rule, ...]] = (
    guard.hold,
    follow.finish_nudge,
    follow.released_pages,
    guard.await_kernel,
    guard.release,
    guard.guarded_shrink,
    follow.no_host_target,
    follow.beyond_static_max,
    follow.target_ignored,
    follow.settled,
    follow.blocks_offline,
    follow.cancelled,
    follow.lent,
    follow.on_its_way,
)
_SELF: Final[tuple[Rule, ...]] = (
    guard.hold,
    follow.finish_nudge,
    follow.released_pages,
    guard.await_kernel,
    guard.guarded_shrink,
    follow.no_host_target,
    follow.beyond_static_max,
    self_balloon.resume,
    self_balloon.take_back,
    self_balloon.give_back,
    self_balloon.stay,
    guard.release,
    follow.target_ignored,
    follow.settled,
    follow.blocks_offline,
    follow.cancelled,
    follow.lent,
    follow.on_its_way,
)
RULES: Final[Mapping[Mode, tuple[Rule, ...]]] = {
    "observe": _FOLLOW,  # whose proposals are not admitted
    "follow": _FOLLOW,
    "guard": _GUARD,
    "self": _SELF,
}
"""Of each mode, the first that has something to say decides.

What modes have in common stands in each list all the same: the order is what there is to know, and
so it is seen without putting anything together.
"""


def decide(
    situation: Situation,
    history: History,
    settings: PolicySettings,
    now_s: float,
    *,
    asked: bool = False,
) -> tuple[Decision, History]:
    """The decision for this moment, and the history with what was seen; never raises.

    Whoever carries it out calls `remembered`, or `refused`.  `asked`: memory/target has been
    touched since the last decision, be it with the same value.
    """
    history = noticed(history, situation, now_s, asked=asked)
    span_s = settings.self_remember_s if settings.mode == "self" else REMEMBERS_S
    history = history._replace(use=seen_use(history.use, situation, now_s, span_s))
    seen = view(situation, history, settings, now_s)
    if seen is None:
        history = history._replace(hold_kib=None)
        return nothing("no-driver", "This kernel has no balloon driver."), history
    history = _with_calm(history, seen)
    seen = seen._replace(history=history)
    holds = sets_targets(situation, settings)
    history = history._replace(hold_kib=guard.held_kib(seen) if holds else None)
    return _admitted(_hands_off(seen) or _proposed(seen), seen), history


def _proposed(seen: View) -> Decision:
    """The last rule of each mode always has something to say."""
    proposals = (rule(seen) for rule in RULES[seen.settings.mode])
    return next(decision for decision in proposals if decision is not None)


def is_left_alone(situation: Situation, settings: PolicySettings) -> bool:
    """Whether the domain's memory is not the agent's business unless somebody says so."""
    is_hosts = situation.snapshot.domain.is_dom0 or settings.driver_domain
    return situation.in_crash_kernel or (is_hosts and not settings.act_in_dom0)


def sets_targets(situation: Situation, settings: PolicySettings) -> bool:
    """Whether targets of the agent's own may be in force."""
    return settings.mode in HOLDING_MODES and not is_left_alone(situation, settings)


def _hands_off(seen: View) -> Decision | None:
    if not is_left_alone(seen.situation, seen.settings):
        return None
    if seen.situation.in_crash_kernel:
        return nothing("crash-kernel", "This is a crash kernel; nothing is changed.")
    kind = "dom0" if seen.snapshot.domain.is_dom0 else "a driver domain"
    return follow.released_pages(seen) or nothing(
        "dom0",
        f"This is {kind}: nothing is changed unless act_in_dom0 is set.",
        seen.numbers(),
        None if _rests(seen) else seen.look_s(),
    )


def _rests(seen: View) -> bool:
    """Whether nothing is to be seen before the next event: what moves is followed to its end."""
    still = seen.situation.state not in ("moving", "retrying", "unclear")
    still = still or follow.lent(seen) is not None
    return still and seen.now_s >= seen.grace_ends_s


def _with_calm(history: History, seen: View) -> History:
    """Since when the guest has been at ease, for mode self."""
    since_s = seen.now_s if history.calm_since_s is None else history.calm_since_s
    return history._replace(calm_since_s=since_s if self_balloon.is_calm(seen) else None)


def _admitted(decision: Decision, seen: View) -> Decision:
    """The decision if it keeps the promises, else one to do nothing that says which it breaks."""
    if decision.action == "none":
        return decision
    broken = _broken_promise(decision.target_kib, seen)
    if broken is None:
        return decision
    reason, why, look_again_s = broken
    numbers = {**decision.numbers, "would": decision.reason}
    if decision.target_kib is not None:
        numbers["would_write_kib"] = decision.target_kib
    return nothing(reason, f"{decision.sentence} {why}", numbers, look_again_s)


def _broken_promise(target_kib: int | None, seen: View) -> tuple[Reason, str, float] | None:
    """Which promise an action would break: its code, the words, and when to try again."""
    if seen.settings.mode == "observe":
        return "observing", "Mode observe changes nothing.", seen.look_s()
    if seen.now_s < seen.history.retry_s:
        return "refused-before", "The kernel refused a moment ago.", seen.history.retry_s
    if target_kib is None:
        return None
    had_kib = max(seen.current_kib, seen.history.own_kib or 0)
    if seen.most_kib is not None and target_kib > max(seen.most_kib, had_kib):
        most = format_kib(seen.most_kib)
        return "beyond-static-max", f"The domain may have {most}.", seen.look_s()
    if target_kib < seen.floor_kib:
        floor = format_kib(seen.floor_kib)
        return "below-floor", f"The guest needs {floor}.", max(seen.look_s(), seen.now_s + 5.0)
    ready_s = seen.history.wrote_s + seen.settings.cooldown_s
    protects = seen.target_kib < target_kib <= had_kib
    waits = seen.now_s < ready_s and not protects
    return ("cooldown", "The last write was a moment ago.", ready_s) if waits else None
