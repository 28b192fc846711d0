# SPDX-License-Identifier: GPL-2.0-or-later
"""A plain `status --json` without click, which would be a third of its time."""

import os
from collections.abc import Sequence

from agent.cli import domain_options
from agent.cli.endings import ended
from agent.cli.status_json import print_status_json
from agent.cli.which_domain import WhichDomain


def plain_status_json(words: Sequence[str]) -> int | None:
    """The exit status; None when the words ask for anything that click has to look at."""
    if list(words[-2:]) != ["status", "--json"]:
        return None
    options = domain_options(words[:-2])
    if options is None or not options.keys() <= {"--root"}:
        return None
    root = options.get("--root")
    if root is not None and not os.path.isdir(root):
        return None
    return ended(lambda: print_status_json(WhichDomain(root), None))
