# SPDX-License-Identifier: GPL-2.0-or-later
"""How Linux releases differ in what the balloon's numbers mean, as one table.

The releases are what mainline did.  Distributions and stable series carry fixes back and forth,
so a regime is an expectation: where a symptom can tell (`extra_memory` "either"), the symptom
decides (see `agent.core.account.reconcile`).

Relies on docs/design.md A5 and A6.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from agent.core.facts.kernel_release import KernelRelease

ExtraMemory = Literal["balloon", "unpopulated-alloc", "either"]
InitialCount = Literal["physical-pages", "max-pfn"]
Clamp = Literal["map-10x", "max-reservation", "extra-10x"]


class Regime(NamedTuple):
    """What holds from release `since` until the next entry of the table.

    Attributes:
        since: first mainline release.
        extra_memory: who holds the E820 RAM beyond nr_pages of a PV domain.
        initial_count: what an HVM guest's driver takes for its pages when it starts.
        current_counts_released: pages given back at boot are still in current_kb.
        target_diff: HVM and PVH aim at memory/target minus a constant of the boot.
        gives_up: a target refused max_retry_count times is dropped (BP_ECANCELED).
        clamp: what limits the map when maxmem is many times memory.
        source: where this was read or seen.
    """

    since: KernelRelease
    extra_memory: ExtraMemory
    initial_count: InitialCount
    current_counts_released: bool
    target_diff: bool
    gives_up: bool
    clamp: Clamp
    source: str


REGIMES: Final[tuple[Regime, ...]] = (
    Regime(
        KernelRelease(2, 6, 26), "balloon", "max-pfn", True, False, False, "map-10x",
        "2.6.32-xen arch/x86/xen/setup.c:243, drivers/xen/balloon.c:464",
    ),
    Regime(
        KernelRelease(3, 1), "balloon", "max-pfn", True, False, False, "max-reservation",
        "3.1.3 arch/x86/xen/setup.c, xen_get_max_pages(); 3.0.8 has it too, 2.6.39 and 3.0.1 not",
    ),
    Regime(
        KernelRelease(3, 2), "balloon", "max-pfn", False, False, False, "extra-10x",
        "3.2 arch/x86/xen/setup.c:170 and drivers/xen/balloon.c:593: nr_pages - released",
    ),
    Regime(
        KernelRelease(3, 13), "balloon", "physical-pages", False, False, False, "extra-10x",
        "3.13 drivers/xen/balloon.c:647, get_num_physpages(); 3.11 counts max_pfn",
    ),
    Regime(
        KernelRelease(4, 13), "balloon", "physical-pages", False, True, False, "extra-10x",
        "5266b8e4445c xen: fix booting ballooned down hvm guest",
    ),
    Regime(
        KernelRelease(5, 9), "unpopulated-alloc", "physical-pages", False, True, False, "extra-10x",
        "drivers/xen/unpopulated-alloc.c, init; seen on 5.10.223",
    ),
    Regime(
        KernelRelease(5, 10), "unpopulated-alloc", "physical-pages", False, True, True, "extra-10x",
        "fix cancelled balloon action, also in 5.10.70; seen on 5.10.223",
    ),
    Regime(
        KernelRelease(5, 15), "either", "physical-pages", False, True, True, "extra-10x",
        "don't use PV mode extra memory for zone device allocations, in stable 5.15 and 5.17",
    ),
    Regime(
        KernelRelease(5, 18), "balloon", "physical-pages", False, True, True, "extra-10x",
        "262fc47ac174; seen on 6.1.192",
    ),
    Regime(
        KernelRelease(6, 2), "either", "physical-pages", False, True, True, "extra-10x",
        "add extra pages to unpopulated-alloc if available: mainline 6.9, which stable is unknown",
    ),
    Regime(
        KernelRelease(6, 9), "unpopulated-alloc", "physical-pages", False, True, True, "extra-10x",
        "arch_xen_unpopulated_init; seen on 6.12.107 and 7.2.13",
    ),
)  # fmt: skip

# What is assumed of a kernel that does not tell its release: the newest rules, any holder.
UNKNOWN: Final = REGIMES[-1]._replace(extra_memory="either", source="release unknown")


def regime_of(kernel: KernelRelease | None) -> Regime:
    """The regime a release belongs to; the oldest one for anything before it."""
    if kernel is None:
        return UNKNOWN
    known = [regime for regime in REGIMES if regime.since <= kernel]
    return known[-1] if known else REGIMES[0]
