# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever is asked, the simulated store answers as the real daemon does, event for event."""

from __future__ import annotations

import os
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.hosts import Xenstore
from tests.contract.xenstore_requests import DIRECTORY_PART, GET_DOMAIN_PATH, MKDIR, ask
from tests.support.simulated_xenstore import SimulatedXenstored
from tests.support.xenstored import raw_client
from tests.support.xenstored.daemon import Xenstored, XenstoredMissing
from tests.support.xenstored.libxl_tree import GuestConfig, write_guest
from tests.support.xenstored.raw_client import RawClient

PATHS = (
    "/",
    "data",
    "data/a",
    "data/a/b/c",
    "attr/v",
    "memory",
    "memory/target",
    "memory/free",
    "control/shutdown",
    "/local/domain/5/data/a",
    "/local/domain/7/data/q",
    "/local/domain/5",
    "/local",
    "/tool/xenstored",
    "/nope/x",
    "bad.x",
    "/x/",
    "data/" + "p" * 300,
    "data/" + "q" * 2043,
    "data/" + "q" * 2044,
)
ENTRIES = ("n0", "r0", "b0", "n5", "r5", "w7", "b7", "n7", "r99", "n99", "r0x5", "x1", "r", "r-1")
VALUES = (b"", b"1", b"a\0b", b"v" * 1900, b"v" * 2015, b"v" * 2016)


class Step(NamedTuple):
    """One request.  `transaction`: the n-th of those the client has open, None for outside."""

    who: str
    op: int
    fields: tuple[str | bytes, ...]
    transaction: int | None


def _steps() -> st.SearchStrategy[Step]:
    path, nothing = st.sampled_from(PATHS), st.none()
    inside = st.sampled_from((None, None, 0, 1))
    who = st.sampled_from(("dom0", "5", "5", "7"))

    def step(op: int, *fields: st.SearchStrategy[str | bytes]) -> st.SearchStrategy[Step]:
        return st.builds(Step, who, st.just(op), st.tuples(*fields), inside)

    tokens = st.sampled_from(("t", "u"))
    entries = st.lists(st.sampled_from(ENTRIES), max_size=6).map(tuple)
    permissions = st.builds(lambda at, some: (at, *some), path, entries)
    end = st.sampled_from(("T", "T", "T", "F", "X"))
    return st.one_of(
        step(raw_client.DIRECTORY, path),
        step(raw_client.READ, path),
        step(raw_client.GET_PERMS, path),
        step(raw_client.WATCH, path, tokens),
        step(raw_client.UNWATCH, path, tokens),
        step(raw_client.WRITE, path, st.sampled_from(VALUES)),
        step(raw_client.WRITE, path, st.sampled_from(VALUES)),
        step(MKDIR, path),
        step(raw_client.RM, path),
        step(raw_client.RM, path),
        step(DIRECTORY_PART, path, st.sampled_from(("0", "3", "99"))),
        step(GET_DOMAIN_PATH, st.sampled_from(("5", "0", "x"))),
        st.builds(Step, who, st.just(raw_client.SET_PERMS), permissions, inside),
        st.builds(Step, who, st.just(raw_client.TRANSACTION_START), st.just(("",)), nothing),
        st.builds(Step, who, st.just(raw_client.TRANSACTION_END), st.tuples(end), inside),
        st.builds(Step, who, st.just(raw_client.RESET_WATCHES), st.just(("",)), nothing),
    )


class Clients:
    """dom0 and two guests of one daemon."""

    def __init__(self, xenstore: Xenstore) -> None:
        self._clients = {"dom0": xenstore.connect()}
        for domid in (5, 7):
            guest = xenstore.introduce(domid)
            write_guest(self._clients["dom0"], GuestConfig(domid))
            self._clients[str(domid)] = RawClient(guest.path)
        self._open: dict[str, list[int]] = {who: [] for who in self._clients}

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def do(self, step: Step) -> bytes | str:
        """The answer, without the numbers that daemons choose."""
        number = self._number(step)
        answer = ask(self._clients[step.who], step.op, *step.fields, tx=number)
        mine = self._open[step.who]
        if step.op == raw_client.RESET_WATCHES:
            mine.clear()
        elif step.op == raw_client.TRANSACTION_END and number and answer != "EINVAL":
            mine.remove(number)
        elif isinstance(answer, bytes):
            if step.op == raw_client.TRANSACTION_START:
                mine.append(int(answer.rstrip(b"\0")))
                return b"a number"
            if step.op == DIRECTORY_PART:
                return answer.partition(b"\0")[2]
        return answer

    def _number(self, step: Step) -> int:
        mine = self._open[step.who]
        if step.transaction is None or not mine:
            return 0
        return mine[step.transaction % len(mine)]

    def events(self) -> dict[str, list[tuple[str, str]]]:
        """What each client has been told since the last time."""
        found = {}
        for who, client in self._clients.items():
            ask(client, raw_client.READ, "/tool")
            found[who] = list(client._events)
            client._events.clear()
        return found


@pytest.mark.xenstored
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(_steps(), min_size=20, max_size=80))
def test_the_simulated_store_answers_as_the_real_daemon(steps: list[Step]) -> None:
    try:
        daemon = Xenstored()
    except XenstoredMissing as missing:
        if os.environ.get("BALLOON_AGENT_REQUIRE_XENSTORED") == "1":
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))
    with SimulatedXenstored() as simulated, daemon:
        ours, theirs = Clients(simulated), Clients(daemon)
        for step in steps:
            assert ours.do(step) == theirs.do(step), step
            assert ours.events() == theirs.events(), step
        ours.close()
        theirs.close()
        simulated.thread.call(simulated.thread.server.store.check)
