# SPDX-License-Identifier: GPL-2.0-or-later
"""What the balloon is doing, by how much its target differs from the host's, and its room."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.account.balloon_state import balloon_state, is_lent, refused_by, seen_moving
from agent.core.account.boot_facts import LARGEST_USUAL_KIB, boot_facts, hole_kib
from agent.core.account.driver import driver_of
from agent.core.account.headroom import headroom, least_kib, limit_kib, needed_kib
from agent.core.account.situation import understand
from agent.core.account.target_offset import TargetOffset, counted_beyond_kib, target_offset
from agent.core.facts.kernel_release import KernelRelease
from agent.core.facts.snapshot import (
    BalloonReading,
    BootRecord,
    MemoryBlocks,
    MemoryReading,
    Snapshot,
)
from tests.support.snapshots import (
    BLOCK,
    GIB,
    LINUX_2_6_32,
    LINUX_4_4,
    MIB,
    a_dom0,
    a_pv_guest,
    a_pvh_guest,
    an_hvm_guest,
    an_unpopulated_guest,
    changed,
    ram_map,
)

GROWING = {"target_kib": 786432, "motion": "unknown"}
STOPPED = {"target_kib": 786432, "motion": "still"}


def state(snapshot: Snapshot) -> str:
    return balloon_state(snapshot, target_offset(snapshot, boot_facts(snapshot)))


def test_a_guest_on_its_target_is_settled() -> None:
    assert state(a_pv_guest()) == "settled"


def test_a_guest_that_was_seen_in_motion_is_moving() -> None:
    assert state(a_pv_guest(balloon=GROWING | {"motion": "moved"})) == "moving"
    assert state(a_pv_guest(balloon=GROWING | {"read_while_moving": True})) == "moving"


def memory_of(snapshot: Snapshot) -> MemoryReading:
    assert snapshot.memory
    return snapshot.memory


WAY = 786432 - 524288


@pytest.mark.parametrize(
    ("later_kib", "expected"),
    [(4, "moving"), (WAY, "moving"), (-4, "unclear"), (WAY + 4, "unclear"), (0, "unclear")],
)
@pytest.mark.parametrize("grows", [True, False])
def test_memtotal_and_the_zones_read_at_two_moments_show_motion_to_the_target(
    later_kib: int, expected: str, grows: bool
) -> None:
    way_kib, later_kib = (WAY, later_kib) if grows else (-WAY, -later_kib)
    balloon = GROWING | {"target_kib": 524288 + way_kib, "max_retry_count": 4}
    memory = {"available_kib": 0}  # a shrink that can be refused
    zones = {"managed_pages": (memory_of(a_pv_guest()).total_kib + later_kib) // 4}
    assert state(a_pv_guest(balloon=balloon, memory=memory, zones=zones)) == expected


@pytest.mark.parametrize(("later_kib", "moved"), [(0, False), (4, True), (-4, True)])
def test_a_balloon_at_its_target_was_moving_where_memtotal_and_the_zones_differ(
    later_kib: int, moved: bool
) -> None:
    zones = {"managed_pages": (memory_of(a_pv_guest()).total_kib + later_kib) // 4}
    assert seen_moving(a_pv_guest(balloon={"motion": "unknown"}, zones=zones)) is moved


def test_a_guest_has_what_current_kb_says_where_no_hole_is_counted() -> None:
    assert understand(a_pv_guest()).populated_kib == 524288
    assert understand(a_pv_guest(balloon=None)).populated_kib is None


@pytest.mark.parametrize(("target_kib", "expected"), [(524288, "settled"), (600000, "unclear")])
def test_off_its_target_a_balloon_of_unknown_size_is_unclear(
    target_kib: int, expected: str
) -> None:
    assert state(a_pv_guest(balloon={"target_kib": target_kib, "low_kib": None})) == expected


@pytest.mark.parametrize("missing", ["memory", "zones"])
def test_with_one_of_the_two_nothing_is_seen_to_move(missing: str) -> None:
    assert not seen_moving(a_pv_guest(balloon={"motion": "unknown"}, **{missing: None}))


@pytest.mark.parametrize(
    ("kernel", "moved"), [(None, True), (KernelRelease(3, 11), True), (KernelRelease(3, 10), False)]
)
def test_a_kernel_that_leaves_the_zones_as_they_were_shows_no_motion_by_them(
    kernel: KernelRelease | None, moved: bool
) -> None:
    zones = {"managed_pages": (memory_of(a_pv_guest()).total_kib + 4) // 4}
    guest = a_pv_guest(balloon={"motion": "unknown"}, zones=zones, domain={"kernel": kernel})
    assert seen_moving(guest) is moved


@pytest.mark.parametrize(
    ("later_kib", "offline", "expected"),
    [
        (2048, (), "moving"),
        (-2048, (), "unclear"),  # MemTotal lacks something else
        (2048, (2,), "unclear"),  # a block that is offline is in current_kb alone
    ],
)
def test_current_and_memtotal_read_at_two_moments_show_motion_in_a_pvh_guest(
    later_kib: int, offline: tuple[int, ...], expected: str
) -> None:
    total_kib = memory_of(a_pvh_guest()).total_kib + later_kib
    guest = a_pvh_guest(
        balloon=GROWING,
        memory={"total_kib": total_kib},
        zones={"managed_pages": total_kib // 4},
        blocks=MemoryBlocks(BLOCK, (0, 1), offline, "offline"),
    )
    assert state(guest) == expected


@pytest.mark.parametrize(
    ("make", "whole", "expected"),
    [
        (a_pvh_guest, True, "moving"),
        (a_pvh_guest, False, "unclear"),  # what was read in part tells no constant
        (a_pv_guest, True, "unclear"),  # in a PV guest that is none of the log's figures
    ],
)
def test_only_a_whole_log_of_a_pvh_or_hvm_guest_tells_what_lies_between_current_and_memtotal(
    make: Callable[..., Snapshot], whole: bool, expected: str
) -> None:
    total_kib = memory_of(make()).total_kib + 2048
    found = make(
        balloon=GROWING,
        memory={"total_kib": total_kib},
        zones={"managed_pages": total_kib // 4},
        boot_log={"whole": whole},
    )
    assert state(found) == expected


def test_a_second_attempt_or_a_longer_delay_is_a_retry() -> None:
    assert state(a_pv_guest(balloon=STOPPED | {"retry_count": 2})) == "retrying"
    assert state(a_pv_guest(balloon=STOPPED | {"schedule_delay_s": 4})) == "retrying"


def test_a_target_that_is_off_while_nothing_moves_was_cancelled() -> None:
    assert state(a_pv_guest(balloon=STOPPED)) == "cancelled"


@pytest.mark.parametrize(
    "changes",
    [
        {"balloon": {"max_retry_count": 0}},
        {"balloon": {"max_retry_count": None}, "domain": {"kernel": LINUX_2_6_32}},
    ],
    ids=["told never to", "before 5.10"],
)
def test_a_driver_that_never_gives_up_would_show_a_refusal(changes: dict[str, Any]) -> None:
    """Once it was looked at for a while, only motion is motion."""
    once = changes | {"balloon": changes["balloon"] | GROWING}
    assert state(a_pv_guest(**once)) == "moving"
    watched = changes | {"balloon": changes["balloon"] | STOPPED}
    assert state(a_pv_guest(**watched)) == "unclear"


def test_the_running_kernels_own_limit_of_retries_beats_the_table() -> None:
    old = {"kernel": LINUX_2_6_32}
    assert state(a_pv_guest(balloon=STOPPED, domain=old)) == "cancelled"


@pytest.mark.parametrize("motion", ["still", "unknown"])
def test_growing_with_an_empty_balloon_is_waiting_for_memory_or_refused(motion: str) -> None:
    balloon = STOPPED | {"motion": motion}
    assert state(an_unpopulated_guest(balloon=balloon)) == "unclear"


@pytest.mark.parametrize(
    ("available_kib", "expected"),
    [
        (200 * MIB, "moving"),
        (128 * MIB + 13819 + 1, "moving"),
        (128 * MIB + 13819, "unclear"),  # what has to stay available: a 33rd of MemTotal
        (130 * MIB, "unclear"),
    ],
)
def test_a_shrink_that_nothing_can_refuse_is_under_way(available_kib: int, expected: str) -> None:
    shrinking = {"target_kib": 393216, "motion": "unknown"}
    memory = {"available_kib": available_kib}
    assert state(a_pv_guest(balloon=shrinking, memory=memory)) == expected


def refusal(snapshot: Snapshot) -> str | None:
    return refused_by(snapshot, balloon_state(snapshot, None))


def test_it_is_said_who_refuses() -> None:
    again = STOPPED | {"retry_count": 3}
    assert refusal(a_pv_guest(balloon=again)) == "hypervisor"
    assert refusal(a_pv_guest(balloon=again | {"target_kib": 262144})) == "guest-memory"
    assert refusal(an_unpopulated_guest(balloon=again)) == "hot-add"
    assert refusal(an_unpopulated_guest(balloon=again, hotplug_unpopulated=None)) == "empty-balloon"
    assert refusal(a_pv_guest()) is None
    assert refusal(a_pv_guest(balloon=again | {"motion": "moved"})) is None


def test_what_an_old_hvm_kernel_aims_at_beyond_its_map_is_out_of_reach() -> None:
    numbers = {"current_kib": 1048180, "target_kib": 1048576, "low_kib": 0, "motion": "unknown"}
    old = an_hvm_guest(
        domain={"kernel": LINUX_4_4}, balloon=numbers, host={"target_kib": 1048576}, boot_log=None
    )
    assert counted_beyond_kib(old) == 396
    assert state(old) == "unreachable"
    more = an_hvm_guest(
        domain={"kernel": LINUX_4_4}, balloon=numbers | {"current_kib": 1048176}, boot_log=None
    )
    assert counted_beyond_kib(more) is None


def test_a_target_above_static_max_is_unreachable() -> None:
    assert state(a_pv_guest(balloon=STOPPED | {"target_kib": 2 * GIB})) == "unreachable"


def test_the_offset_counts_before_static_max_is_compared() -> None:
    at_the_top = {"target_kib": 1048576 - 388, "motion": "still"}
    assert state(a_pvh_guest(balloon=at_the_top)) == "cancelled"
    above = {"target_kib": 1048576 - 384, "motion": "still"}
    assert state(a_pvh_guest(balloon=above)) == "unreachable"


def test_a_target_that_needs_offline_memory_is_unreachable_until_it_is_online() -> None:
    blocks = MemoryBlocks(BLOCK, (), (8, 9))
    assert state(an_unpopulated_guest(balloon=STOPPED, blocks=blocks)) == "unreachable"
    assert state(a_pv_guest(balloon=STOPPED, blocks=blocks)) == "cancelled"


def test_a_target_below_what_the_guest_has_is_never_out_of_reach() -> None:
    shrinking = {"target_kib": 393216, "motion": "still"}
    assert state(a_pv_guest(balloon=shrinking, host={"static_max_kib": 1})) == "cancelled"


LENT = {"current_kib": 1048576 - 2048, "low_kib": 0, "motion": "still"}


@pytest.mark.parametrize("motion", ["still", "unknown"])
def test_dom0_below_its_target_with_an_empty_balloon_has_lent_the_rest(motion: str) -> None:
    assert state(a_dom0(balloon=LENT | {"motion": motion})) == "settled"
    assert state(a_dom0(balloon=LENT | {"retry_count": 3})) == "retrying"
    assert state(a_dom0(balloon=LENT | {"motion": "moved"})) == "moving"


def test_dom0_that_could_fill_the_gap_from_its_balloon_was_refused() -> None:
    """Backends take what the balloon holds first, so none of the gap is with them."""
    assert state(a_dom0(balloon=LENT | {"low_kib": 4})) == "cancelled"
    assert state(a_dom0(balloon=LENT | {"low_kib": 4, "max_retry_count": 0})) == "unclear"


def test_dom0_above_its_target_has_lent_nothing() -> None:
    assert state(a_dom0(balloon=LENT | {"target_kib": 917504})) == "cancelled"


def test_dom0_that_was_hot_added_memory_which_stays_offline_lacks_that() -> None:
    assert state(a_dom0(balloon=LENT, blocks=MemoryBlocks(BLOCK, (), (8,)))) == "unreachable"


@pytest.mark.parametrize(
    "balloon",
    [None, {"current_kib": None}, {"target_kib": None}],
    ids=["none", "current", "target"],
)
def test_without_a_driver_or_its_numbers_the_state_is_absent(balloon: object) -> None:
    assert state(a_pv_guest(balloon=balloon)) == "absent"


def offset(snapshot: Snapshot) -> TargetOffset | None:
    return target_offset(snapshot, boot_facts(snapshot))


def test_a_pv_guest_and_dom0_are_on_the_hosts_scale() -> None:
    assert offset(a_pv_guest()) == offset(a_dom0()) == (0, "same-scale")
    assert offset(a_pvh_guest(domain={"domain_type": "dom0-pvh"})) == (0, "same-scale")


def test_static_max_tells_the_offset_of_pvh_and_hvm_guests() -> None:
    assert offset(a_pvh_guest()) == (388, "static-max")
    assert offset(an_hvm_guest()) == (396, "static-max")


def test_a_static_max_between_two_pages_counts_as_the_lower_as_the_driver_shifts_it() -> None:
    whole_kib = a_pvh_guest().host.static_max_kib
    assert whole_kib is not None
    for odd_kib in (1, 2, 3):
        odd = a_pvh_guest(host={"static_max_kib": whole_kib + odd_kib})
        assert offset(odd) == (388, "static-max")


@pytest.mark.parametrize(
    ("above_kib", "video_kib", "known"),
    [
        (0, 0, True),
        (-4, 0, False),
        (LARGEST_USUAL_KIB, 0, True),
        (LARGEST_USUAL_KIB + 4, 0, False),
        (LARGEST_USUAL_KIB + 16 * MIB, 16 * MIB, True),
        (LARGEST_USUAL_KIB + 16 * MIB + 4, 16 * MIB, False),
    ],
)
def test_what_no_host_counts_beyond_a_guests_pages_is_no_offset(
    above_kib: int, video_kib: int, known: bool
) -> None:
    counted_kib = (a_pvh_guest().host.static_max_kib or 0) - 388
    host = {
        "static_max_kib": counted_kib + above_kib,
        "target_kib": None,
        "videoram_kib": video_kib,
    }
    assert offset(a_pvh_guest(host=host)) == ((above_kib, "static-max") if known else None)


def test_kernels_before_4_13_had_no_offset() -> None:
    assert offset(an_hvm_guest(domain={"kernel": LINUX_2_6_32})) == (0, "same-scale")


def test_a_static_max_rewritten_after_boot_gives_way_to_the_settled_target() -> None:
    assert offset(a_pvh_guest(host={"static_max_kib": 2 * GIB})) == (388, "settled-target")


def _raised_and_set_by_hand(
    *ranges: tuple[int, int], below_kib: int = 512, videoram_kib: int = 0
) -> Snapshot:
    """static-max was raised, and somebody in the guest wrote a smaller target."""
    numbers = {"current_kib": 524288 - below_kib, "target_kib": 524288 - below_kib}
    host = {"static_max_kib": GIB + 64 * MIB, "videoram_kib": videoram_kib}
    return a_pvh_guest(balloon=numbers, host=host, firmware_map=ram_map(*ranges))


UP_TO_1_GIB = ((0, 0x9FFFF), (0x100000, 0x3FEFFFFF), (0x3FF00000 + 4096, 0x3FFFFFFF))


def test_where_both_figures_are_too_large_a_map_as_libxl_makes_it_tells_the_offset() -> None:
    assert offset(_raised_and_set_by_hand(*UP_TO_1_GIB)) == (388, "plain-map")
    assert offset(_raised_and_set_by_hand(*UP_TO_1_GIB, below_kib=388)) == (388, "settled-target")
    assert offset(_raised_and_set_by_hand(*UP_TO_1_GIB, below_kib=384)) == (384, "settled-target")


@pytest.mark.parametrize(("videoram_kib", "kib"), [(-1, 388), (0, 388), (64, 452)])
def test_of_a_plain_map_video_memory_counts_where_there_is_any(videoram_kib: int, kib: int) -> None:
    """xl writes -1 for a guest that has none."""
    guest = _raised_and_set_by_hand(*UP_TO_1_GIB, videoram_kib=videoram_kib)
    assert offset(guest) == (kib, "plain-map")


def test_an_hvm_guest_of_libxl_has_an_offset_of_its_own() -> None:
    guest = changed(_raised_and_set_by_hand(*UP_TO_1_GIB), domain={"domain_type": "hvm"})
    assert offset(guest) == (396, "plain-map")


def test_a_map_of_more_than_three_ranges_of_ram_is_not_of_libxl() -> None:
    beyond = (0x100000000, 0x107FFFFFF)
    assert offset(_raised_and_set_by_hand(*UP_TO_1_GIB, beyond)) == (512, "settled-target")


def test_a_boot_record_keeps_the_first_static_max() -> None:
    record = BootRecord(523900, 524288, 1048192, 524288, 1048576)
    moved = a_pvh_guest(host={"static_max_kib": 2 * GIB}, boot_record=record)
    assert offset(moved) == (388, "static-max")


@pytest.mark.parametrize(
    "snapshot",
    [
        a_pvh_guest(domain={"domain_type": None}),
        a_pvh_guest(host={"static_max_kib": None, "target_kib": None}),
        a_pvh_guest(host={"static_max_kib": None}, balloon=STOPPED),
        a_pvh_guest(host={"static_max_kib": 4 * GIB, "target_kib": 4 * GIB}),
        a_pvh_guest(host={"static_max_kib": 1024, "target_kib": 1024}),
        a_pvh_guest(host={"static_max_kib": None}, balloon=None),
    ],
    ids=["type", "xenstore", "not settled", "too large", "negative", "no driver"],
)
def test_the_offset_is_unknown_where_nothing_sane_tells_it(snapshot: Snapshot) -> None:
    assert offset(snapshot) is None


def room(snapshot: Snapshot) -> tuple[int | None, int | None]:
    found = headroom(snapshot, offset(snapshot))
    return found.up_kib, found.down_kib


def test_up_goes_to_static_max_on_the_kernels_scale() -> None:
    assert room(a_pv_guest())[0] == 524288
    assert room(a_pvh_guest())[0] == 1048576 - 388 - 523900


def test_without_xenstore_up_is_what_the_balloon_holds() -> None:
    assert room(a_pv_guest(host={"static_max_kib": None}))[0] == 524288


def test_a_guest_above_static_max_has_no_room_up() -> None:
    assert room(a_pv_guest(host={"static_max_kib": 1024}))[0] == 0


def test_down_keeps_what_is_in_use_and_some_air() -> None:
    """A twentieth of MemTotal is kept free above what is in use."""
    busy = a_pv_guest(memory={"available_kib": 300000})
    assert room(busy)[1] == 524288 - (524288 - 300000) - 456048 // 20


def test_down_of_an_idle_guest_stops_at_the_floor_of_its_size() -> None:
    assert room(a_pv_guest())[1] == 524288 - 168 * MIB


def test_a_guest_with_nothing_to_spare_has_no_room_down() -> None:
    assert room(a_pv_guest(memory={"available_kib": 0}))[1] == 0


def test_nothing_can_be_taken_of_a_guest_that_needs_all_it_has() -> None:
    assert room(a_pv_guest(memory={"available_kib": 4})) == (524288, 0)


def test_without_meminfo_only_the_way_up_is_known() -> None:
    assert room(a_pv_guest(memory=None)) == (524288, None)
    assert room(a_pv_guest(balloon=None)) == (None, None)


@pytest.mark.parametrize(
    ("size_mib", "floor_mib"),
    [
        (64, 40),
        (127, 71),
        (128, 72),
        (300, 115),
        (512, 168),
        (1000, 229),
        (2048, 360),
        (5000, 544),
        (8192, 744),
        (65536, 2536),
    ],
)
def test_no_guest_is_squeezed_below_a_floor_that_grows_with_it(
    size_mib: int, floor_mib: int
) -> None:
    assert least_kib(size_mib * MIB) == floor_mib * MIB


@given(st.integers(0, 1 << 40), st.integers(0, 1 << 40), st.integers(0, 1 << 41))
def test_the_floor_is_never_above_what_the_guest_has(
    current_kib: int, total_kib: int, available_kib: int
) -> None:
    needed = needed_kib(current_kib, MemoryReading(total_kib, available_kib, 0))
    assert 0 <= needed <= current_kib


@pytest.mark.parametrize(("more_kib", "limited"), [(0, True), (4, False)])
def test_more_than_twice_the_map_of_dom0_is_no_limit(more_kib: int, limited: bool) -> None:
    guest = a_dom0()
    assert guest.firmware_map
    most_kib = 2 * guest.firmware_map.ram_kib + more_kib
    dom0 = a_dom0(host={"static_max_kib": most_kib})
    assert limit_kib(dom0) == (most_kib if limited else None)
    assert limit_kib(a_pv_guest(host={"static_max_kib": most_kib})) == most_kib


@pytest.mark.parametrize(
    ("target_kib", "grows"), [(524284, False), (524288, False), (524292, True)]
)
def test_a_guest_at_its_target_does_not_grow(target_kib: int, grows: bool) -> None:
    driver = driver_of(BalloonReading(current_kib=524288, target_kib=target_kib, low_kib=0))
    assert driver
    assert (driver.grows, driver.lacks_with_empty_balloon) == (grows, grows)


@pytest.mark.parametrize(
    ("guest", "state", "lent"),
    [
        (a_dom0(balloon={"current_kib": 1046528, "low_kib": 0}), "settled", True),
        (a_dom0(balloon={"current_kib": 1046528, "low_kib": 0}), "unclear", False),
        (a_dom0(balloon={"current_kib": 1046528}), "settled", False),
        (a_dom0(), "settled", False),
        (a_dom0(balloon=None), "settled", False),
    ],
)
def test_what_a_settled_domain_lacks_with_an_empty_balloon_is_lent(
    guest: Snapshot, state: Any, lent: bool
) -> None:
    assert is_lent(guest, state) is lent


@pytest.mark.parametrize(
    ("guest", "holes"),
    [
        (an_hvm_guest(), True),
        (a_pv_guest(), False),
        (an_hvm_guest(domain={"domain_type": None}), False),
        (an_hvm_guest(firmware_map=None, iomem=None), False),
    ],
)
def test_only_old_hvm_kernels_count_the_holes_of_their_map(guest: Snapshot, holes: bool) -> None:
    beyond = ram_map((0, 0x3FFFFFFF), (1 << 32, (1 << 32) + (1 << 30) - 1))
    if guest.firmware_map is not None:
        guest = guest._replace(firmware_map=beyond)
    old = changed(guest, domain={"kernel": LINUX_2_6_32}, balloon={"low_kib": 0})
    assert hole_kib(old) == (3 * GIB if holes else 0)


def test_what_a_guest_really_has_is_unknown_where_its_driver_does_not_tell_what_it_counts() -> None:
    beyond = ram_map((0, 0x3FFFFFFF), (1 << 32, (1 << 32) + (1 << 30) - 1))
    old = an_hvm_guest(domain={"kernel": LINUX_2_6_32}, firmware_map=beyond)
    told = changed(old, balloon={"current_kib": 4 * GIB, "low_kib": 0})
    assert understand(told).populated_kib == GIB - 4  # less the hole and page 0
    assert understand(changed(told, balloon={"current_kib": None})).populated_kib is None
