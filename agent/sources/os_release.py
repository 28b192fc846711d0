# SPDX-License-Identifier: GPL-2.0-or-later
"""/etc/os-release: which distribution this is, for the words of advice.

    ID=ubuntu
    ID_LIKE="debian"

os-release(5): shell assignments; a value may stand between quotes.
"""

from __future__ import annotations

import re
from typing import Final

from agent.core.facts.numbers import MalformedError
from agent.core.findings.examination import Distribution
from agent.sources.outcome import Outcome, parsed
from agent.sources.system_root import SystemRoot

FILES: Final = ("etc/os-release", "usr/lib/os-release")
_LIMIT_BYTES: Final = 16 * 1024
_LINE = re.compile(r"^(ID|ID_LIKE)=([\"']?)([a-z0-9._ -]{1,200})\2$", re.ASCII | re.MULTILINE)


def parse_os_release(text: str) -> Distribution:
    """ID and ID_LIKE.

    Raises:
        MalformedError: there is no ID.
    """
    values = {name: value for name, _, value in _LINE.findall(text)}
    if "ID" not in values:
        raise MalformedError("no ID in it")
    return Distribution(values["ID"], tuple(values.get("ID_LIKE", "").split()))


def read_os_release(root: SystemRoot) -> Outcome[Distribution]:
    """The first of the two places that has it."""
    found = root.read(FILES[0], _LIMIT_BYTES)
    if found.value is None:
        found = root.read(FILES[1], _LIMIT_BYTES)
    return parsed(found, parse_os_release)
