# SPDX-License-Identifier: GPL-2.0-or-later
"""squeezed divides a host's memory among several guests, and works around those that are stuck."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_backend.clock import Clock
from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.host.libxl import ToolstackError
from sim_backend.host.squeezed import (
    KEPT_FREE_KIB,
    V25,
    V26_3,
    V26_5,
    Release,
    Squeezable,
    proportional_targets,
)
from sim_backend.host.xapi import Xapi
from sim_backend.hypervisor import Host

XEN_KIB = 256 * MIB


def host_with(free_mib: int, guests: int) -> Xapi:
    """A host that has so much left beside that many guests of 512 MiB."""
    held_kib = guests * 513 * MIB
    return Xapi(Clock(), Host(XEN_KIB + held_kib + free_mib * MIB, XEN_KIB))


def guest(xapi: Xapi, *, announces: bool = True, **changes: object) -> SimulatedDomain:
    config = GuestConfig("pvh", 512 * MIB, 2048 * MIB, **changes)  # type: ignore[arg-type]
    domain = xapi.create(config)
    if announces:
        domain.store.guest_write("control/feature-balloon", "1")
    return domain


def target_mib(domain: SimulatedDomain) -> float:
    return int(domain.store.read("memory/target") or "0") / MIB


def run(xapi: Xapi, seconds: float) -> None:
    xapi.clock.run_until(xapi.clock.now_s + seconds)


def test_each_gets_its_minimum_and_the_same_share_of_its_range() -> None:
    xapi = host_with(free_mib=300, guests=3)
    ranges = ((256, 512), (256, 1024), (400, 2048))
    guests = [guest(xapi) for _ in ranges]
    run(xapi, 3.0)
    for domain, (low, high) in zip(guests, ranges):
        xapi.set_dynamic_range(domain, low * MIB, high * MIB)
    run(xapi, 120.0)
    shares = [
        (target_mib(domain) - low) / (high - low) for domain, (low, high) in zip(guests, ranges)
    ]
    assert shares == pytest.approx([shares[0]] * 3, abs=0.01)
    assert 0.1 < shares[0] < 0.9
    assert abs(xapi.host.free_kib - KEPT_FREE_KIB) < MIB
    assert xapi.host.accounted_pages() == xapi.host.total_pages
    assert all(domain.store.read("memory/uncooperative") is None for domain in guests)


def test_with_plenty_of_memory_everybody_has_the_maximum() -> None:
    xapi = host_with(free_mib=4096, guests=2)
    guests = [guest(xapi) for _ in range(2)]
    for domain in guests:
        xapi.set_dynamic_range(domain, 256 * MIB, 1024 * MIB)
    run(xapi, 60.0)
    assert [target_mib(domain) for domain in guests] == [1024, 1024]
    assert [domain.target_kib for domain in guests] == [domain.current_kib for domain in guests]


def test_memory_is_freed_before_it_is_given() -> None:
    """One is asked down, and only then does the other hear of its new target."""
    xapi = host_with(free_mib=20, guests=2)
    giver, taker = guest(xapi), guest(xapi)
    run(xapi, 3.0)
    xapi.set_dynamic_range(giver, 256 * MIB, 256 * MIB)
    xapi.set_dynamic_range(taker, 512 * MIB, 1024 * MIB)
    run(xapi, 60.0)
    asked_s = {
        domain.domid: [event.when_s for event in domain.happenings if event.kind == "host-target"]
        for domain in (giver, taker)
    }
    assert asked_s[giver.domid][0] < asked_s[taker.domid][0]
    assert target_mib(giver) == 256
    assert target_mib(taker) > 700


def test_a_guest_that_announces_nothing_is_not_asked() -> None:
    xapi = host_with(free_mib=1000, guests=2)
    silent, cooperative = guest(xapi, announces=False), guest(xapi)
    for domain in (silent, cooperative):
        xapi.set_dynamic_range(domain, 256 * MIB, 1024 * MIB)
    run(xapi, 60.0)
    assert (target_mib(silent), target_mib(cooperative)) == (512, 1024)
    xapi.mem_set(silent, 300 * MIB)
    assert target_mib(silent) == 512
    assert silent.reservation.max_pages * 4 == 513 * MIB


def test_an_agent_without_feature_balloon_only_has_its_offset_learned() -> None:
    xapi = host_with(free_mib=1000, guests=1)
    domain = guest(xapi, announces=False)
    domain.store.guest_write("data/updated", "1")
    xapi.set_dynamic_range(domain, 256 * MIB, 1024 * MIB)
    run(xapi, 40.0)
    assert domain.store.read("memory/memory-offset") is not None
    assert target_mib(domain) == 512
    assert domain.store.read("memory/uncooperative") is None


def test_a_stuck_guest_is_inactive_after_5_s_and_the_others_make_up_for_it() -> None:
    xapi = host_with(free_mib=20, guests=3)
    stuck, one, two = guest(xapi), guest(xapi), guest(xapi)
    run(xapi, 3.0)
    stuck.driver.stop()
    for domain in (stuck, one, two):
        xapi.set_dynamic_range(domain, 256 * MIB, 512 * MIB)
    run(xapi, 3.0)
    before_s = xapi.clock.now_s
    xapi.make_room(300 * MIB)
    assert 5.0 < xapi.clock.now_s - before_s < 40.0
    assert xapi.host.free_kib >= 300 * MIB
    assert target_mib(one) == pytest.approx(target_mib(two), abs=0.01)
    assert target_mib(one) < 400
    assert stuck.reservation.pages * 4 >= 512 * MIB


def test_who_cannot_be_squeezed_further_is_named_only_if_he_is_stuck() -> None:
    xapi = host_with(free_mib=20, guests=2)
    stuck, other = guest(xapi), guest(xapi)
    run(xapi, 3.0)
    for domain in (stuck, other):
        xapi.set_dynamic_range(domain, 400 * MIB, 512 * MIB)
    run(xapi, 3.0)
    with pytest.raises(ToolstackError, match="cannot free"):
        xapi.make_room(2048 * MIB)
    stuck.driver.stop()
    xapi.set_dynamic_range(stuck, 256 * MIB, 256 * MIB)
    with pytest.raises(ToolstackError, match=f"cooperate: {stuck.domid}$"):
        xapi.make_room(2048 * MIB)


def test_a_guest_off_its_target_for_20_s_is_marked_and_forgiven() -> None:
    xapi = host_with(free_mib=1000, guests=1)
    domain = guest(xapi)
    run(xapi, 3.0)
    xapi.squeezed.limit_error_kib = 2 * MIB
    xapi.mem_set(domain, 768 * MIB)
    run(xapi, 19.0)
    assert domain.store.read("memory/uncooperative") is None
    run(xapi, 11.0)  # it looks each ten seconds
    assert domain.store.read("memory/uncooperative") == ""
    xapi.squeezed.limit_error_kib = 0
    xapi.mem_set(domain, 700 * MIB)
    run(xapi, 15.0)
    assert domain.store.read("memory/uncooperative") is None


def test_a_soft_reset_leaves_the_crash_kernel_its_memory() -> None:
    xapi = host_with(free_mib=1000, guests=1)
    domain = guest(xapi)
    run(xapi, 3.0)
    xapi.soft_reset(domain, 128 * MIB)
    run(xapi, 60.0)
    assert domain.current_kib == domain.target_kib == 128 * MIB
    assert domain.store.read("memory/target") is None
    assert domain.store.read("memory/uncooperative") is None
    assert domain.store.read("control/feature-balloon") is None
    assert domain.store.read("data/updated") == "1"


def test_a_domain_that_has_not_booted_is_kept_what_it_lacks_of_its_reservation() -> None:
    """So that the last agent takes nothing back: the others would be squeezed for it."""
    xapi = host_with(free_mib=72, guests=2)
    one, other = guest(xapi), guest(xapi)
    for domain in (one, other):
        xapi.set_dynamic_range(domain, 256 * MIB, 512 * MIB)
    run(xapi, 20.0)
    xapi.make_room(200 * MIB)
    run(xapi, 3.0)
    assert target_mib(one) == pytest.approx(target_mib(other), abs=1)
    before_kib = int(other.store.read("memory/target") or 0)
    one.store.remove("control/feature-balloon")
    run(xapi, 30.0)
    assert int(other.store.read("memory/target") or 0) < before_kib + 100 * MIB
    assert xapi.host.free_kib > 150 * MIB


def test_room_for_a_vm_is_asked_for_again_and_again_for_a_minute() -> None:
    xapi = host_with(free_mib=72, guests=1)
    domain = guest(xapi)
    run(xapi, 12.0)
    began_s = xapi.clock.now_s
    with pytest.raises(ToolstackError, match="cannot free"):
        xapi.room_to_start(300 * MIB, 400 * MIB)
    assert 50.0 <= xapi.clock.now_s - began_s <= 70.0
    xapi.clock.after(15.0, lambda: xapi.set_dynamic_range(domain, 128 * MIB, 512 * MIB))
    request = xapi.room_to_start(100 * MIB, 400 * MIB)
    assert 100 * MIB <= request.granted_kib <= 400 * MIB


def test_a_save_waits_for_a_balloon_that_says_it_moves_and_for_two_minutes_at_most() -> None:
    xapi = host_with(free_mib=1000, guests=1)
    domain = guest(xapi)
    domain.store.guest_write("control/balloon-active", "1")
    xapi.clock.after(7.0, lambda: domain.store.guest_write("control/balloon-active", "0"))
    assert xapi.wait_ballooning(domain) == pytest.approx(7.0)
    assert xapi.wait_ballooning(domain) == 0.0
    domain.store.guest_write("control/balloon-active", "1")
    assert xapi.wait_ballooning(domain) == pytest.approx(120.0)


@pytest.mark.parametrize(("release", "kept_mib"), [(V25, 9), (V26_3, 72), (V26_5, 72)])
def test_each_release_keeps_its_own_amount_free(release: Release, kept_mib: int) -> None:
    xapi = Xapi(Clock(), Host(XEN_KIB + 513 * MIB + 100 * MIB, XEN_KIB), release)
    able = guest(xapi)
    run(xapi, 3.0)
    xapi.set_dynamic_range(able, 256 * MIB, 2048 * MIB)
    run(xapi, 120.0)
    assert abs(xapi.host.free_kib - kept_mib * MIB) < MIB


@pytest.mark.parametrize(("release", "lowers"), [(V25, True), (V26_3, True), (V26_5, False)])
def test_only_older_releases_lower_the_limit_of_who_cannot_balloon(
    release: Release, *, lowers: bool
) -> None:
    xapi = Xapi(Clock(), Host(XEN_KIB + 2 * 513 * MIB, XEN_KIB), release)
    stubborn = guest(xapi, announces=False)
    stubborn.store.guest_write("data/updated", "1")  # it has booted
    run(xapi, 11.0)
    limit_pages = stubborn.reservation.max_pages
    stubborn.store.write("memory/target", str(256 * MIB))
    run(xapi, 60.0)
    assert (stubborn.reservation.max_pages < limit_pages) is lowers


def test_xenopsd_subtracts_nothing_and_writes_no_video_memory() -> None:
    xapi = host_with(free_mib=4000, guests=1)
    domain = xapi.create(GuestConfig("hvm", 512 * MIB, 2048 * MIB, videoram_kib=8 * MIB))
    assert domain.store.read("memory/target") == str(512 * MIB)
    assert domain.store.read("memory/videoram") is None


def test_a_xenopsd_that_starts_anew_gives_a_lost_target_the_least() -> None:
    xapi = host_with(free_mib=1000, guests=1)
    domain = guest(xapi)
    xapi.set_dynamic_range(domain, 256 * MIB, 512 * MIB)
    domain.store.remove("memory/target")
    xapi.restart_xenopsd()
    assert domain.store.read("memory/target") == str(256 * MIB)


@pytest.mark.parametrize(("low", "high"), [(0, 512), (600, 512), (256, 4096)])
def test_a_range_that_is_none_is_refused(low: int, high: int) -> None:
    xapi = host_with(free_mib=100, guests=1)
    domain = guest(xapi)
    with pytest.raises(ToolstackError, match="CONSTRAINT"):
        xapi.set_dynamic_range(domain, low * MIB, high * MIB)


sizes = st.integers(0, 1 << 22)
views = st.lists(
    st.builds(
        lambda low, width, actual: Squeezable(0, True, low, low, low + width, actual),
        sizes, sizes, sizes,
    ),
    max_size=6,
).map(lambda found: [view._replace(domid=number) for number, view in enumerate(found)])  # fmt: skip


@given(views, sizes, sizes)
def test_nobody_is_asked_outside_its_range_and_no_more_is_promised_than_there_is(
    domains: list[Squeezable], free_kib: int, wanted_kib: int
) -> None:
    targets = proportional_targets(domains, free_kib, wanted_kib)
    for domain in domains:
        assert domain.dynamic_min_kib <= targets[domain.domid] <= domain.dynamic_max_kib
    least_kib = sum(domain.dynamic_min_kib for domain in domains)
    surplus_kib = max(
        0, free_kib + sum(domain.least_freeable_kib for domain in domains) - wanted_kib
    )
    assert sum(targets.values()) <= least_kib + surplus_kib
