# SPDX-License-Identifier: GPL-2.0-or-later
"""What is handed on over a rest comes back as it was, or not at all."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.core.account.situation import understand
from agent.core.facts.snapshot import Snapshot
from agent.core.policy.history import EMPTY, History, Nudge, noticed
from agent.core.policy.use import Use
from agent.daemon import journal
from agent.daemon.rest import state
from agent.daemon.rest.state import StateError, kept, packed, take_up, unpacked
from tests.daemon.rest.kinds import with_kinds
from tests.support.any_snapshot import ANY_SNAPSHOT

FEW: Final = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
KEYS = st.none() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
VALUES = st.recursive(
    KEYS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.sets(KEYS, max_size=3)
        | st.builds(Nudge, inner, inner, inner)
    ),
    max_leaves=6,
)
SMALL = packed({"nudge": Nudge(1, 2, 3.5), "names": ["a", "b"], "seen": frozenset({1, 2})})


@FEW
@given(VALUES)
def test_whatever_the_daemon_remembers_comes_back_of_the_same_value_and_kind(value: Any) -> None:
    assert with_kinds(unpacked(packed(value))) == with_kinds(value)


@FEW
@given(ANY_SNAPSHOT)
def test_any_look_at_a_domain_and_what_is_remembered_of_it_come_back(snapshot: Snapshot) -> None:
    history = noticed(EMPTY, understand(snapshot), 1.0, asked=True)._replace(use=Use(1.0))
    back: tuple[Snapshot, History] = unpacked(packed((snapshot, history)))
    assert back == (snapshot, history)
    assert understand(back[0]) == understand(snapshot)
    assert type(back[1].use) is Use


def test_one_bit_that_is_another_is_noticed_wherever_it_is() -> None:
    for at in range(len(SMALL)):
        for bit in range(8):
            damaged = bytearray(SMALL)
            damaged[at] ^= 1 << bit
            with pytest.raises(StateError):
                unpacked(bytes(damaged))


def test_what_was_cut_off_or_goes_on_is_noticed() -> None:
    for content in (b"", SMALL[:-1], SMALL + b"x", SMALL[SMALL.index(b"\n") :]):
        with pytest.raises(StateError):
            unpacked(content)


def test_what_another_version_handed_on_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "__version__", "9.9")
    with pytest.raises(StateError, match="another version's"):
        unpacked(SMALL)


@pytest.mark.parametrize(
    "name",
    ["os:system", "agent.core.policy.history:noticed", "agent.core.no_such:Thing", "nothing", "a:"],
)
def test_a_name_of_what_is_no_value_of_ours_makes_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even below a checksum that is right."""
    monkeypatch.setattr(state, "_plain", lambda value: value)
    with pytest.raises(StateError):
        unpacked(packed([name, "true"]))


def test_a_value_with_a_field_too_few_makes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "_plain", lambda value: value)
    with pytest.raises(StateError):
        unpacked(packed(["agent.core.policy.history:Nudge", 1, 2]))


def test_more_than_there_is_room_for_is_not_handed_on() -> None:
    with pytest.raises(StateError, match="more to hand on than 1024 KiB"):
        packed("x" * (state.MOST_BYTES + 1))


def test_what_has_no_form_is_not_handed_on() -> None:
    with pytest.raises(StateError, match="a object cannot be handed on"):
        packed({"thing": object()})


def test_the_state_of_one_kind_of_object_is_not_taken_up_by_another() -> None:
    with pytest.raises(StateError, match="no state of a Journal"):
        take_up(journal.Journal(), {"_said": {}})
    assert kept(journal.Journal()) == {"_said": {}, "_dropped": 0}
