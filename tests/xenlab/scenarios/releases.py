# SPDX-License-Identifier: GPL-2.0-or-later
"""The main line on the other releases of Xen, each with its own toolstack, xenstored and dom0.

On 4.14 `xl mem-max` moves Xen's limit and leaves memory/static-max alone, so that the `mem-set`
which should follow is refused; since 4.17 at the latest it moves both.
"""

from __future__ import annotations

from typing import Final

from tests.xenlab.hosts import RELEASES
from tests.xenlab.model import Case, GuestSpec, Scenario
from tests.xenlab.scenarios import steps
from tests.xenlab.scenarios.contract import MODULES, holds
from tests.xenlab.scenarios.daemon import grown_beyond_the_map, killed, started, with_daemon
from tests.xenlab.scenarios.guest_types import DOM0_MIB, PVH_OFFSET_KIB
from tests.xenlab.scenarios.planned import as_planned

RELEASED: Final = ("4.14", "4.20")
"""What every change is tried on, too; Debian sid is another tomorrow."""


def _up_and_down(offset_kib: int = 0) -> tuple[Case, ...]:
    return (
        steps.mem_set(768, offset_kib=offset_kib),
        steps.mem_set(1024, offset_kib=offset_kib),
        steps.refused(2048),
        steps.mem_set(384, offset_kib=offset_kib),
    )


def _guests(host: str) -> tuple[Scenario, ...]:
    maximum = steps.mem_max_without_effect if host == "4.14" else steps.mem_max
    tag = host.replace(".", "")
    return (
        Scenario(
            f"pv-xen{tag}",
            f"a PV guest on Xen {host}",
            GuestSpec("pv"),
            (
                steps.booted(current_kib=524288, target_kib=524288, ram_kib=1048192),
                as_planned(),
                steps.healthy(),
                *_up_and_down(),
                maximum(1536),
            ),
            host=host,
        ),
        Scenario(
            f"pvh-xen{tag}",
            f"a PVH guest on Xen {host}",
            GuestSpec("pvh"),
            (
                steps.booted(current_kib=523900, target_kib=523900, ram_kib=1048192),
                as_planned(),
                steps.healthy(),
                *_up_and_down(PVH_OFFSET_KIB),
            ),
            host=host,
        ),
        Scenario(
            f"pv-daemon-xen{tag}",
            f"the daemon in a PV guest on Xen {host}, as its unit, saved and restored",
            GuestSpec("pv", systemd=True),
            (
                started(),
                with_daemon(steps.mem_set(768)),
                with_daemon(steps.saved_and_restored()),
                with_daemon(steps.mem_set(384)),
                killed(),
            ),
            host=host,
            quick=host in RELEASED,
        ),
        Scenario(
            f"pv-bullseye-xen{tag}",
            f"Linux 5.10 in a PV guest on Xen {host}: grows with the daemon alone",
            GuestSpec("pv", kernel="bullseye", systemd=True),
            (
                steps.booted(current_kib=524288, ballooned_kib=0),
                steps.blocks_left_offline(768, current_kib=524288, offline_kib=262144),
                started(),
                grown_beyond_the_map(768),
                with_daemon(steps.mem_set(384)),
            ),
            host=host,
        ),
        Scenario(
            f"pv-contract-xen{tag}",
            f"the contract suite in a PV guest on Xen {host}",
            GuestSpec("pv", tests=True),
            tuple(holds(module, clause) for module, clause in MODULES.items()),
            host=host,
        ),
    )


def _dom0(host: str) -> Scenario:
    return Scenario(
        f"dom0-xen{host.replace('.', '')}",
        f"dom0 on Xen {host}",
        GuestSpec("dom0", DOM0_MIB, 1536),
        (
            steps.booted(current_kib=DOM0_MIB * 1024, target_kib=DOM0_MIB * 1024),
            steps.healthy(),
            steps.as_ordinary_user(),
            steps.mem_set(896),
            steps.mem_set(DOM0_MIB),
        ),
        host=host,
    )


_PVH_DOM0: Final = Scenario(
    "dom0-pvh",
    "dom0 as a PVH guest, and the daemon in it",
    GuestSpec("dom0", DOM0_MIB, 1536, systemd=True),
    (
        steps.booted(),
        steps.healthy(),
        steps.as_ordinary_user(),
        steps.follows(1280),
        steps.follows(896),
        started(),
        with_daemon(steps.follows(DOM0_MIB)),
    ),
    host="4.20-pvh",
)
OTHERS: Final = tuple(name for name in RELEASES if name != "4.17")
SCENARIOS: Final = (
    *(scenario for host in OTHERS for scenario in (*_guests(host), _dom0(host))),
    _PVH_DOM0,
)
