# SPDX-License-Identifier: GPL-2.0-or-later
"""The part of a guest's xenstore that libxl 4.17 writes before the guest runs.

Keys and permissions follow libxl__domain_make (tools/libs/light/libxl_create.c) and
libxl__build_post (libxl_dom.c): the guest may read its directory, and write below data/, attr/,
drivers/, feature/, error/ and a few keys of control/, but nothing below memory/.
"""

from __future__ import annotations

import errno
from typing import Final, NamedTuple

from tests.support.xenstored.raw_client import RawClient, RawError

_GUEST_READS: Final = ("cpu", "memory", "device", "control")
_GUEST_OWNS: Final = (
    "control/shutdown",
    "control/feature-poweroff",
    "control/feature-reboot",
    "control/feature-suspend",
    "control/sysrq",
    "device/suspend/event-channel",
    "data",
    "drivers",
    "feature",
    "attr",
    "error",
)


class GuestConfig(NamedTuple):
    """What the toolstack was asked for."""

    domid: int
    target_kib: int = 524288
    static_max_kib: int = 1048576
    videoram_kib: int = 0
    name: str = "guest"


def write_guest(dom0: RawClient, config: GuestConfig) -> str:
    """Write the tree in one transaction, and return the guest's directory."""
    while True:
        tx_id = dom0.begin()
        directory = _write(dom0, config, tx_id)
        try:
            dom0.commit(tx_id)
        except RawError as error:
            if error.errno != errno.EAGAIN:
                raise
        else:
            return directory


def _write(dom0: RawClient, config: GuestConfig, tx_id: int) -> str:
    domid = config.domid
    directory = f"/local/domain/{domid}"
    vm = f"/vm/00000000-0000-0000-0000-{domid:012d}"

    def make(path: str, *permissions: str) -> None:
        dom0.write(path, b"", tx_id)
        dom0.set_permissions(path, *permissions, tx_id=tx_id)

    for root in (directory, vm):
        make(root, "n0", f"r{domid}")
    for key in _GUEST_READS:
        make(f"{directory}/{key}", "n0", f"r{domid}")
    for key in _GUEST_OWNS:
        make(f"{directory}/{key}", f"n{domid}")
    make(f"/libxl/{domid}", "n0")
    values: dict[str, str | int] = {
        f"{directory}/vm": vm,
        f"{directory}/name": config.name,
        f"{directory}/domid": domid,
        f"{directory}/memory/static-max": config.static_max_kib,
        f"{directory}/memory/target": config.target_kib,
        f"{directory}/memory/videoram": config.videoram_kib,
        f"{directory}/control/platform-feature-multiprocessor-suspend": 1,
        f"{directory}/control/platform-feature-xs_reset_watches": 1,
        f"{directory}/store/port": 1,
        f"{directory}/store/ring-ref": 1,
        f"{directory}/cpu/0/availability": "online",
        f"{vm}/name": config.name,
        f"{vm}/uuid": vm.removeprefix("/vm/"),
    }
    for path, value in values.items():
        dom0.write(path, value, tx_id)
    return directory
