# SPDX-License-Identifier: GPL-2.0-or-later
"""A finding: something a person should know, with the values that show it and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, Union

Severity = Literal["info", "warning", "critical"]
RANK: Final[Mapping[Severity, int]] = {"info": 0, "warning": 1, "critical": 2}

Where = Literal["guest", "host"]
Effect = Literal["now", "next-boot"]
# Who can fix it: whoever runs this guest, whoever runs the host, either of them, or nobody
# needs to.
Actor = Literal["guest", "host", "either", "nobody"]

_SET_SIZES: Final = ("xl mem-", "xm mem-", "xe vm-memory-", "qvm-prefs ", "xenstore-write ")

Evidence = Mapping[str, Union[int, float, str]]


def known(value: int | float | str | None) -> int | float | str:
    """A value for the evidence: what could not be read is said to be unknown, never 0."""
    return "unknown" if value is None else value


def what_is_known(values: Mapping[str, int | float | str | None]) -> Evidence:
    """Of values for the evidence those that could be read, where the others tell nothing."""
    return {name: value for name, value in values.items() if value is not None}


class Fix(NamedTuple):
    """What one of the two can do.

    `commands` can be pasted as they are, in their order, and each was tried on every guest that
    shows the finding (tests/fixes); where nothing could be tried, `note` says what to do.
    """

    where: Where
    commands: tuple[str, ...] = ()
    effect: Effect = "now"
    note: str = ""

    @property
    def text(self) -> str:
        """On one line; what is behind the `#` is for people."""
        note = self.note
        if self.where == "host":
            note = f"on the host: {note}" if note else "on the host"
        if not self.commands:
            return note
        pasted = "; ".join(self.commands)
        return f"{pasted}  # {note}" if note else pasted

    @property
    def sets_size(self) -> bool:
        """Whether it sets how much memory the guest is to have: two of those contradict.

        All but the video memory that a host can change from the next start on is a size.
        """
        if self.where == "host" and self.effect == "next-boot":
            return "videoram" not in self.note
        return any(
            command.startswith(_SET_SIZES) or "target_kb" in command for command in self.commands
        )


class Finding(NamedTuple):
    """`code` never changes its meaning; the registry puts it in.

    Attributes:
        summary: what is the case, in a sentence.
        evidence: the values that show it.
        cause: why it is so, as far as it can be told from inside the guest.
        severity: how bad it is; where that is always the same, the registry puts it in.
        fixes: what can be done, for each actor at most once.
        remark: what to say where there is nothing to fix.
        code: what a script goes by.
        because: the code of the finding that this one follows from; that one tells the cure.
        after: the code of the finding whose cure comes first; then one has to look again.
    """

    summary: str
    evidence: Evidence
    cause: str
    severity: Severity = "info"
    fixes: tuple[Fix, ...] = ()
    remark: str = "nothing to do"
    code: str = ""
    because: str | None = None
    after: str | None = None

    @property
    def fix(self) -> str:
        """What to do, in a line: a command to paste with its reason behind a `#`, or words."""
        if self.because is not None:
            return f"see {self.because}, which it follows from"
        if self.after is not None:
            return f"first do what {self.after} says, then look again"
        return self.fixes[0].text if self.fixes else self.remark

    @property
    def actor(self) -> Actor:
        wheres = {fix.where for fix in self.fixes}
        if len(wheres) == 1:
            return self.fixes[0].where
        return "either" if wheres else "nobody"

    def as_object(self) -> dict[str, Any]:
        """As JSON has it: keys may be added here, never renamed."""
        return {
            "code": self.code,
            "severity": self.severity,
            "summary": self.summary,
            "evidence": dict(self.evidence),
            "fix": self.fix,
            "cause": self.cause,
            "actor": self.actor,
            "fixes": [fix._asdict() | {"commands": list(fix.commands)} for fix in self.fixes],
            "because": self.because,
        }
