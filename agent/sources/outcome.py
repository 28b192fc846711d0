# SPDX-License-Identifier: GPL-2.0-or-later
"""What became of an attempt to read something: a value, or one of four kinds of "no".

The words are those of `sources` in `status --json`: ok, absent, denied, hidden,
"malformed: why".  Absence is ordinary (kernels differ); it is never an exception.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Optional, TypeVar

from agent.core.facts.numbers import MalformedError

S = TypeVar("S")
T = TypeVar("T")

OK: Final = "ok"
ABSENT: Final = "absent"
DENIED: Final = "denied"
HIDDEN: Final = "hidden"


class HiddenError(Exception):
    """The kernel shows a censored view to this user (addresses read as 0)."""


class Outcome(tuple[Optional[T], str]):  # a generic NamedTuple is Python 3.11's
    """A value and "ok", or None and why there is none."""

    __slots__ = ()

    def __new__(cls, value: T | None, status: str) -> Outcome[T]:
        return tuple.__new__(cls, (value, status))

    @property
    def value(self) -> T | None:
        return self[0]

    @property
    def status(self) -> str:
        """One of the words above."""
        return self[1]


class Statuses(dict[str, str]):
    """What became of each source that was read, by its name in `status --json`."""

    def take(self, name: str, outcome: Outcome[T]) -> T | None:
        """Note how reading `name` ended, and give its value."""
        self[name] = outcome.status
        return outcome.value


def malformed(why: object) -> str:
    """The status of something that was read but makes no sense; `why` on one line."""
    return "malformed: " + " ".join(str(why).split())


def parsed(read: Outcome[S], parse: Callable[[S], T]) -> Outcome[T]:
    """`parse` applied to what was read, its complaints turned into a status."""
    if read.value is None:
        return Outcome(None, read.status)
    try:
        return Outcome(parse(read.value), OK)
    except HiddenError:
        return Outcome(None, HIDDEN)
    except MalformedError as error:
        return Outcome(None, malformed(error))
