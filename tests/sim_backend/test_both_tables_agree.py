# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent's table of kernels and the simulator's were written apart; they must tell one story.

The agent reconciles the memory of every simulated guest, whatever its kind, kernel and history:
nothing may be left unexplained.
"""

import pytest

from agent.core.assessment import assess
from agent.core.snapshot import DomainType
from agent.core.units import PAGE_KIB
from sim_backend.domain import SimulatedDomain
from sim_backend.guest_config import MIB, GuestConfig
from sim_backend.kernel_images import IMAGES, KernelImage, image_of
from sim_backend.regimes import REGIMES, regime_named, regime_of
from sim_backend.toolstacks import simple_guest

KINDS: tuple[DomainType, ...] = ("pv", "pvh", "hvm", "dom0-pv", "dom0-pvh")
BY_REGIME = {regime.name: image_of(str(regime.first)) for regime in REGIMES}
ALL_IMAGES: dict[str, KernelImage] = {**IMAGES, **BY_REGIME}


def unexplained_kib(domain: SimulatedDomain) -> int | None:
    return assess(domain.snapshot()).situation.reconciliation.unexplained_kib


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("image", ALL_IMAGES)
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
def test_a_regime_is_found_by_its_first_release_and_by_its_name(regime: object) -> None:
    found = regime_named(regime.name)  # type: ignore[attr-defined]
    assert found is regime
    assert regime_of(found.first) is regime
    assert found.source


def test_an_unknown_regime_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        regime_named("1.0")
