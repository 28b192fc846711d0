# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent run --forget`: the guest as if there had never been a daemon.

For whoever takes the agent away, such as its package: what it published and nobody counts on goes,
and where it had set a target of its own, the kernel gets the one that follows the host.  That the
guest has booted and can balloon stays true, and stays said: taken back, squeezed would keep free
for it all that it was squeezed by.  A qube says that it reports no more, and qmemman leaves it as
it is.
"""

from __future__ import annotations

import time

from agent.act import ActRefusedError, set_target_kib
from agent.core.facts.numbers import key_kib
from agent.core.facts.units import format_kib
from agent.core.policy.history import is_at
from agent.daemon import journal as j
from agent.daemon.journal import Journal
from agent.daemon.key_table import BALLOON, FOLLOW, HELD, KEYS, PROFILE, Key
from agent.daemon.ownership import has_another_agent, made_before, value_of
from agent.sources.outcome import OK, Outcome, parsed
from agent.sources.system_root import SystemRoot
from agent.sources.xen_memory import read_xen_memory
from agent.sources.xenstore.errors import KeyAbsent, XenstoreRefused
from agent.sources.xenstore.session import XenstoreSession


def forget(session: XenstoreSession, root: SystemRoot, journal: Journal) -> None:
    """Take back what a daemon that ended has left; what is refused is said.

    Raises:
        XenstoreLost: the connection is gone.
    """
    _follow(session, root, journal)
    profile = (value_of(session, PROFILE) or b"").decode("ascii", "replace")
    made, beside_another = made_before(session), has_another_agent(session)
    for key in KEYS:
        ours = key.name in made if key.others else profile in key.profiles
        if ours and not key.name.startswith(BALLOON):
            _take_back(session, key, journal, beside_another=beside_another)
    _remove(session, BALLOON, journal)  # at last: it is the record of what else there is
    _say(journal, j.INFO, "what was published to the host is taken back")


def _take_back(
    session: XenstoreSession, key: Key, journal: Journal, *, beside_another: bool
) -> None:
    """Do with a key outside data/balloon what its line in the table says."""
    if key.on_forget == "goes" or (key.on_forget == "goes, if ours" and not beside_another):
        _remove(session, key.name, journal)
    elif key.on_forget == "says so":
        try:
            session.write(key.name, key.last_word.encode("ascii"))
        except XenstoreRefused as error:
            _say(journal, j.WARNING, f"xenstore keeps {key.name}: {error}")


def _remove(session: XenstoreSession, name: str, journal: Journal) -> None:
    try:
        session.remove(name)
    except KeyAbsent:
        pass
    except XenstoreRefused as error:
        _say(journal, j.WARNING, f"xenstore keeps {name}: {error}")


def _follow(session: XenstoreSession, root: SystemRoot, journal: Journal) -> None:
    """Give the kernel the host's target, if the one in force is still the daemon's own."""
    held_kib, follow_kib = _number(session, HELD), _number(session, FOLLOW)
    balloon, _ = read_xen_memory(root)
    if held_kib is None or follow_kib is None or balloon is None:
        return
    if not is_at(balloon.target_kib, held_kib):
        return  # the host has asked for something else since, and the kernel follows that
    try:
        set_target_kib(root, follow_kib)
    except ActRefusedError as error:
        _say(journal, j.WARNING, f"the balloon's target stays the agent's own: {error}")
    else:
        _say(journal, j.NOTICE, f"the balloon follows the host again: {format_kib(follow_kib)}")


def _number(session: XenstoreSession, key: str) -> int | None:
    return parsed(Outcome(value_of(session, key), OK), key_kib).value


def _say(journal: Journal, priority: int, text: str) -> None:
    journal.say(priority, text, text, time.monotonic())
