# SPDX-License-Identifier: GPL-2.0-or-later
"""The policy: from a situation, what is remembered and what is allowed to one decision.

`decide` is a pure function: the same arguments give the same decision.  Rules propose; whatever
they propose passes `_admitted`, which alone keeps the promises: no write in mode observe, none
below the floor or above static-max, and at most one per cooldown.

Relies on docs/design.md A23.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Optional

from agent.core.account.situation import Situation
from agent.core.facts.units import format_kib
from agent.core.policy.decision import Decision, nothing
from agent.core.policy.follow import FOLLOW_RULES, lent, released_pages
from agent.core.policy.guard import GUARD_REMEMBERS_S, GUARD_RULES
from agent.core.policy.memory import EMPTY, PolicyMemory, noticed, remembered
from agent.core.policy.memory_use import seen_use
from agent.core.policy.self_balloon import SELF_RULES, is_calm
from agent.core.policy.settings import Mode, PolicySettings
from agent.core.policy.view import View, view

__all__ = ["EMPTY", "PolicyMemory", "PolicySettings", "decide"]

Rule = Callable[[View], Optional[Decision]]
_RULES: Final[Mapping[Mode, tuple[Rule, ...]]] = {
    "observe": FOLLOW_RULES,
    "follow": FOLLOW_RULES,
    "guard": GUARD_RULES,
    "self": SELF_RULES,
}


def decide(
    situation: Situation, memory: PolicyMemory, settings: PolicySettings, now_s: float
) -> tuple[Decision, PolicyMemory]:
    """The decision for this moment and the memory for the next; never raises."""
    memory = noticed(memory, situation, now_s)
    if settings.mode in ("guard", "self"):
        span_s = settings.self_remember_s if settings.mode == "self" else GUARD_REMEMBERS_S
        memory = memory._replace(use=seen_use(memory.use, situation, now_s, span_s))
    seen = view(situation, memory, settings, now_s)
    if seen is None:
        return nothing("no-driver", "This kernel has no balloon driver."), memory
    memory = _with_calm(memory, seen)
    seen = seen._replace(memory=memory)
    decision = _admitted(_proposed(seen), seen)
    return decision, remembered(memory, decision, situation, now_s, settings.cooldown_s)


def _proposed(seen: View) -> Decision:
    hands_off = _hands_off(seen)
    if hands_off is not None:
        return hands_off
    for rule in _RULES[seen.settings.mode]:
        decision = rule(seen)
        if decision is not None:
            return decision
    return nothing("settled", "There is nothing to do.", seen.numbers())


def _hands_off(seen: View) -> Decision | None:
    """Domains whose memory is not the agent's business unless somebody says so."""
    if any(option.startswith("elfcorehdr=") for option in seen.snapshot.kernel_options):
        return nothing("crash-kernel", "This is a crash kernel; nothing is changed.")
    dom0 = seen.snapshot.domain.is_dom0
    if not (dom0 or seen.settings.driver_domain) or seen.settings.act_in_dom0:
        return None
    released = released_pages(seen)
    if released is not None and dom0:
        return released
    kind = "dom0" if dom0 else "a driver domain"
    return nothing(
        "dom0",
        f"This is {kind}: nothing is changed unless act_in_dom0 is set.",
        seen.numbers(),
        None if _rests(seen) else seen.look_s(),
    )


def _rests(seen: View) -> bool:
    """Whether nothing is to be seen before the next event: what moves is followed to its end."""
    still = seen.situation.state not in ("moving", "retrying", "unclear") or lent(seen) is not None
    return still and seen.now_s >= seen.grace_ends_s


def _with_calm(memory: PolicyMemory, seen: View) -> PolicyMemory:
    """Since when the guest has been at ease, for mode self."""
    if not is_calm(seen):
        return memory._replace(calm_since_s=None)
    if memory.calm_since_s is None:
        return memory._replace(calm_since_s=seen.now_s)
    return memory


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


def _broken_promise(target_kib: int | None, seen: View) -> tuple[str, str, float] | None:
    """Which promise an action would break: its code, the words, and when to try again."""
    if seen.settings.mode == "observe":
        return "observing", "Mode observe changes nothing.", seen.look_s()
    if target_kib is None:
        return None
    if seen.most_kib is not None and target_kib > seen.most_kib:
        most = format_kib(seen.most_kib)
        return "beyond-static-max", f"The domain may have {most}.", seen.look_s()
    if target_kib < seen.floor_kib:
        floor = format_kib(seen.floor_kib)
        return "below-floor", f"The guest needs {floor}.", max(seen.look_s(), seen.now_s + 5.0)
    ready_s = seen.memory.wrote_s + seen.settings.cooldown_s
    if seen.now_s < ready_s:
        return "cooldown", "The last write was a moment ago.", ready_s
    return None
