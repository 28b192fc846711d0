# SPDX-License-Identifier: GPL-2.0-or-later
"""What a host says of its guests, and what it does not believe them."""

from __future__ import annotations

from typing import Any

import pytest

from agent.core.facts.units import MIB_KIB
from agent.core.host.guests import (
    Claims,
    Guest,
    Host,
    Hypervisor,
    bounded,
    label,
    selected,
    sentence,
    verdict,
)
from tests import captures

BALLOON = "sys/devices/system/xen_memory/xen_memory0"
AT_REST = ("info/current_kb", "target_kb")
FINE: dict[str, Any] = {"state": "settled", "pressure": "none", "spare_kib": 64 * MIB_KIB}


def guest(domid: int = 1, name: str | None = "db", **claims: Any) -> Guest:
    return Guest(domid, name, has_kib=512 * MIB_KIB, claims=Claims(**claims))


@pytest.mark.parametrize(
    ("guests", "missing", "said"),
    [
        ((), ("web",), "web is not there."),
        ((), ("web", "x"), "web and x are not there."),
        ((guest(**FINE),), ("web",), "without hurting; web is not there."),
        ((guest(**FINE),), ("web", "x"), "without hurting; web and x are not there."),
    ],
)
def test_who_was_named_and_is_not_there_is_told(
    guests: tuple[Guest, ...], missing: tuple[str, ...], said: str
) -> None:
    host = Host(Hypervisor(), guests, missing=missing)
    assert sentence(host).endswith(said)
    assert verdict(host) == "warning"


@pytest.mark.parametrize(
    ("state", "stuck"),
    [
        ("settled", False), ("moving", False), ("unclear", False), (None, False),
        ("retrying", True), ("cancelled", True), ("unreachable", True),
    ],
)  # fmt: skip
def test_a_guest_is_stuck_whose_balloon_gets_no_further(state: str | None, stuck: bool) -> None:
    seen = guest(state=state)
    assert seen.is_stuck is stuck
    assert ("db is stuck" in sentence(Host(Hypervisor(), (seen,)))) is stuck


def test_a_guest_without_a_name_goes_by_its_number() -> None:
    assert (label(guest(7, "db")), label(guest(7, None)), label(guest(7, ""))) == (
        "db", "domain 7", "domain 7",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("says_mib", "has_mib", "shown_mib"), [(100, 512, 100), (600, 512, 512), (600, None, 600)]
)
def test_what_a_guest_says_is_available_is_believed_up_to_what_it_has(
    says_mib: int, has_mib: int | None, shown_mib: int
) -> None:
    has_kib = None if has_mib is None else has_mib * MIB_KIB
    seen = guest(available_kib=says_mib * MIB_KIB)._replace(has_kib=has_kib)
    assert seen.available_kib == shown_mib * MIB_KIB
    assert guest().available_kib is None


@pytest.mark.parametrize(
    ("guests", "said"),
    [
        ((), "There are no guests."),
        ((guest(**FINE),), "The guest has 512 MiB and could give 64 MiB without hurting."),
        (
            (guest(**FINE), guest(2, "web", **{**FINE, "pressure": "some"})),
            "The 2 guests have 1 GiB and could give 64 MiB without hurting; web lacks memory.",
        ),
        (
            (guest(**{**FINE, "state": "retrying"}), guest(2, None)),
            (
                "The 2 guests have 1 GiB and could give 64 MiB without hurting; db is stuck; "
                "1 has no agent that runs."
            ),
        ),
        (
            tuple(guest(n, f"g{n}", state="settled", pressure="full") for n in range(1, 7)),
            "The 6 guests have 3 GiB; g1, g2, g3, g4 and 2 more lack memory.",
        ),
        (
            tuple(guest(n, f"g{n}", state="settled", pressure="full") for n in range(1, 5)),
            "The 4 guests have 2 GiB; g1, g2, g3 and g4 lack memory.",
        ),
    ],
)
def test_one_sentence_says_what_they_have_could_give_and_lack(
    guests: tuple[Guest, ...], said: str
) -> None:
    assert sentence(Host(Hypervisor(), guests)) == said


@pytest.mark.parametrize("name", ["actual_kib", "floor_kib", "spare_kib", "available_kib"])
def test_a_figure_beyond_what_the_host_gives_is_not_believed(name: str) -> None:
    claimed: dict[str, Any] = {name: 2048 * MIB_KIB}
    claims = bounded(Claims(**claimed), 1024 * MIB_KIB)
    assert getattr(claims, name) is None
    assert claims.odd == (f"{name.replace('_kib', '_kb')} is more than its maximum",)


