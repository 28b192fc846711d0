# SPDX-License-Identifier: GPL-2.0-or-later
"""Every captured guest is explained to the last page, and no settled one is complained about.

Each test looks at all captures and names those that are wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.core.account.situation import Situation
from agent.core.findings.finding import RANK
from tests import captures
from tests.captures.table import HEAD, TABLE, rows_of
from tests.support.captured import assessed, load
from tests.support.golden import check_reviewed

NAMES = captures.names()
MIB = 1024

# Read while the balloon moved, between current_kb and low_kb.
MOVED_BETWEEN_TWO_FILES = {
    "pv-512-1024-moving/moving-384-to-1024",
    "pvh-512-1024-moving/moving-1024-to-384",
}
# The same, where the files happened to agree.
IN_MOTION = MOVED_BETWEEN_TWO_FILES | {
    "hvm-512-1024/memset-384-still-moving",
    "pv-512-1024-moving/moving-1024-to-384",
    "pvh-512-1024-moving/moving-384-to-1024",
}
# dom0 looked when the guest had been given its memory back.
LISTED_LATER = {"pv-512-1024-units/target-in-mib"}

PVH_DOM0 = {name for name in NAMES if name.startswith("dom0-pvh")}


def situation_of(name: str) -> Situation:
    return assessed(name).situation


def every(look: Callable[[str], Any]) -> dict[str, Any]:
    """What `look` sees in each capture."""
    return {name: look(name) for name in NAMES}


def all_that_fail(holds: Callable[[str], bool]) -> set[str]:
    return {name for name in NAMES if not holds(name)}


def is_pv(name: str) -> bool:
    return situation_of(name).snapshot.domain.domain_type in ("pv", "dom0-pv")


def current_kib(name: str) -> int:
    balloon = situation_of(name).snapshot.balloon
    assert balloon
    assert balloon.current_kib
    return balloon.current_kib


def started_kib(name: str) -> int:
    """`memory=` of the domain; dom0_mem=1G for dom0."""
    return int(load(name).meta.get("memory_mib", 1024)) * MIB


def held_kib(name: str) -> int:
    """What the balloon and unpopulated-alloc hold."""
    terms = {term.name: -term.kib for term in situation_of(name).reconciliation.terms}
    return terms["ballooned"] + terms.get("unpopulated-alloc", 0)


def test_there_are_captures() -> None:
    assert len(NAMES) >= 90


def test_nothing_of_the_map_is_left_unexplained() -> None:
    left = every(lambda name: situation_of(name).reconciliation.unexplained_kib)
    assert left == dict.fromkeys(NAMES, 0)


def test_every_term_is_proved_unless_the_balloon_moved_while_it_was_read() -> None:
    proof = every(lambda name: situation_of(name).reconciliation.proof)
    assert {name for name in NAMES if proof[name] == "inferred"} == MOVED_BETWEEN_TWO_FILES
    assert {name for name in NAMES if proof[name] is None} == set()


def test_what_is_populated_agrees_with_what_dom0_saw() -> None:
    """`xl list` also counts pages of an HVM or PVH guest that are no RAM, and rounds down."""

    def agrees(name: str) -> bool:
        off_mib = current_kib(name) / MIB - load(name).meta["xl_list_mib"]
        return name in IN_MOTION | LISTED_LATER or abs(off_mib) <= (1 if is_pv(name) else 2)

    assert all_that_fail(agrees) == set()


def test_the_type_of_the_domain_is_the_one_it_was_started_as() -> None:
    found = every(lambda name: situation_of(name).snapshot.domain.domain_type)
    assert found == every(lambda name: load(name).meta["domain_type"])


def test_nr_pages_of_a_pv_guest_is_exactly_what_it_was_started_with() -> None:
    found = every(lambda name: situation_of(name).boot.nr_pages)
    still = {name for name in NAMES if is_pv(name) and name not in IN_MOTION}
    exact = {name for name in NAMES if found[name] and found[name].exact}
    assert exact - PVH_DOM0 == still
    assert exact >= PVH_DOM0  # Near it, as PVH guests are: see the next test.
    assert {n: found[n].pages for n in still} == {n: started_kib(n) // 4 for n in still}


def test_nr_pages_of_hvm_and_pvh_guests_is_near_it_or_unknown() -> None:
    """They are started with some pages that are no RAM."""

    def near(name: str) -> bool:
        nr_pages = situation_of(name).boot.nr_pages
        return nr_pages is None or 0 <= started_kib(name) - nr_pages.pages * 4 <= 2 * MIB

    assert all_that_fail(near) == set()


def test_beyond_nr_pages_is_what_was_held_when_the_boot_was_over_or_unknown() -> None:
    """The boot's own capture shows what was held."""

    def right(name: str) -> bool:
        beyond_kib, boot = situation_of(name).boot.beyond_kib, f"{name.partition('/')[0]}/boot"
        return beyond_kib is None or boot not in NAMES or beyond_kib == held_kib(boot)

    assert all_that_fail(right) == set()


