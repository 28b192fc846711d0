# SPDX-License-Identifier: GPL-2.0-or-later
"""A decision: what the agent does now, why, and when it wants to look again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, Union

Action = Literal["none", "write-target", "online-block"]
Purpose = Literal["follow", "insist", "guard", "give-back", "take-back", "wake", "reclaim"]
"""What a target is written for; `insist`: the host's own once more, as the kernel ignored it."""
Reason = Literal[
    "below-floor",
    "beyond-static-max",
    "blocks-stay-offline",
    "cooldown",
    "crash-kernel",
    "dom0",
    "driver-gave-up",
    "given-up",
    "guard-held",
    "guard-over",
    "guard-shrinks",
    "guard-step",
    "held-at-floor",
    "host-silent",
    "host-target-garbage",
    "hotplug-offline",
    "kernel-has-time",
    "lent",
    "moving",
    "no-driver",
    "no-host-target",
    "no-room-to-shrink",
    "observing",
    "offset-unknown",
    "online-not-allowed",
    "reclaim-released",
    "refused-before",
    "retrying",
    "self-give-back",
    "self-resume",
    "self-stays",
    "self-take-back",
    "settled",
    "target-ignored",
    "unclear",
    "unreachable",
    "wake-finished",
    "waking",
]
"""The code of a decision, which never changes its meaning; docs/modes.md says what each means."""
UNREMARKABLE: Final[frozenset[Reason]] = frozenset({"settled", "moving", "kernel-has-time"})
Numbers = Mapping[str, Union[int, float, str]]

NO_NUMBERS: Final[Numbers] = {}


class Decision(NamedTuple):
    """One decision.

    Attributes:
        sentence: the reason for a person.
        numbers: what it rests on.
        target_kib: what to write to target_kb (the kernel's scale), for `write-target`.
        blocks: the memory blocks to put online, for `online-block`.
        look_again_s: when to look again, on the clock `decide` was given; None: when something
            happens.
        nudge_to_kib: for the purpose `wake`, what the target is to be moved back to.
    """

    action: Action
    reason: Reason
    sentence: str
    numbers: Numbers = NO_NUMBERS
    target_kib: int | None = None
    purpose: Purpose = "follow"
    blocks: tuple[int, ...] = ()
    look_again_s: float | None = None
    nudge_to_kib: int | None = None


def nothing(
    reason: Reason, sentence: str, numbers: Numbers = NO_NUMBERS, look_again_s: float | None = None
) -> Decision:
    """Leave everything as it is."""
    return Decision("none", reason, sentence, numbers, look_again_s=look_again_s)


def write_target(
    target_kib: int, purpose: Purpose, reason: Reason, sentence: str, numbers: Numbers
) -> Decision:
    """Set the kernel's target."""
    return Decision("write-target", reason, sentence, numbers, target_kib, purpose)
