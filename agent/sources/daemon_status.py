# SPDX-License-Identifier: GPL-2.0-or-later
"""status.json: what the daemon published last; here only whose numbers these are.

    {"schema": 1, ..., "domain": {"domid": 5, ...}, ...}

The whole file is that of docs/status-json.md.
"""

import json
from typing import Final

from agent.sources.outcome import MalformedError, Outcome, parsed
from agent.sources.system_root import LARGE_LIMIT_BYTES, SystemRoot

FILE: Final = "run/balloon-agent/status.json"


def parse_published_domid(text: str) -> int:
    """The domid in a status object.

    Raises:
        MalformedError: there is none.
    """
    try:
        domid = json.loads(text)["domain"]["domid"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise MalformedError("no status object with a domid") from None
    if type(domid) is not int or not 0 <= domid < 1 << 16:
        raise MalformedError("its domid is no number")
    return domid


def read_published_domid(root: SystemRoot) -> Outcome[int]:
    """Which domain the daemon's last status is about."""
    return parsed(root.read(FILE, LARGE_LIMIT_BYTES), parse_published_domid)
