# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a new target would hurt a guest that runs."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.account.situation import understand
from agent.core.facts.snapshot import MemoryReading, Snapshot
from agent.core.plan.target import Advice, advise
from tests import captures
from tests.support import captured
from tests.support.snapshots import (
    BLOCK,
    CALM,
    GIB,
    MIB,
    STALLED,
    a_dom0,
    a_pv_guest,
    a_pvh_guest,
    an_hvm_guest,
    an_unpopulated_guest,
)


def about(snapshot: Snapshot, target_kib: int) -> Advice:
    advice = advise(understand(snapshot), target_kib)
    assert advice
    return advice


def test_shrinking_above_the_floor_does_not_hurt() -> None:
    advice = about(a_pv_guest(), 384 * MIB)
    assert advice.answer == "yes"
    assert advice.available_kib == 380268 - 128 * MIB


def test_shrinking_below_the_floor_is_risky_and_says_how_far_is_safe() -> None:
    advice = about(a_pv_guest(), 150 * MIB)
    assert advice.answer == "risky"
    assert advice.safe_from_kib == 168 * MIB
    assert about(a_pv_guest(), advice.safe_from_kib).answer == "yes"


def test_a_target_below_the_working_set_hurts_as_it_was_seen_to() -> None:
    """512 MiB, 300 of them touched, `xl mem-set 200`: stalled for 20 s, then the OOM killer."""
    busy = a_pv_guest(memory=MemoryReading(456048, 80268, 48512))
    advice = about(busy, 200 * MIB)
    assert advice.answer == "no"
    assert "OOM" in advice.reasons[0]


def test_where_swap_takes_what_is_too_much_it_is_only_risky() -> None:
    swapping = a_pv_guest(memory=MemoryReading(456048, 80268, 48512, 0, GIB, GIB))
    advice = about(swapping, 200 * MIB)
    assert advice.answer == "risky"
    assert "swap" in advice.reasons[0]


@pytest.mark.parametrize(("lacks_kib", "answer"), [(0, "risky"), (4, "no")])
def test_swap_that_takes_just_what_is_too_much_is_enough(lacks_kib: int, answer: str) -> None:
    too_much_kib = 524288 - 80268 - 200 * MIB
    memory = MemoryReading(456048, 80268, 48512, 0, GIB, too_much_kib - lacks_kib)
    assert about(a_pv_guest(memory=memory), 200 * MIB).answer == answer


def test_a_guest_that_is_short_already_is_not_to_be_shrunk() -> None:
    little = {"available_kib": 41000}
    advice = about(a_pv_guest(pressure=STALLED, memory=little), 510 * MIB)
    assert advice.answer == "risky"
    assert "short of memory" in advice.reasons[0]
    assert about(a_pv_guest(pressure=CALM, memory=little), 510 * MIB).answer == "yes"


def test_pressure_that_only_decays_keeps_nobody_from_shrinking() -> None:
    assert about(a_pv_guest(pressure=STALLED), 500 * MIB).answer == "yes"


def test_growing_out_of_the_balloon_does_not_hurt() -> None:
    advice = about(a_pv_guest(), GIB)
    assert (advice.answer, advice.safe_to_kib) == ("yes", GIB)


def test_more_than_static_max_is_refused_by_the_host() -> None:
    advice = about(a_pv_guest(), GIB + MIB)
    assert advice.answer == "no"
    assert "xl mem-max" in advice.reasons[0]


@pytest.mark.parametrize(
    ("toolstack", "says"),
    [
        ("xend", "xm mem-max"),
        ("xapi", "while the VM is shut down"),
        ("qubes", "the qube's maxmem"),
        (None, "ask whoever runs the host"),
    ],
)
def test_a_limit_is_raised_by_what_set_it(toolstack: str | None, says: str) -> None:
    advice = about(a_pv_guest(domain={"toolstack": toolstack}), GIB + MIB)
    assert says in advice.reasons[0]
    assert "xl " not in advice.reasons[0]


