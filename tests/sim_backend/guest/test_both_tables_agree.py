# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent's table of kernels and the simulator's were written apart; they must tell one story.

The agent reconciles the memory of every simulated guest, whatever its kind, kernel and history:
nothing may be left unexplained.
"""

from __future__ import annotations

import pytest

from agent.core.facts.kernel_regimes import REGIMES as AGENTS_REGIMES
from agent.core.facts.kernel_regimes import regime_of as agents_regime_of
from agent.core.facts.kernel_release import KernelRelease
from agent.core.facts.snapshot import DomainType
from agent.core.facts.units import PAGE_KIB
from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.guest.kernel_images import KernelImage, image_of
from sim_backend.guest.regimes import REGIMES, Regime, regime_of
from sim_backend.host.libxl import simple_guest
from tests.sim_backend.guests import MEASURED
from tests.support.judged import assess

RELEASES = sorted(
    {regime.first for regime in REGIMES}
    | {regime.since for regime in AGENTS_REGIMES}
    | {KernelRelease(3, 0, 101), KernelRelease(3, 1, 10), KernelRelease(3, 16), KernelRelease(4, 9)}
    | {KernelRelease(4, 19, 304), KernelRelease(5, 4, 280), KernelRelease(6, 18, 5)}
)
COUNTS = {"max-pfn": "max-pfn", "present": "physical-pages"}
HOLDERS = {
    "balloon": ("balloon", "either"),
    "unpopulated": ("unpopulated-alloc", "either"),
}
GAVE_UP_EARLIER = (KernelRelease(5, 10), KernelRelease(5, 15))  # with stable fixes, 5.10.70

KINDS: tuple[DomainType, ...] = ("pv", "pvh", "hvm", "dom0-pv", "dom0-pvh")
BY_REGIME = {regime.name: image_of(str(regime.first)) for regime in REGIMES}
ALL_IMAGES: dict[str, KernelImage] = {**MEASURED, **BY_REGIME}


@pytest.mark.parametrize("release", RELEASES, ids=str)
def test_they_say_the_same_of_a_release(release: KernelRelease) -> None:
    """Beyond what distributions moved about: who holds the extra memory, and giving up."""
    simulated, agents = regime_of(release), agents_regime_of(release)
    assert agents.clamp == simulated.map_limit
    assert agents.initial_count == COUNTS[simulated.hvm_current]
    assert agents.current_counts_released == (simulated.pv_current == "nr-pages")
    assert agents.target_diff == simulated.corrects_offset
    assert agents.extra_memory in HOLDERS[simulated.pv_extra]
    if not GAVE_UP_EARLIER[0] <= release < GAVE_UP_EARLIER[1]:
        assert agents.gives_up == (simulated.max_retry_count > 0)


def unexplained_kib(domain: SimulatedDomain) -> int | None:
    return assess(domain.snapshot()).situation.reconciliation.unexplained_kib


PVH_SINCE = KernelRelease(4, 11)  # PVHv2; the one before was an experiment
CASES = [
    (image, kind)
    for image, build in ALL_IMAGES.items()
    for kind in KINDS
    if "pvh" not in kind or build.release >= PVH_SINCE
]


@pytest.mark.parametrize(("image", "kind"), CASES)
def test_nothing_is_left_unexplained(kind: DomainType, image: str) -> None:
    _, domain = simple_guest(GuestConfig(kind, image=ALL_IMAGES[image]))
    assert unexplained_kib(domain) == 0
    for target_mib in (768, 384, 1024, 300):
        domain.driver.set_target_pages(target_mib * MIB // PAGE_KIB)
        domain.settle()
        assert unexplained_kib(domain) == 0
        for block in domain.blocks.reading().offline:
            domain.online_block(block)
        domain.settle()
        assert unexplained_kib(domain) == 0


@pytest.mark.parametrize("regime", REGIMES, ids=lambda regime: regime.name)
def test_a_regime_is_found_by_its_first_release(regime: Regime) -> None:
    assert regime_of(regime.first) is regime
    assert regime.source
