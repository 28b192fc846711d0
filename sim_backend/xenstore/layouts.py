# SPDX-License-Identifier: GPL-2.0-or-later
"""What a toolstack writes into the store before a guest runs, with its permissions.

libxl: libxl_create.c (libxl__domain_make) and libxl_dom.c (libxl__build_post), Xen 4.17.  XAPI:
xenopsd's xc/domain.ml.  Qubes: libxl's tree, and two keys of its own that the guest may write.
What differs for an agent: libxl lets it write `data` and `attr` but no new key of `control`, XAPI
lets it write `control`, Qubes lets it report `memory/meminfo`; none lets it touch
`memory/target`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from sim_backend.xenstore.names import domain_path
from sim_backend.xenstore.session import Session
from sim_backend.xenstore.store import Store


class GuestConfig(NamedTuple):
    """A guest as its toolstack describes it; sizes in KiB.

    `target_kib` is what `memory/target` begins with: without video RAM, and for an HVM guest of
    libxl also without its 1 MiB slack.  `dynamic_min_kib` and `dynamic_max_kib` are XAPI's,
    `hotplug_max_kib` is Qubes'.
    """

    domid: int
    target_kib: int
    static_max_kib: int
    videoram_kib: int = 0
    name: str = "guest"
    uuid: str = ""
    is_hvm: bool = False
    vcpus: int = 1
    dynamic_min_kib: int | None = None
    dynamic_max_kib: int | None = None
    hotplug_max_kib: int | None = None

    @property
    def vm_path(self) -> str:
        """The directory that outlives the domain id."""
        return f"/vm/{self.uuid or f'00000000-0000-0000-0000-{self.domid:012d}'}"


_LIBXL_READS: Final = ("cpu", "memory", "device", "control")
_LIBXL_OWNS: Final = (
    "device/suspend/event-channel",
    "control/shutdown",
    "control/feature-poweroff",
    "control/feature-reboot",
    "control/feature-suspend",
    "control/sysrq",
    "data",
    "drivers",
    "feature",
    "attr",
    "error",
)
_LIBXL_HVM_OWNS: Final = ("control/feature-s3", "control/feature-s4")
_XAPI_READS: Final = ("cpu", "memory")
_XAPI_OWNS: Final = (
    "attr",
    "control",
    "data",
    "device",
    "drivers",
    "error",
    "feature",
    "messages",
    "vm-data",
)
_QUBES_OWNS: Final = ("memory/meminfo", "memory/swapinfo")


def seed_libxl_domain(store: Store, guest: GuestConfig) -> None:
    """A guest as `xl create` makes it; introduces the domain."""
    owned = _LIBXL_OWNS + (_LIBXL_HVM_OWNS if guest.is_hvm else ())
    readable = _LIBXL_READS + (("hvmloader",) if guest.is_hvm else ())
    _seed(store, guest, readable, owned, _common_values(guest) | _libxl_values())
    with_dom0 = Session(store)
    with_dom0.write(f"{guest.vm_path}/memory", b"%d" % (guest.target_kib // 1024))
    with_dom0.close()


def seed_qubes_domain(store: Store, guest: GuestConfig) -> None:
    """A guest of Qubes: libxl's tree, and `memory/meminfo` for its meminfo-writer."""
    seed_libxl_domain(store, guest)
    values = {}
    if guest.hotplug_max_kib is not None:
        values["memory/hotplug-max"] = str(guest.hotplug_max_kib)
    with_dom0 = Session(store)
    _fill(with_dom0, guest, (), _QUBES_OWNS, values)
    with_dom0.close()


def seed_xapi_domain(store: Store, guest: GuestConfig) -> None:
    """A guest as xenopsd makes it: the guest owns `control` and may announce features there."""
    values = _common_values(guest) | {"memory/initial-target": str(guest.target_kib)}
    if guest.dynamic_min_kib is not None:
        values["memory/dynamic-min"] = str(guest.dynamic_min_kib)
    if guest.dynamic_max_kib is not None:
        values["memory/dynamic-max"] = str(guest.dynamic_max_kib)
    _seed(store, guest, _XAPI_READS, _XAPI_OWNS, values)


def fill_dom0(store: Store, target_kib: int, static_max_kib: int) -> None:
    """What libxl writes for dom0 the first time it is asked about its memory."""
    with_dom0 = Session(store)
    with_dom0.write("memory/target", b"%d" % target_kib)
    with_dom0.write("memory/static-max", b"%d" % static_max_kib)
    with_dom0.close()


def _common_values(guest: GuestConfig) -> dict[str, str]:
    values = {
        "vm": guest.vm_path,
        "name": guest.name,
        "domid": str(guest.domid),
        "memory/static-max": str(guest.static_max_kib),
        "memory/target": str(guest.target_kib),
        "memory/videoram": str(guest.videoram_kib),
        "store/port": "1",
        "store/ring-ref": "1",
    }
    return values | {f"cpu/{cpu}/availability": "online" for cpu in range(guest.vcpus)}


def _libxl_values() -> dict[str, str]:
    return {
        "control/platform-feature-multiprocessor-suspend": "1",
        "control/platform-feature-xs_reset_watches": "1",
    }


def _seed(
    store: Store,
    guest: GuestConfig,
    readable: tuple[str, ...],
    owned: tuple[str, ...],
    values: Mapping[str, str],
) -> None:
    store.create_domain(guest.domid)
    with_dom0 = Session(store)
    for root in (domain_path(guest.domid), guest.vm_path):
        _make(with_dom0, root, "n0", f"r{guest.domid}")
    _make(with_dom0, f"/libxl/{guest.domid}", "n0")
    _fill(with_dom0, guest, readable, owned, values)
    with_dom0.write(f"{guest.vm_path}/uuid", guest.vm_path.removeprefix("/vm/").encode())
    with_dom0.write(f"{guest.vm_path}/name", guest.name.encode())
    with_dom0.close()
    store.introduce(guest.domid)


def _fill(
    with_dom0: Session,
    guest: GuestConfig,
    readable: tuple[str, ...],
    owned: tuple[str, ...],
    values: Mapping[str, str],
) -> None:
    base = domain_path(guest.domid)
    for key in readable:
        _make(with_dom0, f"{base}/{key}", "n0", f"r{guest.domid}")
    for key in owned:
        _make(with_dom0, f"{base}/{key}", f"n{guest.domid}")
    for key, value in values.items():
        with_dom0.write(f"{base}/{key}", value.encode())


def _make(with_dom0: Session, path: str, *entries: str) -> None:
    with_dom0.write(path, b"")
    with_dom0.set_perms(path, entries)
