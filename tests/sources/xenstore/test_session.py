# SPDX-License-Identifier: GPL-2.0-or-later
"""A session against Debian's real xenstored, as a guest, over a socket and over a device."""

from __future__ import annotations

import os
import select
import signal
import stat
from collections.abc import Iterator
from contextlib import suppress

import pytest

from agent.sources.xenstore.errors import (
    KeyAbsent,
    KeyDenied,
    QuotaExceeded,
    XenstoreLost,
    XenstoreRefused,
    XenstoreUnreachable,
)
from agent.sources.xenstore.session import XenstoreSession
from agent.sources.xenstore.watches import WatchEvent
from tests.support.xenstored.daemon import Xenstored
from tests.support.xenstored.guest import Guest
from tests.support.xenstored.raw_client import RawClient

pytestmark = pytest.mark.xenstored

HOME = "/local/domain/5"
LONG_S = 10.0


@pytest.fixture(params=["socket", "device"])
def path(request: pytest.FixtureRequest, guest: Guest) -> str:
    return guest.path if request.param == "socket" else guest.pty_path


@pytest.fixture
def session(path: str) -> Iterator[XenstoreSession]:
    with XenstoreSession(path) as session:
        yield session


def comes(session: XenstoreSession) -> bool:
    """Wait for an event as the daemon does, by the descriptor."""
    readable = True
    while readable and not session.has_events():
        readable = bool(select.select([session], [], [], LONG_S)[0])
    return readable


def watch_quietly(session: XenstoreSession, key: str, token: str) -> None:
    """Watch, and take the event that every watch begins with."""
    session.watch(key, token)
    assert comes(session)
    assert WatchEvent(key, token) in session.events()


def watch_up_to(session: XenstoreSession, count: int) -> None:
    for number in range(100, count):
        session.watch("data", f"token-{number}")


def fill_with_nodes(session: XenstoreSession, count: int) -> None:
    for number in range(count):
        session.write(f"data/{number % 10}/{number}", b"")


def test_a_guest_reads_what_the_toolstack_wrote(session: XenstoreSession) -> None:
    assert session.read("memory/target") == b"524288"
    assert session.read("memory/static-max") == b"1048576"
    assert sorted(session.list("memory")) == ["static-max", "target", "videoram"]
    assert session.list("memory/target") == []


def test_a_device_is_used_as_a_device(guest: Guest) -> None:
    assert stat.S_ISCHR(os.stat(guest.pty_path).st_mode)
    assert stat.S_ISSOCK(os.stat(guest.path).st_mode)


def test_an_absent_key_is_told_from_a_denied_one(session: XenstoreSession) -> None:
    for ask in (session.read, session.list):
        with pytest.raises(KeyAbsent) as absent:
            ask("memory/initial-reservation")
        assert absent.value.errno_name == "ENOENT"
    with pytest.raises(KeyDenied) as denied:
        session.write("memory/free", b"1")
    assert denied.value.errno_name == "EACCES"
    assert denied.value.request == "write memory/free"


@pytest.mark.parametrize("key", ["memory/target", "control/feature-balloon", "name", "device/x"])
def test_a_guest_may_not_write_the_hosts_keys(session: XenstoreSession, key: str) -> None:
    with pytest.raises(KeyDenied):
        session.write(key, b"1")
    assert session.read("memory/target") == b"524288"


