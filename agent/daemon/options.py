# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of `balloon-agent run`, read by hand: argparse and click are for short programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from agent.core.policy.settings import MODES


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
    given: dict[str, str] = {}
    words = [word for word in arguments if word != "--forget"]
    forget = len(words) < len(arguments)
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if name not in ("--config", "--mode"):
            raise UsageError(f"run: no such option: {word}")
        if not equals:
            if not words:
                raise UsageError(f"run: {name} needs a value")
            value = words.pop(0)
        given[name.removeprefix("--")] = value
    if given.get("mode", MODES[0]) not in MODES:
        raise UsageError(f"run: --mode is one of {', '.join(MODES)}")
    if forget and given:
        raise UsageError("run: --forget goes alone")
    return Options(config=given.get("config"), mode=given.get("mode"), forget=forget)
