# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of `balloon-agent run`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from agent.core.policy.settings import MODES
from agent.words import take_apart


class UsageError(Exception):
    """The command line makes no sense; the text says where."""


class Options(NamedTuple):
    """What was asked for."""

    config: str | None = None
    mode: str | None = None
    forget: bool = False


def parse_options(arguments: Sequence[str]) -> Options:
    """Read the words behind `run`.

    Raises:
        UsageError: one of them is unknown, or lacks its value.
    """
    words = take_apart(arguments, ("--config", "--mode"), ("--forget",))
    if words.rest:
        raise UsageError(f"run: no such option: {words.rest[0]}")
    if words.lacking is not None:
        raise UsageError(f"run: {words.lacking} needs a value")
    options = Options(
        words.given.get("--config"), words.given.get("--mode"), "--forget" in words.given
    )
    if options.mode not in (None, *MODES):
        raise UsageError(f"run: --mode is one of {', '.join(MODES)}")
    if options.forget and options != Options(forget=True):
        raise UsageError("run: --forget goes alone")
    return options
