# SPDX-License-Identifier: GPL-2.0-or-later
"""A plain `status` or `status --json` without click, which would be a third of its time."""

from __future__ import annotations

import os
from collections.abc import Sequence

from agent.cli.endings import ended
from agent.cli.which_domain import WhichDomain
from agent.cli.words import domain_options


def plain_status(words: Sequence[str]) -> int | None:
    """The exit status; None when the words ask for anything that click has to look at."""
    as_json = list(words[-2:]) == ["status", "--json"]
    if not as_json and words[-1] != "status":
        return None
    options = domain_options(words[: -2 if as_json else -1])
    if options is None or not options.keys() <= {"--root"}:
        return None
    root = options.get("--root")
    if root is not None and not os.path.isdir(root):
        return None
    show = _show_json if as_json else _show_screen
    return ended(lambda: show(WhichDomain(root)))


def _show_json(which: WhichDomain) -> int:
    from agent.cli.status_json import print_status_json  # noqa: PLC0415 - one or the other

    return print_status_json(which, None)


def _show_screen(which: WhichDomain) -> int:
    from agent.cli.status_screen import show_status  # noqa: PLC0415 - one or the other
    from agent.report.terminal import Terminal  # noqa: PLC0415

    return show_status(which, Terminal())