VALUES = {
    "empty": b"",
    "plain": b"524288",
    "newline": b"1\n",
    "tab": b"a\tb",
    "utf-8": "١٢ größer".encode(),
    "every byte": bytes(range(256)),
    "only NUL": b"\0",
    "trailing NULs": b"5\0\0",
    "large": b"x" * 1900,
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_any_value_comes_back_as_it_was_written(
    session: XenstoreSession, dom0: RawClient, value: bytes
) -> None:
    session.write("data/balloon/state", value)

    assert session.read("data/balloon/state") == value
    assert dom0.read(f"{HOME}/data/balloon/state") == value


def test_a_removed_key_is_gone_and_may_be_removed_again(
    session: XenstoreSession, dom0: RawClient
) -> None:
    session.write("data/balloon/state", b"settled")
    session.remove("data/balloon")
    session.remove("data/balloon")

    assert not dom0.exists(f"{HOME}/data/balloon")
    with pytest.raises(KeyAbsent):
        session.remove("data/balloon/state/deeper")


@pytest.mark.parametrize(
    "key", ["", "/", "/memory/target", "memory/", "memory//target", "a b", "é", "a\0b", "x" * 3000]
)
def test_a_key_that_is_not_relative_and_plain_is_refused_unsent(
    session: XenstoreSession, key: str
) -> None:
    calls = (
        lambda: session.read(key),
        lambda: session.list(key),
        lambda: session.write(key, b""),
        lambda: session.remove(key),
        lambda: session.watch(key, "t"),
    )
    for call in calls:
        with pytest.raises(XenstoreRefused) as refused:
            call()
        assert refused.value.errno_name == "EINVAL"
        assert str(refused.value).isprintable()
    assert session.read("memory/target") == b"524288"


def test_a_watch_fires_at_once_and_at_each_change(
    session: XenstoreSession, dom0: RawClient
) -> None:
    watch_quietly(session, "memory/target", "host-target")

    for target in (b"262144", b"262144", b"393216"):
        dom0.write(f"{HOME}/memory/target", target)
        assert comes(session)
        assert session.events() == [WatchEvent("memory/target", "host-target")]
        assert session.read("memory/target") == target
    assert session.events() == []
    assert not session.has_events()


def test_a_watch_of_a_directory_names_the_key_below_it(
    session: XenstoreSession, dom0: RawClient
) -> None:
    watch_quietly(session, "memory", "limits")

    dom0.write(f"{HOME}/memory/static-max", 2097152)

    assert comes(session)
    assert session.events() == [WatchEvent("memory/static-max", "limits")]


def test_many_changes_are_one_event(session: XenstoreSession, dom0: RawClient) -> None:
    watch_quietly(session, "memory/target", "host-target")
    watch_quietly(session, "data/done", "done")
    for target in range(500):
        dom0.write(f"{HOME}/memory/target", target)
    dom0.write(f"{HOME}/data/done", "1")

    events: list[WatchEvent] = []
    while WatchEvent("data/done", "done") not in events:
        assert comes(session)
        events = session.events()
        assert len(events) <= 2
    assert session.read("memory/target") == b"499"


def test_a_key_may_be_watched_before_it_is_there_and_after_it_is_gone(
    session: XenstoreSession, dom0: RawClient
) -> None:
    dom0.remove(f"{HOME}/memory/target")
    watch_quietly(session, "memory/target", "host-target")
    for target in (262144, None, 524288):
        if target is None:
            dom0.remove(f"{HOME}/memory/target")
        else:
            dom0.write(f"{HOME}/memory/target", target)
        assert comes(session)
        assert session.events() == [WatchEvent("memory/target", "host-target")]


def test_events_that_arrive_within_a_request_are_not_lost(
    session: XenstoreSession, dom0: RawClient
) -> None:
    watch_quietly(session, "memory/target", "host-target")
    dom0.write(f"{HOME}/memory/target", 262144)
    session.read("memory/target")  # the event comes first on the wire

    assert session.has_events()
    assert session.events() == [WatchEvent("memory/target", "host-target")]


def test_a_token_in_use_is_refused(session: XenstoreSession) -> None:
    session.watch("memory/target", "one")
    for key in ("memory/target", "data"):
        with pytest.raises(XenstoreRefused) as refused:
            session.watch(key, "one")
        assert refused.value.errno_name == "EEXIST"
    with pytest.raises(XenstoreRefused):
        session.watch("data", "no\0token")


def test_the_guests_watch_quota_is_a_quota_error_and_the_session_goes_on(
    session: XenstoreSession,
) -> None:
    for number in range(100):
        session.watch("data", f"token-{number}")
    with pytest.raises(QuotaExceeded):
        watch_up_to(session, 200)

    assert session.read("memory/target") == b"524288"
    session.events()


def test_the_guests_node_and_size_quotas_are_quota_errors(session: XenstoreSession) -> None:
    for size in (2048, 4000, 4080, 5000, 100_000):
        with pytest.raises(QuotaExceeded):
            session.write("data/large", b"x" * size)
    with pytest.raises(QuotaExceeded):
        fill_with_nodes(session, 2000)

    assert session.read("memory/target") == b"524288"


def test_a_directory_too_large_for_one_packet_is_a_quota_error(
    session: XenstoreSession, dom0: RawClient
) -> None:
    for number in range(100):
        dom0.write(f"{HOME}/data/{'x' * 50}{number}", "")

    with pytest.raises(QuotaExceeded) as refused:
        session.list("data")

    assert refused.value.errno_name == "E2BIG"


def test_a_reopened_session_begins_without_watches(
    path: str, guest: Guest, dom0: RawClient
) -> None:
    session = XenstoreSession(path)
    for _ in range(3):
        session.connect()
        session.connect()
        watch_quietly(session, "memory/target", "host-target")
        session.close()
        session.close()
        assert not session.connected
        guest.wait_until_closed()
        dom0.write(f"{HOME}/memory/target", 262144)


def test_a_closed_session_says_so_and_nothing_else(path: str) -> None:
    session = XenstoreSession(path)
    calls = (
        lambda: session.read("name"),
        lambda: session.write("data/x", b""),
        lambda: session.watch("name", "t"),
        session.events,
        session.fileno,
        session.has_events,
    )
    for call in calls:
        with pytest.raises(XenstoreLost, match="not connected"):
            call()


def test_a_stopped_xenstored_ends_in_a_timeout_not_a_hang(
    path: str, xenstored: Xenstored, guest: Guest, dom0: RawClient
) -> None:
    session = XenstoreSession(path, timeout_s=0.05)
    session.connect()
    session.watch("memory/target", "host-target")
    xenstored.signal(signal.SIGSTOP)
    try:
        with pytest.raises(XenstoreLost, match=r"no answer to read memory/target within 0\.05 s"):
            session.read("memory/target")
        assert not session.connected
    finally:
        xenstored.signal(signal.SIGCONT)
    guest.wait_until_closed()
    dom0.write(f"{HOME}/memory/target", 262144)

    session = XenstoreSession(path)
    session.connect()
    watch_quietly(session, "memory/target", "host-target")
    assert session.read("memory/target") == b"262144"
    session.close()


def test_a_stopped_xenstored_does_not_hold_up_a_watch_on_the_device(
    guest: Guest, xenstored: Xenstored
) -> None:
    """The kernel would carry out the WATCH itself; so a read with a deadline goes before it."""
    session = XenstoreSession(guest.pty_path, timeout_s=0.05)
    session.connect()
    xenstored.signal(signal.SIGSTOP)
    try:
        with pytest.raises(XenstoreLost, match="no answer to read memory/target"):
            session.watch("memory/target", "host-target")
    finally:
        xenstored.signal(signal.SIGCONT)


def test_a_restarted_xenstored_is_found_again(xenstored: Xenstored, dom0: RawClient) -> None:
    dom0.write("/local/domain/0/memory/target", "1")
    session = XenstoreSession(xenstored.path)
    session.connect()
    assert session.read("memory/target") == b"1"
    watch_quietly(session, "memory/target", "t")

    xenstored.kill()
    with pytest.raises(XenstoreLost):
        session.read("memory/target")
    with pytest.raises(XenstoreUnreachable):
        session.connect()

    xenstored.start()
    session.connect()
    with pytest.raises(KeyAbsent):  # the store is empty now
        session.read("memory/target")
    watch_quietly(session, "memory/target", "t")
    session.close()


def test_the_end_of_xenstored_wakes_whoever_waits_for_events(
    xenstored: Xenstored, path: str
) -> None:
    session = XenstoreSession(path)
    session.connect()
    watch_quietly(session, "memory/target", "host-target")
    xenstored.kill()

    with pytest.raises(XenstoreLost):
        comes(session)
    assert not session.connected


def test_the_daemon_holds_nothing_of_a_session_that_ended(path: str, guest: Guest) -> None:
    for _ in range(20):  # 20 times 10 watches are more than the quota of 128
        with XenstoreSession(path) as session:
            for number in range(10):
                session.watch("data", f"token-{number}")
        guest.wait_until_closed()


def test_relative_keys_are_the_guests_own(
    session: XenstoreSession, xenstored: Xenstored, dom0: RawClient
) -> None:
    dom0.write("/local/domain/6/memory/target", 1)

    assert session.read("domid") == b"5"
    assert session.read("memory/target") == b"524288"


def test_a_key_of_another_domain_made_private_is_denied(
    session: XenstoreSession, dom0: RawClient
) -> None:
    dom0.write(f"{HOME}/data/secret", "1")
    dom0.set_permissions(f"{HOME}/data/secret", "n0")

    with pytest.raises(KeyDenied):
        session.read("data/secret")
    with suppress(KeyDenied):
        session.watch("data/secret", "t")
    assert session.read("memory/target") == b"524288"


def test_whoever_goes_on_with_the_open_file_is_told_of_what_was_watched_before(
    session: XenstoreSession, dom0: RawClient
) -> None:
    watch_quietly(session, "data", "told")
    dom0.write(f"{HOME}/data/told", "now")
    adopted = XenstoreSession(session._router.connection)
    adopted.adopt(os.dup(session.fileno()), "data", "told")
    try:
        assert comes(adopted)
        told = adopted.can_be_handed_on, adopted.events(), adopted.can_be_handed_on
        assert told == (False, [WatchEvent("data/told", "told")], True)
        assert adopted.read("data/told") == b"now"
    finally:
        adopted.close()


def test_what_was_handed_on_and_is_no_open_file_is_said_to_be_none(path: str) -> None:
    adopted = XenstoreSession(path)
    with pytest.raises(OSError, match="Bad file descriptor"):
        adopted.adopt(9999, "data", "told")
    assert not adopted.connected
