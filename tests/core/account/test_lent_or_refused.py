# SPDX-License-Identifier: GPL-2.0-or-later
"""A dom0 below its target: whether its backends have the pages or the hypervisor refused them.

Any history of grants, refusals and targets is played on the simulated driver, and what the agent
says of the end is held against what the driver knows and no file shows.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.account.situation import understand
from agent.core.facts.units import PAGE_KIB
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.guest.kernel_images import DEBIAN_12
from sim_backend.host.libxl import simple_guest

MIB = 1024
GIVES_UP_WITHIN_S = 60.0
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("lend"), st.integers(1, 20_000)),
        st.tuples(st.just("target"), st.integers(600, 1536)),
        st.tuples(st.just("another domain takes"), st.integers(0, 300)),
        st.tuples(st.just("wait"), st.integers(0, 40)),
    ),
    min_size=1,
    max_size=8,
)


def a_dom0(maxmem_mib: int = 1536, *, hotplug: bool = False) -> SimulatedDomain:
    """On a host that has 200 MiB to spare."""
    _, domain = simple_guest(
        domain_type="dom0-pv",
        memory_kib=1024 * MIB,
        maxmem_kib=maxmem_mib * MIB,
        image=DEBIAN_12._replace(hotplug=hotplug),
    )
    domain.reservation.max_pages = 1 << 30
    domain.host.take_for_another(domain.host.free_kib - 200 * MIB)
    return domain


def play(domain: SimulatedDomain, steps: list[tuple[str, int]]) -> None:
    for what, amount in steps:
        if what == "lend":
            domain.driver.take_for_grants(amount)
        elif what == "target":
            domain.driver.set_target_pages(amount * 256)
        elif what == "another domain takes":
            domain.host.take_for_another(amount * MIB)
        else:
            pass_time(domain, float(amount))
    pass_time(domain, GIVES_UP_WITHIN_S)


def pass_time(domain: SimulatedDomain, seconds: float) -> None:
    domain.clock.run_until(domain.clock.now_s + seconds)


def missing_pages(domain: SimulatedDomain) -> int:
    return (domain.target_kib - domain.current_kib) // PAGE_KIB


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_what_is_called_lent_is_lent_and_what_is_called_refused_comes_with_memory(
    steps: list[tuple[str, int]],
) -> None:
    domain = a_dom0()
    play(domain, steps)
    state, driver = understand(domain.snapshot()).state, domain.driver

    if missing_pages(domain) <= 0:
        return
    if state == "settled":
        assert missing_pages(domain) <= driver.target_unpopulated_pages
        return
    assert state == "cancelled"
    before_kib = domain.current_kib
    domain.host.return_from_another(1 << 40)
    driver.set_target_pages(driver.target_pages - 1)
    pass_time(domain, 1.0)
    driver.set_target_pages(driver.target_pages + 1)
    pass_time(domain, GIVES_UP_WITHIN_S)
    assert domain.current_kib > before_kib


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([("target", 1536), ("lend", 5000)], "cancelled"),
        ([("lend", 5000)], "settled"),
        ([("another domain takes", 1024), ("target", 1200)], "cancelled"),
    ],
    ids=["both", "from the balloon", "refused"],
)
def test_a_refusal_shows_whatever_else_is_lent(steps: Any, expected: str) -> None:
    domain = a_dom0()
    play(domain, steps)
    assert understand(domain.snapshot()).state == expected


def test_memory_added_for_what_is_lent_has_to_come_online_first() -> None:
    """With memory hotplug the driver adds a section in the place of the pages that are lent."""
    domain = a_dom0(1024, hotplug=True)
    play(domain, [("lend", 5000)])
    assert understand(domain.snapshot()).state == "unreachable"
    domain.host.return_from_another(1 << 40)
    for block in domain.snapshot().blocks.offline:  # type: ignore[union-attr]
        domain.online_block(block)
    pass_time(domain, 5.0)
    assert understand(domain.snapshot()).state == "settled"
    assert missing_pages(domain) == 0