def test_nobody_can_spare_more_than_he_has() -> None:
    claims = bounded(Claims(actual_kib=100, spare_kib=101, available_kib=100), 1024 * MIB_KIB)
    assert (claims.spare_kib, claims.available_kib) == (None, 100)
    assert claims.odd == ("spare_kb is more than it has",)


def test_a_guest_that_lacks_memory_has_nothing_to_give() -> None:
    short = guest(**{**FINE, "pressure": "full"})
    assert Host(Hypervisor(), (short,)).spare_kib == 0


def test_guests_are_chosen_by_name_or_number() -> None:
    guests = (guest(1, "db"), guest(2, "web"), guest(3, "db"))
    assert selected(guests, ()) == (guests, [])
    assert selected(guests, ("db",)) == ((guests[0], guests[2]), [])
    assert selected((guest(1, "2"), guest(2, "web")), ("2",))[0] == (guest(2, "web"),), "as for xl"
    assert selected(guests, ("2", "nobody")) == ((guests[1],), ["nobody"])


def test_a_pattern_is_one_only_where_it_may_be_and_is_nobodys_name() -> None:
    guests = (guest(1, "db"), guest(2, "d*"), guest(3, None), guest(4, "web"))
    assert selected(guests, ("d*",), patterns=True) == ((guests[1],), [])
    assert selected(guests, ("*b",), patterns=True) == ((guests[0], guests[3]), [])
    assert selected(guests, ("*b",)) == ((), ["*b"])


@pytest.mark.parametrize(
    ("claims", "kind"),
    [
        ({}, "no agent"),
        ({"state": "stopped"}, "stopped agent"),
        ({"state": "settled"}, "old agent"),
        ({"state": "settled", "actual_kib": 5, "floor_kib": 3}, "agent"),
        (FINE, "agent"),
    ],
)
def test_a_guest_is_shown_as_what_it_is(claims: dict[str, Any], kind: str) -> None:
    assert guest(**claims).kind == kind


def test_an_agent_that_has_not_heard_of_the_target_is_silent_while_its_guest_runs() -> None:
    heard = guest(**FINE, host_target_kib=512 * MIB_KIB)._replace(target_kib=400 * MIB_KIB)
    assert heard.is_silent
    assert not heard._replace(life="paused").is_silent
    assert not heard._replace(target_kib=512 * MIB_KIB).is_silent
    assert sentence(Host(Hypervisor(), (heard,))).endswith("; db does not answer.")
    assert verdict(Host(Hypervisor(), (heard,))) == "warning"


def test_a_count_that_the_hypervisor_contradicts_is_doubted() -> None:
    stale = guest(**FINE, actual_kib=300 * MIB_KIB)
    assert stale.doubts == ("actual_kb is 300 MiB, the hypervisor counts 512 MiB",)
    assert not guest(**{**FINE, "state": "moving"}, actual_kib=300 * MIB_KIB).doubts
    assert not guest(**FINE, actual_kib=490 * MIB_KIB).doubts, "video memory, firmware"


@pytest.mark.parametrize(
    ("above_kib", "doubted"),
    [
        (-80 * MIB_KIB - 1, True),
        (-80 * MIB_KIB, False),
        (64 * MIB_KIB, False),
        (64 * MIB_KIB + 1, True),
    ],
)
def test_the_hypervisor_may_count_64_mib_and_the_video_memory_more(
    above_kib: int, doubted: bool
) -> None:
    seen = guest(**FINE, actual_kib=512 * MIB_KIB + above_kib)._replace(videoram_kib=16 * MIB_KIB)
    assert bool(seen.doubts) is doubted


def test_a_guest_at_its_floor_holds_nothing_back() -> None:
    target_kib = 400 * MIB_KIB
    assert not guest(**FINE, host_target_kib=target_kib, floor_kib=target_kib).is_held
    assert guest(**FINE, host_target_kib=target_kib, floor_kib=target_kib + 4).is_held


def test_no_real_guest_at_rest_is_doubted() -> None:
    judged = 0
    for name in captures.names():
        captured = captures.load(name)
        listed_mib = captured.meta.get("xl_list_mib")
        current, target = (captured.files.get(f"{BALLOON}/{file}") for file in AT_REST)
        if listed_mib is not None and current is not None and current == target:
            claims = Claims("settled", actual_kib=int(current))
            assert not Guest(1, has_kib=listed_mib * MIB_KIB, claims=claims).doubts, name
            judged += 1
    assert judged > 50
