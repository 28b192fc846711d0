# SPDX-License-Identifier: GPL-2.0-or-later
"""A finding: something a person should know, with the values that show it and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, Union

Severity = Literal["info", "warning", "critical"]
RANK: Final[Mapping[Severity, int]] = {"info": 0, "warning": 1, "critical": 2}

# Who can mend it: whoever runs this guest, whoever runs the host, either of them, or nobody
# needs to.
Actor = Literal["guest", "host", "either", "nobody"]

Evidence = Mapping[str, Union[int, float, str]]


class Finding(NamedTuple):
    """`code` never changes its meaning.

    Attributes:
        code: what a script goes by.
        severity: how bad it is.
        summary: what is the case, in a sentence.
        evidence: the values that show it.
        fix: a command to paste, its reason behind a `#`; or a setting; or that none is needed.
        cause: why it is so, as far as it can be told from inside the guest.
        actor: who can mend it.
    """

    code: str
    severity: Severity
    summary: str
    evidence: Evidence
    fix: str
    cause: str = ""
    actor: Actor = "guest"
