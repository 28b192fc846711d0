# SPDX-License-Identifier: GPL-2.0-or-later
"""nr_pages and what lay beyond it, by the best estimator there is, which is named."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agent.core.account.boot_facts import (
    JUST_BOOTED_S,
    LARGEST_USUAL_KIB,
    BootFacts,
    NrPages,
    boot_facts,
    uncounted_kib,
)
from agent.core.account.situation import understand
from agent.core.facts.kernel_release import KernelRelease
from agent.core.facts.snapshot import BootRecord, MemoryBlocks, Snapshot
from agent.core.findings.assessment import judge
from tests.support.snapshots import (
    BLOCK,
    DOM0_MAP,
    GIB,
    HVM_MAP,
    MIB,
    a_dom0,
    a_pv_guest,
    a_pvh_guest,
    an_unpopulated_guest,
    guest_map,
)

HALF = 512 * MIB
RECORD = BootRecord(524288, 524288, 1048192, 524288, 1048576)


def test_the_log_of_a_pv_guest_tells_nr_pages_to_the_page() -> None:
    facts = boot_facts(a_pv_guest())
    assert facts.nr_pages == (131072, "kernel-log", True)
    assert facts.beyond_kib == HALF
    assert facts.certain


def test_it_tells_them_also_after_the_balloon_has_moved() -> None:
    later = a_pv_guest(
        balloon={"current_kib": 786432, "target_kib": 786432, "low_kib": 262144},
        memory={"total_kib": 456048 + 262144},
    )
    assert boot_facts(later).nr_pages == (131072, "kernel-log", True)


def test_it_tells_them_also_after_memory_was_hot_added() -> None:
    facts = boot_facts(
        an_unpopulated_guest(
            firmware_map=guest_map(GIB, (0x100000000, 0x10FFFFFFF)),
            balloon={"current_kib": 786432, "target_kib": 786432, "low_kib": 0},
            memory={"total_kib": 456048 + 262144},
        )
    )
    assert facts.beyond_kib == HALF
    assert (facts.ram_kib, facts.ram_exact) == (1048192, True)


def test_dom0_counts_no_isa_window() -> None:
    facts = boot_facts(a_dom0())
    assert facts.nr_pages == (262144, "kernel-log", True)
    assert facts.beyond_kib == HALF


def test_pages_that_were_released_belong_to_nr_pages() -> None:
    facts = boot_facts(a_pv_guest(boot_log={"released_pages": 96}))
    assert facts.nr_pages
    assert facts.nr_pages.pages == 131072 + 96


def test_a_boot_record_is_better_than_all_else() -> None:
    facts = boot_facts(a_pvh_guest(boot_record=RECORD._replace(current_kib=523900)))
    assert facts.nr_pages == (130975, "boot-record", True)
    assert facts.beyond_kib == HALF
    assert facts.ballooned_kib == 524288


def test_a_balloon_in_motion_tells_nothing() -> None:
    moving = a_pv_guest(balloon={"target_kib": 786432, "motion": "unknown"})
    assert boot_facts(moving).nr_pages is None
    assert boot_facts(moving).beyond_kib is None


@pytest.mark.parametrize(
    "balloon",
    [
        {"target_kib": 786432, "motion": "still"},
        {"target_kib": 786432, "retry_count": 2, "motion": "unknown"},
        {"target_kib": 786432, "low_kib": 0, "motion": "unknown"},
    ],
    ids=["watched", "between two attempts", "nothing left to deflate"],
)
def test_a_balloon_that_is_off_its_target_but_stands_still_tells(balloon: object) -> None:
    assert boot_facts(a_pv_guest(balloon=balloon)).nr_pages == (131072, "kernel-log", True)


def test_xapis_initial_target_is_an_estimate() -> None:
    facts = boot_facts(a_pvh_guest(host={"initial_target_kib": 524288}))
    assert facts.nr_pages == (130975, "xapi-initial-target", False)
    assert not facts.certain


@pytest.mark.parametrize(("later_s", "known"), [(0, True), (JUST_BOOTED_S, False), (3600, False)])
def test_a_pvh_guest_is_taken_for_untouched_only_right_after_its_boot(
    later_s: float, known: bool
) -> None:
    facts = boot_facts(a_pvh_guest(uptime_s=15.7 + later_s))
    assert (facts.nr_pages is not None) is known
    assert facts.nr_pages in (None, (130975, "current-just-booted", False))


@pytest.mark.parametrize(
    "snapshot",
    [
        a_pv_guest(firmware_map=None),
        a_pv_guest(balloon=None),
        a_pv_guest(balloon={"current_kib": None}),
        a_pvh_guest(),
        a_pv_guest(boot_log=None),
        a_pv_guest(memory={"total_kib": 600000}),
    ],
    ids=["no map", "no driver", "no current_kb", "PVH, long up", "no log", "MemTotal > current"],
)
def test_nr_pages_is_unknown_where_nothing_tells_it(snapshot: Snapshot) -> None:
    assert boot_facts(snapshot).nr_pages is None
    assert not boot_facts(snapshot).certain


@pytest.mark.parametrize(("after_s", "known"), [(18.75, True), (19.0, False)])
def test_that_is_19_s_after_the_kernels_own_start_and_no_longer(
    after_s: float, known: bool
) -> None:
    guest = a_pvh_guest(boot_log={"ended_s": 5.0}, uptime_s=5.0 + after_s)
    assert (boot_facts(guest).nr_pages is not None) is known


def test_a_guest_that_was_started_with_all_of_its_map_has_nothing_beyond_it() -> None:
    whole = {"current_kib": 1048576, "target_kib": 1048576, "low_kib": 0}
    for guest in (
        a_pv_guest(balloon=whole, memory={"total_kib": 980336}, boot_log={"reserved_kib": 82740}),
        a_pv_guest(boot_record=RECORD._replace(current_kib=1048576, ballooned_kib=0)),
    ):
        assert boot_facts(guest).beyond_kib == 0
    more = a_pv_guest(boot_record=RECORD._replace(current_kib=1048580, ballooned_kib=0))
    assert boot_facts(more).beyond_kib is None


@pytest.mark.parametrize(("total_kib", "known"), [(524284, True), (524288, False)])
def test_a_kernel_that_keeps_nothing_for_itself_is_none(total_kib: int, known: bool) -> None:
    guest = a_pv_guest(memory={"total_kib": total_kib})
    assert (boot_facts(guest).nr_pages is not None) is known


def test_what_xapi_cannot_mean_leaves_the_word_to_the_other_estimators() -> None:
    host = {"initial_target_kib": 388, "static_max_kib": 1048188 + 388}
    facts = boot_facts(a_pvh_guest(host=host, uptime_s=16.0))
    assert facts.nr_pages == (130975, "current-just-booted", False)


def test_a_record_that_says_more_than_the_map_has_leaves_beyond_unknown() -> None:
    assert (
        boot_facts(a_pv_guest(boot_record=RECORD._replace(current_kib=2 * GIB))).beyond_kib is None
    )


def test_what_is_in_the_map_and_no_page_of_the_driver_depends_on_the_type() -> None:
    assert uncounted_kib(guest_map(), "pv") == -384
    assert uncounted_kib(guest_map(), "pvh") == 4
    assert uncounted_kib(HVM_MAP, "hvm") == 7
    assert uncounted_kib(DOM0_MAP, "dom0-pv") == 0


@pytest.mark.parametrize("initial_kib", [0, 1, 2, 3])
def test_a_guest_is_never_taken_to_have_started_with_nothing(initial_kib: int) -> None:
    snapshot = a_pv_guest(
        boot_log=None,
        host={"initial_target_kib": initial_kib, "target_kib": 524288, "static_max_kib": 2097152},
    )
    assert boot_facts(snapshot).nr_pages is None
    assert judge(understand(snapshot))


def test_before_linux_3_2_released_pages_are_in_current_kb_already() -> None:
    older = a_pv_guest(domain={"kernel": KernelRelease(3, 1)}, boot_log={"released_pages": 96})
    newer = a_pv_guest(domain={"kernel": KernelRelease(3, 2)}, boot_log={"released_pages": 96})
    before, after = boot_facts(older).nr_pages, boot_facts(newer).nr_pages
    assert before
    assert after
    assert (before.pages, after.pages) == (131072, 131168)


def test_a_log_that_was_read_in_part_makes_no_exact_figure() -> None:
    facts = boot_facts(a_pv_guest(boot_log={"whole": False}))
    assert facts.nr_pages == (131072, "kernel-log", False)
    assert not facts.certain


@pytest.mark.parametrize(
    ("release", "exact"), [((2, 6, 32), True), ((3, 2), False), ((6, 1), False)]
)
def test_a_log_that_does_not_tell_what_was_released_is_exact_only_where_current_counts_it(
    release: tuple[int, ...], exact: bool
) -> None:
    domain = {"kernel": KernelRelease(*release)}
    facts = boot_facts(a_pv_guest(domain=domain, boot_log={"tells_released": False}))
    assert facts.nr_pages
    assert facts.nr_pages.exact is exact


def test_a_pvh_dom0_releases_nothing_that_its_log_could_lack() -> None:
    facts = boot_facts(
        a_dom0(domain={"domain_type": "dom0-pvh"}, boot_log={"tells_released": False})
    )
    assert facts.nr_pages
    assert facts.nr_pages.exact


@pytest.mark.parametrize(
    ("offline", "offlined_kib"),
    [((2,), 128 * MIB), ((32,), 0), ((2, 32), 128 * MIB), ((2, 3), 256 * MIB)],
    ids=["by hand", "hot-added", "one of each", "two by hand"],
)
def test_without_a_log_the_drivers_counts_tell_a_block_of_the_boot_from_a_hot_added_one(
    offline: tuple[int, ...], offlined_kib: int
) -> None:
    added = ((1 << 32, (1 << 32) + BLOCK - 1),) if 32 in offline else ()
    guest = a_pvh_guest(
        boot_log=None,
        firmware_map=guest_map(GIB, *added),
        blocks=MemoryBlocks(BLOCK, (0, 1), offline, "offline"),
    )
    assert boot_facts(guest).offlined_kib == offlined_kib


@pytest.mark.parametrize("initial_kib", [0, 1, 3, 4])
@pytest.mark.parametrize("make", [a_pv_guest, a_pvh_guest])
def test_a_guest_that_xapi_says_was_started_with_nothing_is_judged(
    make: Callable[..., Snapshot], initial_kib: int
) -> None:
    snapshot = make(boot_record=None, boot_log=None)
    host = snapshot.host._replace(initial_target_kib=initial_kib, static_max_kib=1 << 22)
    assert judge(understand(snapshot._replace(host=host))).findings is not None


@pytest.mark.parametrize(
    ("offset_kib", "initial_kib", "known"),
    [
        (0, 524288, True),
        (-4, 524288, False),
        (LARGEST_USUAL_KIB, 524288, True),
        (LARGEST_USUAL_KIB + 4, 524288, False),
        (388, 1048188 + 388, True),  # all of the map
        (388, 1048188 + 388 + 4, False),
        (388, 388, False),
        (388, 392, True),
    ],
)
def test_what_xapi_says_tells_nr_pages_only_where_it_can_be_true(
    offset_kib: int, initial_kib: int, known: bool
) -> None:
    mapped_kib = 1048188
    host = {"initial_target_kib": initial_kib, "static_max_kib": mapped_kib + offset_kib}
    nr_pages = boot_facts(a_pvh_guest(boot_log=None, host=host)).nr_pages
    assert (nr_pages.pages * 4 if nr_pages else None) == (
        initial_kib - offset_kib if known else None
    )


def test_what_lies_beyond_is_certain_where_map_and_nr_pages_are() -> None:
    exact, assumed = NrPages(1, "boot-record", True), NrPages(1, "boot-record", False)
    assert BootFacts(exact, 8, True, 4).certain
    assert not BootFacts(exact, 8, True, None).certain
    assert not BootFacts(exact, 8, False, 4).certain
    assert not BootFacts(assumed, 8, True, 4).certain
    assert not BootFacts(None, 8, True, 4).certain
