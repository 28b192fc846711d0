# SPDX-License-Identifier: GPL-2.0-or-later
"""The waterfall: every KiB between maxmem and what applications can use has a name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.account.situation import understand
from agent.core.account.waterfall import Waterfall, waterfall
from agent.core.facts.snapshot import (
    BalloonReading,
    HostMemoryKeys,
    MemoryBlocks,
    MemoryReading,
    Snapshot,
)
from sim_backend.stories.catalogue import load, scenario_names
from tests import captures
from tests.support import captured
from tests.support.snapshots import (
    BLOCK,
    GIB,
    MIB,
    a_dom0,
    a_pv_guest,
    a_pvh_guest,
    an_hvm_guest,
    an_unpopulated_guest,
    guest_map,
)


def of(snapshot: Snapshot) -> Waterfall:
    return waterfall(understand(snapshot))


def steps(fall: Waterfall) -> dict[str, int]:
    return {step.name: step.kib for level in fall.levels for step in level.steps}


def check_sums(fall: Waterfall) -> None:
    """Each level is the one before plus its steps; the last is free memory and cache."""
    for before, after in zip(fall.levels, fall.levels[1:]):
        assert before.kib + sum(step.kib for step in after.steps) == after.kib
    assert not fall.levels or not fall.levels[0].steps
    assert all(step.kib for level in fall.levels for step in level.steps)
    sizes_kib = {level.name: level.kib for level in fall.levels}
    if "available" in sizes_kib:
        assert (fall.free_kib or 0) + (fall.cache_kib or 0) == sizes_kib["available"]


@pytest.mark.parametrize("name", captures.names())
def test_the_sums_of_every_captured_guest_are_exact(name: str) -> None:
    check_sums(waterfall(captured.assessed(name).situation))


@pytest.mark.parametrize("name", scenario_names())
def test_the_sums_of_every_scenario_are_exact_all_along_its_story(name: str) -> None:
    scenario = load(name)
    stage = scenario.build(0)
    for step in range(21):
        stage.clock.run_until(stage.start_s + scenario.duration_s * step / 20)
        if not stage.domain.alive:
            break
        check_sums(of(stage.domain.snapshot()))


@pytest.mark.parametrize("name", [n for n in captures.names() if "moving" not in n])
def test_of_a_guest_that_stands_still_only_the_kernel_is_what_was_left_over(name: str) -> None:
    fall = waterfall(captured.assessed(name).situation)
    inferred = [step.name for level in fall.levels for step in level.steps if step.inferred]
    assert inferred == ["kernel"]
    assert "unexplained" not in steps(fall)


def test_a_pv_guest_shows_the_whole_way() -> None:
    fall = of(a_pv_guest())
    assert [(level.name, level.kib) for level in fall.levels] == [
        ("maxmem", GIB),
        ("map", GIB),
        ("current", 512 * MIB),
        ("total", 456048),
        ("available", 380268),
    ]
    assert list(steps(fall)) == [
        "ballooned",
        "struct-pages",
        "p2m",
        "page-tables",
        "hash-tables",
        "kernel",
        "used",
        "kept-back",
    ]


@pytest.mark.parametrize(("guest", "kib"), [(a_pvh_guest(), -388), (an_hvm_guest(), -396)])
def test_what_only_the_host_counts_is_a_step_of_its_own(guest: Snapshot, kib: int) -> None:
    assert steps(of(guest))["not-for-linux"] == kib


def test_a_map_that_was_cut_leaves_a_step_before_it() -> None:
    fall = of(a_pv_guest(host={"static_max_kib": 4 * GIB}))
    assert steps(fall)["not-in-the-map"] == -3 * GIB


def test_unpopulated_and_offline_memory_have_their_own_steps() -> None:
    added = guest_map(GIB, (1 << 32, (1 << 32) + BLOCK - 1))
    guest = an_unpopulated_guest(
        firmware_map=added, blocks=MemoryBlocks(BLOCK, tuple(range(8)), (32,), "offline")
    )
    fall = of(guest)
    check_sums(fall)
    assert steps(fall)["unpopulated-alloc"] == -512 * MIB
    assert steps(fall)["offline-blocks"] == -128 * MIB
    assert steps(fall)["map-beyond-maxmem"] == 128 * MIB


def test_a_dom0_without_a_limit_starts_at_its_map() -> None:
    assert of(a_dom0()).levels[0].name == "map"
    unlimited = a_dom0(host=HostMemoryKeys(target_kib=GIB, static_max_kib=1 << 34))
    assert of(unlimited).levels[0].name == "map"


def test_what_could_not_be_read_is_left_out_and_the_rest_still_adds_up() -> None:
    no_map = of(a_pv_guest(firmware_map=None, iomem=None))
    check_sums(no_map)
    assert [level.name for level in no_map.levels] == ["maxmem", "current", "total", "available"]
    assert of(a_pv_guest(memory=None)).levels[-1].name == "current"
    no_driver = of(a_pv_guest(balloon=None, host=HostMemoryKeys()))
    assert [level.name for level in no_driver.levels] == ["total", "available"]
    check_sums(no_driver)


sizes = st.integers(0, 1 << 34)


@given(
    st.sampled_from([a_pv_guest(), a_pvh_guest(), an_hvm_guest(), a_dom0()]),
    st.tuples(sizes, sizes, sizes),
    st.tuples(sizes, sizes, sizes, sizes),
    st.none() | sizes,
    st.booleans(),
)
def test_whatever_is_read_the_sums_are_exact(
    guest: Snapshot,
    driver: tuple[int, int, int],
    meminfo: tuple[int, int, int, int],
    static_max_kib: int | None,
    moving: bool,
) -> None:
    current_kib, target_kib, low_kib = driver
    check_sums(
        of(
            guest._replace(
                balloon=BalloonReading(
                    current_kib, target_kib, None, low_kib, 0, motion="moved" if moving else "still"
                ),
                memory=MemoryReading(*meminfo),
                host=HostMemoryKeys(target_kib, None, static_max_kib),
            )
        )
    )


def test_what_lies_between_the_limit_and_the_guest_is_a_conclusion_where_there_is_no_map() -> None:
    levels = of(a_pv_guest(firmware_map=None, iomem=None)).levels
    missing = [step for level in levels for step in level.steps if step.name == "not-populated"]
    assert [(step.kib, step.inferred) for step in missing] == [(-524288, True)]
