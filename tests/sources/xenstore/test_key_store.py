# SPDX-License-Identifier: GPL-2.0-or-later
"""Keys of xenstore as outcomes, whatever stands behind them."""

from __future__ import annotations

import pytest

from agent.sources.host_keys import read_host
from agent.sources.outcome import ABSENT, DENIED, OK, Outcome
from agent.sources.xenstore.errors import (
    DeviceDenied,
    DeviceMissing,
    KeyAbsent,
    KeyDenied,
    XenstoreError,
    XenstoreLost,
)
from agent.sources.xenstore.key_store import NoKeys, SessionKeys


class Scripted:
    """A session that answers from a dictionary, and counts how often it is asked."""

    def __init__(self, keys: dict[str, bytes | XenstoreError], lost: bool = False) -> None:
        self.asked = 0
        self._keys = keys
        self._lost = lost

    def connect(self) -> None:
        if self._lost:
            raise XenstoreLost("gone")

    def read(self, key: str) -> bytes:
        self.asked += 1
        found = self._keys.get(key, KeyAbsent("ENOENT", "READ"))
        if isinstance(found, XenstoreError):
            raise found
        return found

    def list(self, key: str) -> list[str]:
        self.asked += 1
        below = [name.removeprefix(f"{key}/") for name in self._keys if name.startswith(f"{key}/")]
        if not below:
            raise KeyAbsent("ENOENT", "READ")
        return below


KEYS: dict[str, bytes | XenstoreError] = {
    "memory/target": b"524288",
    "memory/static-max": b"1048576",
    "memory/videoram": b"-1",
    "domid": b"5",
    "name": b"guest1",
    "vm": b"/vm/d4352faf-853e-4c60-b096-a16c102e04f0",
}


def test_what_the_host_says_is_read_with_their_sources() -> None:
    facts, statuses = read_host(SessionKeys(Scripted(KEYS)))
    assert facts.memory[:4] == (524288, None, 1048576, -1)
    assert (facts.toolstack, facts.name, facts.domid) == ("libxl", "guest1", 5)
    assert facts.uuid == "d4352faf-853e-4c60-b096-a16c102e04f0"
    read = ("target", "static-max", "videoram")
    assert {statuses[f"xenstore.memory/{name}"] for name in read} == {statuses["xenstore"]} == {OK}


def test_a_key_that_may_not_be_read_is_denied_and_the_others_are_read() -> None:
    facts, statuses = read_host(
        SessionKeys(Scripted({**KEYS, "memory/target": KeyDenied("EACCES", "READ")}))
    )
    assert (facts.memory.target_kib, facts.memory.static_max_kib) == (None, 1048576)
    assert statuses["xenstore.memory/target"] == DENIED


def test_a_session_that_is_lost_is_asked_only_once() -> None:
    """Each further question would cost its deadline."""
    session = Scripted({**KEYS, "memory/target": XenstoreLost("no answer in 2 s")})
    _, statuses = read_host(SessionKeys(session))
    assert session.asked == 2
    assert statuses["xenstore.memory/static-max"] == "malformed: no answer in 2 s"


def test_a_session_that_cannot_be_opened_is_never_asked() -> None:
    session = Scripted(KEYS, lost=True)
    store = SessionKeys(session)
    assert store.read("domid").value is None
    assert store.names("memory").value is None
    assert session.asked == 0


@pytest.mark.parametrize(
    ("entries", "writable"),
    [
        (["n0", "b5"], True),
        (["w0"], True),
        (["n0", "r5"], False),
        ([], None),
        (["", "n0"], None),
        (["n0", ""], None),
    ],
)
def test_who_may_write_is_told_by_whole_entries_alone(
    entries: list[str], writable: bool | None
) -> None:
    session = Scripted(KEYS)
    session.permissions = lambda _: entries  # type: ignore[attr-defined]
    assert SessionKeys(session).may_write("control").value is writable


def test_without_xenstore_every_key_is_absent_and_so_is_xenstore() -> None:
    facts, statuses = read_host(NoKeys())
    assert facts.memory.target_kib is None
    assert statuses["xenstore"] == ABSENT
    assert NoKeys(DENIED).read("domid") == Outcome(None, DENIED)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyAbsent("ENOENT", "READ"), ABSENT),
        (DeviceMissing("/dev/xen/xenbus", "ENOENT"), ABSENT),
        (KeyDenied("EACCES", "READ"), DENIED),
        (DeviceDenied("/dev/xen/xenbus", "EACCES"), DENIED),
        (XenstoreLost("two\nlines"), "malformed: two lines"),
    ],
)
def test_an_error_of_xenstore_is_one_of_the_words(error: XenstoreError, status: str) -> None:
    assert error.status == status
