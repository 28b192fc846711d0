# SPDX-License-Identifier: GPL-2.0-or-later
"""Events are due once each, for live watches only, and never without bound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sources.xenstore.watches import MOST_EVENTS_DUE, Watches, WatchEvent


@pytest.fixture
def watches() -> Watches:
    """Two watches: the target alone, and all of memory/."""
    watches = Watches()
    watches.add("memory/target", "target")
    watches.add("memory", "all")
    return watches


def test_an_event_is_due_once_however_often_it_came(watches: Watches) -> None:
    for _ in range(3):
        watches.note(b"memory/target\0target\0")

    assert watches.take() == [WatchEvent("memory/target", "target")]
    assert watches.take() == []


def test_events_are_due_in_the_order_they_first_came(watches: Watches) -> None:
    for path in (b"memory/b", b"memory/a", b"memory/b"):
        watches.note(path + b"\0all\0")

    assert [event.path for event in watches.take()] == ["memory/b", "memory/a"]


@pytest.mark.parametrize(
    "path",
    [b"", b"/", b"/local/domain/5/memory/target", b"memory/targets", b"\xff\xfe", b"../x", b"@x"],
)
def test_an_event_with_a_path_that_makes_no_sense_is_due_for_the_key_watched(
    watches: Watches, path: bytes
) -> None:
    watches.note(path + b"\0target\0")

    assert watches.take() == [WatchEvent("memory/target", "target")]


@pytest.mark.parametrize(
    "payload",
    [b"", b"\0", b"memory/target", b"memory/target\0nobody\0", b"memory/target\0\xff\0", b"\0" * 9],
)
def test_an_event_of_no_live_watch_is_dropped(watches: Watches, payload: bytes) -> None:
    watches.note(payload)

    assert not watches.any_due


@pytest.mark.parametrize("payload", [b"memory\0all", b"memory\0all\0", b"memory\0all\0more\0of\0"])
def test_missing_and_extra_fields_do_not_hide_the_token(watches: Watches, payload: bytes) -> None:
    watches.note(payload)

    assert watches.take() == [WatchEvent("memory", "all")]


def test_a_watch_taken_off_takes_its_events_with_it(watches: Watches) -> None:
    watches.note(b"memory/x\0all\0")
    watches.note(b"memory/target\0target\0")
    watches.discard("all")
    watches.note(b"memory/x\0all\0")

    assert watches.take() == [WatchEvent("memory/target", "target")]


def test_too_many_different_paths_become_one_event_for_each_watch(watches: Watches) -> None:
    watches.note(b"memory/target\0target\0")
    for number in range(10_000):
        watches.note(b"memory/%d\0all\0" % number)
        assert watches.any_due

    due = watches.take()

    assert len(due) <= MOST_EVENTS_DUE + 1
    assert WatchEvent("memory/target", "target") in due
    assert WatchEvent("memory", "all") in due


PAYLOADS = st.binary(max_size=60) | st.tuples(
    st.sampled_from([b"memory", b"memory/target", b"memory/x", b"/", b""]) | st.binary(max_size=8),
    st.sampled_from([b"target", b"all", b"nobody"]),
).map(b"\0".join)


@given(st.lists(PAYLOADS, max_size=200))
def test_no_payload_harms_and_no_change_is_lost(payloads: list[bytes]) -> None:
    watches = Watches()
    watches.add("memory/target", "target")
    watches.add("memory", "all")
    for payload in payloads:
        watches.note(payload)

    due = watches.take()

    assert len(due) == len(set(due)) <= MOST_EVENTS_DUE + 2
    keys = {"target": "memory/target", "all": "memory"}
    assert all(event.path.startswith(keys[event.token]) for event in due)
    said = {
        payload.split(b"\0")[1].decode("ascii", "replace")
        for payload in payloads
        if b"\0" in payload
    }
    assert {event.token for event in due} == said & keys.keys()