def test_the_kernel_aims_at_the_hosts_target_less_the_offset() -> None:
    """Except where either was written by hand, and in dom0, which has no such key."""

    def aims(name: str) -> bool:
        situation = situation_of(name)
        wanted_kib, balloon = situation.host_target_on_kernel_scale_kib, situation.snapshot.balloon
        return balloon is not None and balloon.target_kib == wanted_kib

    wrong = all_that_fail(aims)
    assert {name for name in wrong if not name.startswith("dom0")} == {
        "pv-512-1024/guest-target_kb-655360",
        "pv-512-1024-units/target-garbled",
    }
    assert {situation_of(name).snapshot.host.target_kib for name in wrong} >= {None}


def test_a_settled_guest_has_nothing_to_worry_about_but_a_garbled_target() -> None:
    settled = {name for name in NAMES if situation_of(name).state == "settled"}
    assert len(settled) >= 80
    worries = {
        name: [f.code for f in assessed(name).findings if RANK[f.severity] > RANK["info"]]
        for name in settled
    }
    assert {name: codes for name, codes in worries.items() if codes} == {
        "pv-512-1024-units/target-garbled": ["host-target-garbage"]
    }


# Noted at the time, from other boots of the same guests: KiB of E820 RAM, current_kb,
# low_kb + high_kb, and of offline memory blocks.
NOTED = {
    "pv-512-1024-k510/boot": (1048192, 524288, 0, 0),
    "pv-512-1024-k510/memset-768": (1310336, 524288, 0, 262144),
    "pv-512-1024-k510/memset-1024": (1572480, 524288, 0, 524288),
    "pv-512-1024-k510/memset-384": (1572480, 393216, 131072, 524288),
    "pv-512-1024-k510/memset-512": (1572480, 524288, 0, 524288),
    "pv-512-1024-k510-onlined/online-768": (1310336, 786432, 0, 0),
    "pv-512-1024-k612/boot": (1048192, 524288, 0, 0),
    "pv-512-1024-k612/memset-768": (1310336, 786432, 0, 0),
    "pv-512-1024-k612/memset-1024": (1572480, 1048576, 0, 0),
    "pv-512-1024-k612/memset-384": (1572480, 393216, 655360, 0),
    "pv-512-1024-k612/memset-512": (1572480, 524288, 524288, 0),
    "pv-512-1024-k72/boot": (1048192, 524288, 0, 0),
    "pv-512-1024-k72/memset-768": (1310336, 786432, 0, 0),
    "pv-512-1024-k72/memset-1024": (1572480, 1048576, 0, 0),
    "pv-512-1024-k72/memset-384": (1572480, 393216, 655360, 0),
    "pv-512-1024-k72/memset-512": (1572480, 524288, 524288, 0),
    "pvh-512-1024-k612/boot": (1048192, 523900, 524288, 0),
    "pvh-512-1024-k612/memset-768": (1048192, 786044, 262144, 0),
    "pvh-512-1024-k612/memset-384": (1048192, 392828, 655360, 0),
    "pvh-512-1024-k72/boot": (1048192, 523900, 524288, 0),
    "pvh-512-1024-k72/memset-768": (1048192, 786044, 262144, 0),
}


def test_the_terms_of_other_kernels_are_those_that_were_noted() -> None:
    def terms(name: str) -> tuple[int, ...]:
        kib = {term.name: abs(term.kib) for term in situation_of(name).reconciliation.terms}
        names = ("e820-ram", "current", "ballooned", "offline-blocks")
        return tuple(kib.get(term, 0) for term in names)

    assert {name: terms(name) for name in NOTED} == NOTED


def test_unpopulated_alloc_holds_half_of_a_pv_guest_where_it_was_noted() -> None:
    held = every(lambda name: situation_of(name).reconciliation.term("unpopulated-alloc"))
    assert {name: term.kib for name, term in held.items() if term and "-512-1024" in name} == {
        name: -524288 for name in NAMES if name.startswith("pv-512-1024") and "-k" in name
    }


def test_the_table_of_all_captures_is_as_reviewed() -> None:
    found = HEAD + "".join(rows_of(name, assessed(name)) for name in NAMES)
    check_reviewed(TABLE, found)
