# SPDX-License-Identifier: GPL-2.0-or-later
"""Bringing a guest to a size: steps that leave it its air, and an end that says why."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.facts.units import MIB_KIB
from agent.core.host.guests import Claims, Guest, Host, Hypervisor, sentence
from agent.core.host.mem_set import Ask, End, Request, Wait, Way, begin, move, planned_mib
from tests.support.lacking import without_one

MOST_LOOKS = 2000


class Pretended:
    """A guest that gives what it is asked for, and says what its programs leave."""

    def __init__(self, has: int = 512, needs: int = 420, most: int = 1024, **claims: Any) -> None:
        self.has, self.needs, self.most = has, needs, most
        self.asked = has
        self.claims = claims
        self.lowest_spare = has
        self.domain: dict[str, Any] = {}

    def seen(self) -> Guest:
        spare = max(0, self.has - self.needs)
        claims = {
            "state": "settled" if self.has == self.asked else "moving",
            "pressure": "none",
            "host_target_kib": self.asked * MIB_KIB,
            "target_kib": self.asked * MIB_KIB,
            "actual_kib": self.has * MIB_KIB,
            "spare_kib": spare * MIB_KIB,
        }
        return Guest(
            domid=1,
            name="db",
            target_kib=self.asked * MIB_KIB,
            static_max_kib=self.most * MIB_KIB,
            has_kib=self.has * MIB_KIB,
            claims=Claims(**{**claims, **self.claims}),
        )._replace(**self.domain)

    def move(self) -> None:
        """A second passes."""
        step = max(-64, min(64, self.asked - self.has))
        self.has += step
        self.lowest_spare = min(self.lowest_spare, self.has - self.needs)


def play(guest: Pretended, request: Request, *, moves: bool = True) -> tuple[End, list[int]]:
    """As the command does."""
    asked: list[int] = []
    way = begin(guest.seen(), request)
    if isinstance(way, End):
        return way, asked
    for now_s in range(MOST_LOOKS):
        done, way = move(guest.seen(), way, request, float(now_s))
        if isinstance(done, End):
            return done, asked
        if isinstance(done, Ask):
            guest.asked = done.mib
            asked.append(done.mib)
        if moves:
            guest.move()
    raise AssertionError("it never ends")


def test_below_what_a_guest_needs_it_stops_where_the_guest_needs_the_rest() -> None:
    end, asked = play(Pretended(), Request(200))
    assert end == End("stopped", f"stopped at {asked[-1]} MiB: the guest needs it.")
    assert asked[0] == 512 - 32
    assert 420 <= asked[-1] < 420 + 8


def test_a_size_that_leaves_it_enough_is_reached_in_steps() -> None:
    end, asked = play(Pretended(needs=100), Request(256))
    assert (end.how, end.sentence) == ("reached", "db has 256 MiB.")
    assert len(asked) > 1
    assert asked == sorted(asked, reverse=True)


def test_a_guest_that_lacks_memory_may_be_given_more() -> None:
    end, asked = play(Pretended(pressure="full"), Request(768))
    assert (end.how, asked) == ("reached", [768])


def test_upwards_it_is_one_step() -> None:
    assert play(Pretended(), Request(1024)) == (End("reached", "db has 1 GiB."), [1024])


def test_what_it_has_already_is_reached_without_asking() -> None:
    assert play(Pretended(), Request(512)) == (End("reached", "db has 512 MiB."), [])


def test_a_guest_without_an_agent_may_be_asked_for_what_it_has() -> None:
    mute = Pretended().seen()._replace(claims=Claims())
    assert isinstance(begin(mute, Request(512)), Way)
    assert isinstance(begin(mute, Request(511)), End)


@settings(deadline=None)
@given(st.integers(64, 900), st.integers(1, 1024), st.integers(128, 1024))
def test_no_step_takes_more_than_half_of_what_is_spare_and_every_way_ends(
    needs: int, wanted: int, has: int
) -> None:
    guest = Pretended(has=has, needs=needs)
    spare = has - needs
    end, asked = play(guest, Request(wanted))
    before = has
    for step in asked:
        if wanted < has:
            assert before - step <= max(8, spare // 2 + 1)
            spare -= before - step
        before = step
    if wanted < has and needs < has:
        assert guest.lowest_spare >= 0
    assert (end.how == "reached") == (before == wanted)


@pytest.mark.parametrize("every_s", [2, 3, 4])
def test_what_programs_take_for_a_moment_now_and_then_is_left_to_them(every_s: int) -> None:
    guest, lowest = Pretended(needs=300), 512
    request, asked = Request(200), []
    way = begin(guest.seen(), request)
    assert isinstance(way, Way)
    for now_s in range(MOST_LOOKS):
        guest.needs = 300 if now_s % every_s else 330
        done, way = move(guest.seen(), way, request, float(now_s))
        lowest = min(lowest, guest.has)
        if isinstance(done, End):
            break
        if isinstance(done, Ask):
            guest.asked = done.mib
            asked.append(done.mib)
        guest.move()
    assert 330 <= lowest < 330 + 8
    assert done == End("stopped", f"stopped at {asked[-1]} MiB: the guest needs it.")


def test_at_each_size_downwards_it_stays_for_4_s() -> None:
    guest = Pretended(needs=100)
    guest.asked = guest.has = 480
    way, request = UNDER_WAY._replace(nearest_kib=0), Request(400)
    for now_s in (0.0, 3.9):
        done, way = move(guest.seen(), way, request, now_s)
        assert done == Wait()
    assert isinstance(move(guest.seen(), way, request, 4.0)[0], Ask)
    assert isinstance(move(guest.seen(), way, request._replace(wanted_mib=480), 3.9)[0], Wait)
    assert isinstance(move(guest.seen(), way, request._replace(wanted_mib=480), 4.0)[0], End)


def test_a_guest_that_lacks_memory_after_a_step_gets_that_step_back() -> None:
    guest = Pretended(needs=100)
    request = Request(200)
    way = begin(guest.seen(), request)
    assert isinstance(way, Way)
    asked, way = move(guest.seen(), way, request, 0.0)
    assert isinstance(asked, Ask)
    guest.asked = guest.has = asked.mib
    guest.claims = {"pressure": "full"}
    end, _ = move(guest.seen(), way, request, 5.0)
    assert isinstance(end, End)
    assert (end.how, end.back_to_mib) == ("stopped", 512)
    assert end.sentence == "stopped at 512 MiB: the guest lacks memory below that."


def test_a_guest_that_lacks_memory_after_a_second_step_gets_the_first_one() -> None:
    way = Way(began_mib=512, asked_mib=448, before_mib=480)
    guest = Pretended(has=448, needs=100, pressure="full")
    end, _ = move(guest.seen(), way, Request(200), 5.0)
    assert end == End("stopped", "stopped at 480 MiB: the guest lacks memory below that.", 480)


def test_a_guest_that_lacks_memory_before_the_first_step_is_left_at_what_it_has() -> None:
    request, guest = Request(200), Pretended(needs=100)
    way = begin(guest.seen(), request)
    assert isinstance(way, Way)
    guest.claims = {"pressure": "full"}
    end, _ = move(guest.seen(), way, request, 0.0)
    assert end == End("stopped", "stopped at 512 MiB: the guest lacks memory below that.", None)


@pytest.mark.parametrize(
    ("claims", "domain", "wanted", "why"),
    [
        ({"state": None}, {}, 400, "no agent"),
        ({"state": "stopped"}, {}, 400, "no agent"),
        ({"spare_kib": None}, {}, 400, "too old"),
        ({"pressure": "some"}, {}, 400, "lacks memory already"),
        ({"floor_kib": 424 * MIB_KIB}, {}, 200, "holds 424 MiB"),
        ({}, {"life": "dying"}, 400, "is dying"),
        ({}, {"life": "paused"}, 400, "is paused and cannot follow"),
        ({}, {"problem": "denied"}, 400, "cannot be read: denied"),
        ({}, {"target_kib": None}, 400, "cannot be read: it has no memory/target"),
        ({}, {}, 2048, "1 GiB at most"),
    ],
)
def test_what_would_hurt_or_cannot_be_is_refused_with_nothing_asked(
    claims: dict[str, Any], domain: dict[str, Any], wanted: int, why: str
) -> None:
    guest = Pretended(needs=100, **claims)
    guest.domain = domain
    end, asked = play(guest, Request(wanted))
    assert (end.how, asked) == ("refused", [])
    assert why in end.sentence


def test_force_goes_below_what_it_needs_all_the_same() -> None:
    end, asked = play(Pretended(), Request(200, force=True))
    assert (end.how, asked[-1]) == ("reached", 200)
    end, asked = play(Pretended(state=None, spare_kib=None), Request(200, force=True))
    assert (end.how, asked[-1]) == ("reached", 200)


@pytest.mark.parametrize(
    ("spare", "asked"), [(412, [306, 203, 200]), (212, [406, 342, 278, 214, 200]), (0, [448, 384])]
)
def test_a_forced_step_is_half_of_what_is_spare_and_no_less_than_64_mib(
    spare: int, asked: list[int]
) -> None:
    guest = Pretended(has=512, needs=512 - spare)
    assert play(guest, Request(200, force=True))[1][: len(asked)] == asked


def test_a_guest_that_is_stuck_says_why() -> None:
    guest = Pretended(state="unreachable", finding="hotplug-offline")
    end, asked = play(guest, Request(768), moves=False)
    assert asked == [768]
    assert end == End(
        "stopped",
        "stopped at 512 MiB: the guest says its balloon is unreachable (hotplug-offline); "
        "`balloon-agent doctor` there has the cure.",
    )


def test_a_guest_that_does_not_follow_is_given_up_after_the_time_and_asked_for_the_last_step() -> (
    None
):
    guest = Pretended(needs=100, state="moving")
    end, asked = play(guest, Request(256, timeout_s=30.0), moves=False)
    assert (end.how, end.back_to_mib, asked) == ("stopped", 512, [480])
    assert end.sentence == (
        "stopped at 512 MiB, asked for 512 MiB again: in 30 s it came no nearer to 480 MiB; the "
        "guest says its balloon is moving."
    )


def test_a_guard_that_holds_on_ends_it() -> None:
    """Its floor rose while it was on the way."""
    guest = Pretended(needs=100)
    request = Request(400)
    way = begin(guest.seen(), request)
    assert isinstance(way, Way)
    _, way = move(guest.seen(), way, request, 0.0)
    guest.asked = 480
    guest.claims = {"floor_kib": 512 * MIB_KIB, "state": "settled"}
    for now_s in (1.0, 2.0, 3.0):
        end, way = move(guest.seen(), way, request, now_s)
    assert isinstance(end, End)
    assert end.sentence == "stopped at 512 MiB: the guest holds that, it needs it."


class Slow(Pretended):
    """In mode guard: it gives a few MiB, rests there by itself, and gives a few more."""

    def __init__(self, pause: int, **others: Any) -> None:
        super().__init__(**others)
        self.pause, self.passed = pause, 0

    def seen(self) -> Guest:
        guest = super().seen()
        aims = {"target_kib": self.has * MIB_KIB, "state": self.claims.get("state", "settled")}
        return guest._replace(claims=guest.claims._replace(**aims))

    def move(self) -> None:
        self.passed += 1
        if self.passed % self.pause == 0:
            self.has = max(self.asked, self.has - 8)


def test_a_guest_that_gives_slowly_has_given_only_when_it_is_there() -> None:
    guest = Slow(pause=10, needs=100)
    end, asked = play(guest, Request(300))
    assert (end.how, guest.has) == ("reached", 300)
    assert asked[-1] == 300


def test_what_it_cannot_get_back_is_no_reason_to_give_up_one_that_gives_slowly() -> None:
    """xl lets it have no more than it was asked for, so that it retries what it holds."""
    assert play(Slow(pause=10, needs=100, state="retrying"), Request(300))[0].how == "reached"


def test_one_that_gives_no_more_by_itself_is_given_up_after_the_time() -> None:
    end, _ = play(Slow(pause=10**6, needs=100), Request(300, timeout_s=30.0))
    assert end.sentence == (
        "stopped at 512 MiB, asked for 512 MiB again: in 30 s it came no nearer to 480 MiB; the "
        "guest aims at 512 MiB by itself."
    )


def test_somebody_else_who_asks_meanwhile_ends_it() -> None:
    guest, request = Pretended(needs=100), Request(400)
    way = begin(guest.seen(), request)
    assert isinstance(way, Way)
    _, way = move(guest.seen(), way, request, 0.0)
    guest.asked = 300
    end, _ = move(guest.seen(), way, request, 1.0)
    assert isinstance(end, End)
    assert "somebody else asked db for 300 MiB" in end.sentence


def test_the_planned_steps_are_those_of_a_guest_that_goes_on_as_it_does() -> None:
    guest, request = Pretended(needs=100), Request(256)
    planned = planned_mib(guest.seen(), request)
    assert planned == play(guest, request)[1]
    assert planned_mib(Pretended().seen(), Request(200))[-1] >= 420
    assert planned_mib(Pretended().seen(), Request(768)) == [768]
    assert planned_mib(Pretended().seen(), Request(512)) == []


def test_an_agent_that_never_hears_of_it_is_named_and_its_guest_gets_the_step_back() -> None:
    guest = Pretended(needs=100, host_target_kib=512 * MIB_KIB)
    end, asked = play(guest, Request(256, timeout_s=30.0))
    assert (end.how, end.back_to_mib, asked) == ("stopped", 512, [480])
    assert end.sentence.endswith("; its agent does not answer; does it run in the guest?")


def test_a_mute_hvm_guest_is_there_though_its_kernel_counts_some_mib_less() -> None:
    guest = Pretended(state=None, spare_kib=None)
    guest.domain = {"has_kib": 1022 * MIB_KIB}
    assert play(guest, Request(1024, force=True), moves=False)[0].how == "reached"


UNDER_WAY = Way(began_mib=512, asked_mib=480, before_mib=512, nearest_kib=32 * MIB_KIB)


def _after(waited_s: float, has_kib: int, **claims: Any) -> Ask | Wait | End:
    """What follows for a guest that was asked for 480 MiB, come what may, and has come that far."""
    guest = Pretended(needs=100, **claims)
    guest.asked = 480
    guest.domain = {"has_kib": has_kib}
    request = Request(480, force=True, timeout_s=30.0)
    return move(guest.seen(), UNDER_WAY, request, waited_s)[0]


def test_the_floor_itself_may_be_asked_for_and_nothing_below() -> None:
    holds = Pretended(needs=100, floor_kib=424 * MIB_KIB).seen()
    assert isinstance(begin(holds, Request(424)), Way)
    assert isinstance(begin(holds, Request(423)), End)


@pytest.mark.parametrize(("apart_kib", "counts"), [(64 * MIB_KIB, True), (64 * MIB_KIB + 1, False)])
def test_a_floor_is_on_the_kernels_scale(apart_kib: int, counts: bool) -> None:
    """Up to 64 MiB between the two targets are what firmware and video memory take."""
    floor_kib, target_kib = 360 * MIB_KIB, 512 * MIB_KIB - apart_kib
    guest = Pretended(needs=100, floor_kib=floor_kib, target_kib=target_kib).seen()
    assert isinstance(begin(guest, Request(423)), End) is counts
    assert isinstance(begin(guest, Request(424)), Way)


def test_the_last_8_mib_that_are_spare_are_taken_and_no_less() -> None:
    assert planned_mib(Pretended(needs=504).seen(), Request(500)) == [504]
    assert planned_mib(Pretended(needs=505).seen(), Request(500)) == []


def test_a_guest_that_was_asked_for_more_is_asked_for_what_it_has() -> None:
    guest = Pretended(state="moving")
    guest.asked = 600
    assert planned_mib(guest.seen(), Request(512)) == [512]
    end, asked = play(guest, Request(512, timeout_s=30.0), moves=False)
    assert (asked, end.back_to_mib) == ([512], None), "that was no way down"


@pytest.mark.parametrize(("came_kib", "nearer"), [(MIB_KIB, False), (MIB_KIB + 1, True)])
def test_a_mib_is_not_nearer(came_kib: int, nearer: bool) -> None:
    guest = Pretended(needs=100, state="moving")
    guest.asked = 480
    guest.domain = {"has_kib": 512 * MIB_KIB - came_kib}
    _, way = move(guest.seen(), UNDER_WAY, Request(480), 9.0)
    assert way.since_s == (9.0 if nearer else 0.0)


def test_a_guest_that_moves_has_not_followed_yet_though_it_is_near() -> None:
    assert isinstance(_after(0.0, 480 * MIB_KIB, state="moving"), Wait)


def test_a_floor_above_what_is_asked_ends_no_way_up() -> None:
    guest = Pretended(state="settled", floor_kib=800 * MIB_KIB)
    guest.asked = 768
    way = UNDER_WAY._replace(asked_mib=768, nearest_kib=0)
    assert isinstance(move(guest.seen(), way, Request(768, timeout_s=30.0), 1.0)[0], Wait)


def test_what_is_stuck_gets_6_s_and_what_moves_the_time_that_was_given() -> None:
    has_kib = 512 * MIB_KIB
    assert isinstance(_after(5.9, has_kib, state="retrying"), Wait)
    assert isinstance(_after(6.0, has_kib, state="retrying"), End)
    assert isinstance(_after(29.9, has_kib, state="moving"), Wait)
    assert isinstance(_after(30.0, has_kib, state="moving"), End)


def test_who_aims_above_what_is_asked_has_the_time_on_the_way_down_and_not_on_the_way_up() -> None:
    for asked_mib, moves in ((480, True), (768, False)):
        guest = Pretended(state="retrying", target_kib=800 * MIB_KIB)
        guest.asked = asked_mib
        way = UNDER_WAY._replace(asked_mib=asked_mib, nearest_kib=0)
        done = move(guest.seen(), way, Request(asked_mib, force=True, timeout_s=30.0), 6.0)[0]
        assert isinstance(done, Wait) is moves, asked_mib


def test_a_guest_that_rests_for_2_s_is_where_it_goes() -> None:
    has_kib, there = 470 * MIB_KIB, End("reached", "db has 480 MiB.")
    assert _after(1.9, has_kib, state="settled") == Wait()
    assert _after(2.0, has_kib, state="settled") == there
    aims_kib = 481 * MIB_KIB
    assert _after(2.0, has_kib, state="settled", target_kib=aims_kib) == there
    assert _after(2.0, has_kib, state="settled", target_kib=aims_kib + 1) == Wait()


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_mib_off_counts_as_there(sign: int) -> None:
    asked_kib = 480 * MIB_KIB
    assert isinstance(_after(0.0, asked_kib + sign * MIB_KIB, state="settled"), End)
    assert isinstance(_after(0.0, asked_kib + sign * (MIB_KIB + 1), state="settled"), Wait)


@pytest.mark.parametrize(
    ("claims", "domain", "has_mib"),
    [
        ({"actual_kib": None}, {}, 512),
        ({"actual_kib": 500 * MIB_KIB}, {}, 512),  # it rests: that is what it was asked for
        ({"actual_kib": 500 * MIB_KIB, "state": "moving"}, {}, 500),
        ({"actual_kib": 500 * MIB_KIB, "floor_kib": 520 * MIB_KIB}, {}, 500),
        ({"actual_kib": 500 * MIB_KIB, "state": "moving"}, {"videoram_kib": 8 * MIB_KIB}, 508),
        (
            {"actual_kib": 500 * MIB_KIB, "state": "moving", "target_kib": 508 * MIB_KIB},
            {"videoram_kib": 8 * MIB_KIB},
            512,
        ),
        (  # it aims at what it holds, which is no constant
            {"actual_kib": 500 * MIB_KIB, "floor_kib": 520 * MIB_KIB, "target_kib": 508 * MIB_KIB},
            {"videoram_kib": 8 * MIB_KIB},
            508,
        ),
    ],
)
def test_what_nobody_counts_is_taken_from_its_word_on_the_hosts_scale(
    claims: dict[str, Any], domain: dict[str, Any], has_mib: int
) -> None:
    guest = Pretended(needs=100, **claims)
    guest.domain = {"has_kib": None, **domain}
    way = begin(guest.seen(), Request(1000))
    assert isinstance(way, Way)
    assert way.began_mib == has_mib


def test_it_is_asked_for_the_last_step_again_and_not_for_all() -> None:
    guest = Pretended(needs=100, state="moving")
    guest.asked = 480
    second = UNDER_WAY._replace(before_mib=496)
    end, _ = move(guest.seen(), second, Request(480, timeout_s=30.0), 30.0)
    assert isinstance(end, End)
    assert end.back_to_mib == 496
    assert "asked for 496 MiB again" in end.sentence


@pytest.mark.parametrize("life", ["dying", "crashed", "shut down"])
def test_a_guest_that_ends_on_the_way_ends_it(life: str) -> None:
    guest = Pretended(needs=100)
    guest.asked, guest.domain = 480, {"life": life}
    end, _ = move(guest.seen(), UNDER_WAY, Request(480), 1.0)
    assert end == End("stopped", f"db is {life} now; it was last asked for 480 MiB.")


HELD: dict[str, Any] = {
    "floor_kib": 500 * MIB_KIB,
    "available_kib": 80 * MIB_KIB,
    "finding": "target-retrying",
}


@pytest.mark.parametrize("state", ["settled", "moving", "retrying", "stopped"])
@pytest.mark.parametrize("force", [False, True])
def test_a_guest_of_which_any_one_figure_is_missing_is_brought_on_its_way(
    state: str, force: bool
) -> None:
    guest = Pretended(needs=100, state=state, mode="guard", version="1", seq=5, **HELD)
    guest.asked = 480
    guest.domain = {"uuid": "u"}
    seen = guest.seen()
    lacking = [*without_one(seen), *(seen._replace(claims=c) for c in without_one(seen.claims))]
    assert len(lacking) > 12
    for one in lacking:
        for wanted_mib in (300, 480, 600):
            request = Request(wanted_mib, force=force, timeout_s=30.0)
            ends: list[object] = [begin(one, request)]
            for way in (Way(512), UNDER_WAY):
                ends += [move(one, way, request, now_s)[0] for now_s in (0.0, 7.0, 30.0)]
            assert planned_mib(one, request) == sorted(
                planned_mib(one, request), reverse=wanted_mib < 512
            )
            for end in ends:
                assert "None" not in (end.sentence if isinstance(end, End) else "")
        assert "None" not in sentence(Host(Hypervisor(), (one,)))
