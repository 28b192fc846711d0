# SPDX-License-Identifier: GPL-2.0-or-later
"""A decision: what the agent does now, why, and when it wants to look again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, Union

Action = Literal["none", "write-target", "online-block"]
Numbers = Mapping[str, Union[int, float, str]]

NO_NUMBERS: Final[Numbers] = {}


class Decision(NamedTuple):
    """One decision.

    Attributes:
        action: what to do.
        reason: a code that never changes its meaning.
        sentence: the reason for a person.
        numbers: what it rests on.
        target_kib: what to write to target_kb (the kernel's scale), for `write-target`.
        block: the memory block to put online, for `online-block`.
        look_again_s: when to look again, on the clock `decide` was given; None: when something
            happens.
        nudge_to_kib: set when the target is moved by a page only to wake the driver: what it
            is to be moved back to.
    """

    action: Action
    reason: str
    sentence: str
    numbers: Numbers = NO_NUMBERS
    target_kib: int | None = None
    block: int | None = None
    look_again_s: float | None = None
    nudge_to_kib: int | None = None


def nothing(
    reason: str, sentence: str, numbers: Numbers = NO_NUMBERS, look_again_s: float | None = None
) -> Decision:
    """Leave everything as it is."""
    return Decision("none", reason, sentence, numbers, look_again_s=look_again_s)


def write_target(target_kib: int, reason: str, sentence: str, numbers: Numbers) -> Decision:
    """Set the kernel's target."""
    return Decision("write-target", reason, sentence, numbers, target_kib=target_kib)