@pytest.mark.parametrize("auto_online", ["offline", "online"])
def test_nothing_beyond_the_limit_is_safe_but_what_the_guest_has(auto_online: str) -> None:
    """The balloon holds 512 MiB, of which the host lets it have 256, or less than none."""
    blocks = {"auto_online": auto_online}
    lowered = a_pv_guest(host={"static_max_kib": 768 * MIB}, blocks=blocks)
    assert about(lowered, 512 * MIB).safe_to_kib == 768 * MIB
    assert about(lowered, 768 * MIB).answer == "yes"
    below = a_pv_guest(host={"static_max_kib": 256 * MIB}, blocks=blocks)
    assert about(below, 512 * MIB).safe_to_kib == 512 * MIB


def test_what_the_guest_has_is_safe_in_both_directions() -> None:
    """A floor that is all it has, and no whole number of MiB."""
    guest = a_pv_guest(
        balloon={"current_kib": 524284, "target_kib": 524284}, memory={"available_kib": 4096}
    )
    advice = about(guest, 524284)
    assert (advice.safe_from_kib, advice.safe_to_kib) == (524284, GIB - 4)


def test_growing_by_hot_add_is_as_good_as_the_policy_for_new_blocks() -> None:
    offline = an_unpopulated_guest()
    assert about(offline, 700 * MIB).answer == "risky"
    assert about(offline, 700 * MIB).safe_to_kib == 512 * MIB
    online = an_unpopulated_guest(blocks={"block_bytes": BLOCK, "auto_online": "online"})
    assert about(online, 700 * MIB).answer == "yes"
    assert about(online, 700 * MIB).safe_to_kib == GIB
    without = an_unpopulated_guest(hotplug_unpopulated=None)
    assert about(without, 700 * MIB).answer == "no"


@pytest.mark.parametrize(("guest", "below_kib"), [(a_pvh_guest(), 388), (an_hvm_guest(), 396)])
def test_targets_are_on_the_host_s_scale(guest: Snapshot, below_kib: int) -> None:
    assert about(guest, 768 * MIB).kernel_target_kib == 768 * MIB - below_kib


def test_video_memory_comes_off_every_target() -> None:
    guest = an_hvm_guest(host={"videoram_kib": 8 * MIB})
    assert about(guest, 768 * MIB).kernel_target_kib == 760 * MIB - 396


def test_a_balloon_that_does_not_arrive_makes_every_target_risky() -> None:
    stuck = a_pv_guest(balloon={"target_kib": 600 * MIB, "motion": "still"})
    assert about(stuck, 512 * MIB).answer == "risky"
    moving = a_pv_guest(balloon={"target_kib": 600 * MIB, "motion": "moved"})
    assert "moving" in about(moving, 512 * MIB).reasons[0]


@pytest.mark.parametrize(
    ("more_kib", "answer", "begins"),
    [(0, "risky", "Only 0 KiB would stay available"), (-4, "no", "4 KiB more are in use")],
)
def test_to_leave_just_what_is_in_use_is_risky_and_a_page_less_hurts(
    more_kib: int, answer: str, begins: str
) -> None:
    in_use_kib = 256 * MIB
    busy = a_pv_guest(memory=MemoryReading(456048, 512 * MIB - in_use_kib, 48512))
    advice = about(busy, in_use_kib + more_kib)
    assert (advice.answer, advice.available_kib) == (answer, max(0, more_kib))
    assert advice.reasons[0].startswith(begins)


def test_what_it_has_now_is_always_fine() -> None:
    assert about(a_pv_guest(), 512 * MIB).answer == "yes"
    assert about(a_pv_guest(), 512 * MIB).reasons == ("The guest has that much now.",)
    assert about(a_dom0(), 1024 * MIB).answer == "yes"


def test_without_current_kb_or_meminfo_nothing_is_said() -> None:
    assert advise(understand(a_pv_guest(memory=None)), GIB) is None
    assert advise(understand(a_pv_guest(balloon=None)), GIB) is None


