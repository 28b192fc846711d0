# SPDX-License-Identifier: GPL-2.0-or-later
"""What each regime begins with, for each kind of guest, and which files it shows.

1 GiB of 2 GiB, in pages: current when the driver starts, what the balloon holds then, and the
constant that the first look at memory/target leaves.  N is nr_pages, M the maximum; a PV map has
96 pages less than M (the ISA window) and page 0, a PVH one 97, an HVM one 99, and its top is M - 1.
"""

from __future__ import annotations

import pytest

from agent.core.facts.snapshot import DomainType
from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.guest.files import BALLOON
from sim_backend.guest.kernel_images import image_of
from sim_backend.guest.regimes import REGIMES, Regime
from sim_backend.host.libxl import simple_guest

N, M = 262144, 524288
PVH, HVM = M - 97, M - 99
OLD_HVM = (M - 1, 0, 0)
DOM0_PVH = N - 98  # 97 pages up to 1 MiB, and page 0

Start = tuple[int, int, int]
STARTS: dict[str, dict[DomainType, Start]] = {
    "2.6.32-xen": {"pv": (N, N, 0), "hvm": OLD_HVM, "dom0-pv": (N, N, 0)},
    "2.6.39-3.0": {"pv": (N, N, 0), "hvm": OLD_HVM, "dom0-pv": (N, N, 0)},
    "3.1": {"pv": (N, 256, 0), "hvm": OLD_HVM, "dom0-pv": (N, N, 0)},
    "3.2-3.12": {"pv": (N, N, 0), "hvm": OLD_HVM, "dom0-pv": (N, N, 0)},
    "3.13-4.3": {"pv": (N, N, 0), "hvm": (HVM, 0, 0), "dom0-pv": (N, N, 0)},
    "4.4-4.12": {
        "pv": (N, N, 0), "hvm": (HVM, 0, 0), "pvh": (PVH, 0, 0),
        "dom0-pv": (N, N, 0), "dom0-pvh": (DOM0_PVH, 0, 0),
    },
    "4.13-5.8": {
        "pv": (N, N, 0), "hvm": (HVM, 0, 99), "pvh": (PVH, 0, 97),
        "dom0-pv": (N, N, 0), "dom0-pvh": (DOM0_PVH, 0, 0),
    },
    "5.9-5.14": {
        "pv": (N, 0, 0), "hvm": (HVM, 0, 99), "pvh": (PVH, 0, 97),
        "dom0-pv": (N, 0, 0), "dom0-pvh": (DOM0_PVH, 0, 0),
    },
    "5.18-6.8": {
        "pv": (N, N, 0), "hvm": (HVM, 0, 99), "pvh": (PVH, 0, 97),
        "dom0-pv": (N, N, 0), "dom0-pvh": (DOM0_PVH, 0, 0),
    },
    "6.9-6.14": {
        "pv": (N, 0, 0), "hvm": (HVM, 0, 99), "pvh": (PVH, 0, 97),
        "dom0-pv": (N, 0, 0), "dom0-pvh": (DOM0_PVH + N, 0, 0),
    },
    "6.15-6.18": {
        "pv": (N - 97, 0, 0), "hvm": (HVM, 0, 99), "pvh": (PVH, 0, 97),
        "dom0-pv": (N - 1, 0, 0), "dom0-pvh": (DOM0_PVH, 0, 0),
    },
    "6.19": {
        "pv": (N, 0, 0), "hvm": (HVM, 0, 99), "pvh": (PVH, 0, 97),
        "dom0-pv": (N, 0, 0), "dom0-pvh": (DOM0_PVH, 0, 0),
    },
}  # fmt: skip
STARTS["5.15-5.17"] = STARTS["5.9-5.14"]
STARTS["7.0"] = STARTS["6.19"]
FIRST_RELEASE = {regime.name: regime.first for regime in REGIMES}
CASES = [(name, kind) for name, starts in STARTS.items() for kind in starts]


def guest(name: str, kind: DomainType) -> SimulatedDomain:
    image = image_of(str(FIRST_RELEASE[name]))
    return simple_guest(GuestConfig(kind, 1024 * MIB, 2048 * MIB, image=image))[1]


def test_every_regime_is_in_the_table_with_every_kind_of_its_time() -> None:
    assert {regime.name for regime in REGIMES} == set(STARTS)
    kinds = {len(starts) for name, starts in STARTS.items() if name >= "4.4"}
    assert kinds == {5}


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_where_a_driver_starts(name: str, kind: DomainType) -> None:
    domain = guest(name, kind)
    start = domain.boot.driver
    held = start.low_pages + start.high_pages
    assert (start.current_pages, held, domain.driver.target_offset_pages) == STARTS[name][kind]


INFO = {"info/current_kb", "info/low_kb", "info/high_kb", "target", "target_kb"}
BACK_OFF = {"retry_count", "max_retry_count", "schedule_delay", "max_schedule_delay"}


@pytest.mark.parametrize("regime", REGIMES, ids=lambda regime: regime.name)
def test_which_files_a_regime_shows_and_what_they_begin_with(regime: Regime) -> None:
    shown = {
        path.removeprefix(f"{BALLOON}/"): text.strip()
        for path, text in guest(regime.name, "pv").files().items()
        if path.startswith(BALLOON)
    }
    expected = set(INFO)
    if regime.name == "2.6.32-xen":
        expected |= {"info/driver_kb"}
    else:
        expected |= BACK_OFF
        gives_up = regime.first >= (5, 15, 0)
        assert shown["max_retry_count"] == ("4" if gives_up else "0")
        assert shown["max_schedule_delay"] == "20"  # hexadecimal: 32 s
    if regime.first >= (4, 20, 0):
        expected |= {"scrub_pages"}
    assert set(shown) == expected
