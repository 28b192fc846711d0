# SPDX-License-Identifier: GPL-2.0-or-later
"""Which of the keys that others write as well are this agent's: nobody else's is overwritten.

A shared key is ours when we made it, which `data/balloon/made` tells a later daemon; one that is
there otherwise, or has another value than we gave it, is somebody's who does the same work.
xe-daemon, for one, writes a key again only for another value than its last (recorded:
tests/recordings): what is written over there, or removed, stays so until it has one, and
control/feature-balloon never has.

Relies on docs/design.md A21 and A22.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from agent.daemon.key_table import BY_NAME, FREE, MADE, TOTAL, UPDATED, is_shared
from agent.sources.xenstore.errors import KeyAbsent, XenstoreRefused
from agent.sources.xenstore.session import XenstoreSession

_FIGURES: Final = (TOTAL, FREE, UPDATED)
OTHERS_SIGN: Final = "attr/PVAddons"  # xe-daemon and xen-guest-agent say by it that they are there


class Ownership:
    """The shared keys of one xenstored: `made` are ours, `left` others' with the reason why."""

    SURVIVES_REST: Final = ("left", "made")

    def __init__(self) -> None:
        self.left: dict[str, str] = {}
        self.made: set[str] = set()

    def look(self, session: XenstoreSession) -> None:
        """What an earlier daemon made.

        Raises:
            XenstoreLost: the connection is gone.
        """
        self.left.clear()
        self.made = made_before(session)

    def may_write(self, session: XenstoreSession, name: str, sent: Mapping[str, str]) -> bool:
        """Whether a shared key is nobody else's now; asked before each write of it.

        Raises:
            XenstoreLost: the connection is gone.
        """
        if not is_shared(name):
            return True
        if name in self.left:
            return False
        there = value_of(session, name)
        given = BY_NAME[name].given
        vacant = there is None or (given and not there.isdigit())
        if given and there is None:
            self.left[name] = "the host has not made it"
        elif name in sent:
            if not vacant and there != sent[name].encode("ascii"):
                self._yield(name, "another has written it since")
        elif not vacant and name not in self.made:
            self._yield(name, "it is another's")
        elif (name in _FIGURES or not vacant) and has_another_agent(session):
            # Made by a daemon before this one, and perhaps written by the other since.
            self._yield(name, "another agent is there, whose it is")
        return name not in self.left

    def _yield(self, name: str, why: str) -> None:
        self.left[name] = why
        self.made.discard(name)

    @property
    def record(self) -> str:
        """The value of `data/balloon/made`: short names, as nothing else is needed."""
        return " ".join(sorted(name.rpartition("/")[2] for name in self.made))


def made_before(session: XenstoreSession) -> set[str]:
    """The shared keys that this agent has made, by its own record."""
    words = (value_of(session, MADE) or b"").decode("ascii", "replace").split(" ")
    return {name for name in BY_NAME if is_shared(name) and name.rpartition("/")[2] in words}


def value_of(session: XenstoreSession, name: str) -> bytes | None:
    """What a key holds; None where it is absent, empty where it may not be read."""
    try:
        return session.read(name)
    except KeyAbsent:
        return None
    except XenstoreRefused:
        return b""


def has_another_agent(session: XenstoreSession) -> bool:
    """Whether xe-daemon or xen-guest-agent has said that it is there."""
    try:
        return bool(session.list(OTHERS_SIGN))
    except XenstoreRefused:
        return False