GUESTS = sorted({name.partition("/")[0] for name in captures.names() if "moving" not in name})


@pytest.mark.parametrize("guest", GUESTS)
def test_mem_total_at_another_target_is_what_the_guest_then_had(guest: str) -> None:
    """Between any two captured states of one guest, to the KiB."""
    states = [captured.snapshot_of(n) for n in captures.names() if n.startswith(f"{guest}/")]
    for before, after in permutations(states, 2):
        assert after.balloon
        assert after.memory
        if "moving" in before.origin.detail or "moving" in after.origin.detail:
            continue
        situation = understand(before)
        below_kib = situation.offset.kib if situation.offset else 0
        advice = advise(situation, (after.balloon.current_kib or 0) + below_kib)
        assert advice
        assert advice.mem_total_kib == after.memory.total_kib


@given(
    st.sampled_from([a_pv_guest(), a_pvh_guest(), an_hvm_guest(), an_unpopulated_guest()]),
    st.integers(0, 1 << 34),
)
def test_there_is_an_answer_with_a_reason_for_every_size(guest: Snapshot, target_kib: int) -> None:
    advice = about(guest, target_kib)
    assert advice.reasons
    assert all(reason.endswith((".", ").")) for reason in advice.reasons)
    safe = range(advice.safe_from_kib or 0, (advice.safe_to_kib or 0) + 1)
    assert target_kib not in safe or advice.answer == "yes"


def test_huge_pages_and_compressed_memory_are_no_room_to_swap_to() -> None:
    """12 GiB of which 10 are huge pages: 8 GiB leave no room, however large the swap."""
    memory = MemoryReading(12209136, 1500000, 900000, 0, 8 * GIB, 8 * GIB, 10 * GIB)
    huge = a_pvh_guest(
        balloon={"current_kib": 12566136, "target_kib": 12566136, "low_kib": 4202496},
        memory=memory,
    )
    advice = about(huge, 8 * GIB)
    assert advice.answer == "no"
    assert "10 GiB are huge pages and cannot be swapped" in advice.reasons[0]
    freed = huge._replace(memory=memory._replace(hugetlb_kib=0))
    assert about(freed, 8 * GIB).answer == "risky"

    swapping = a_pv_guest(memory=MemoryReading(456048, 80268, 48512, 0, GIB, GIB))
    assert about(swapping._replace(zram_free_kib=GIB), 200 * MIB).answer == "no"
    assert "zram" in about(swapping._replace(zram_free_kib=GIB), 200 * MIB).reasons[0]
    assert about(swapping._replace(zram_free_kib=GIB // 2), 200 * MIB).answer == "risky"


def test_video_memory_is_taken_off_before_libxl_compares_with_its_limit() -> None:
    guest = an_hvm_guest(
        balloon={"current_kib": 1031780, "target_kib": 1031780, "low_kib": 16400},
        host={"target_kib": 1032192, "static_max_kib": 1048576, "videoram_kib": 16384},
        memory=MemoryReading(960000, 500000, 400000),
    )
    assert about(guest, 1040 * MIB).answer == "yes"
    assert about(guest, 1040 * MIB + 4).answer == "no"
    xend = guest._replace(domain=guest.domain._replace(toolstack="xend"))
    assert about(xend, 1040 * MIB).answer == "no"


def test_how_far_up_is_safe_is_what_the_balloon_holds_in_the_hosts_words() -> None:
    """The kernel aims 388 KiB below the host's target on PVH, and the video memory besides."""
    assert about(a_pvh_guest(), 768 * MIB).safe_to_kib == 523900 + 524288 + 388
    guest = an_hvm_guest(host={"target_kib": 523264, "static_max_kib": GIB, "videoram_kib": 8192})
    assert about(guest, 768 * MIB).safe_to_kib == 522868 + 525312 + 396 + 8192
