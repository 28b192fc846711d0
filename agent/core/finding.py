# SPDX-License-Identifier: GPL-2.0-or-later
"""A finding: something a person should know, with the values that show it and what to do."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

Severity = Literal["info", "warning", "critical"]
RANK: Final[Mapping[Severity, int]] = {"info": 0, "warning": 1, "critical": 2}

Evidence = Mapping[str, int | float | str]


class Finding(NamedTuple):
    """`code` never changes its meaning; `fix` is a command, a setting, or says that none helps."""

    code: str
    severity: Severity
    summary: str
    evidence: Evidence
    fix: str
