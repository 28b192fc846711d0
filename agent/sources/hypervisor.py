# SPDX-License-Identifier: GPL-2.0-or-later
"""/sys/hypervisor and /proc/xen/capabilities: is this Xen, and what kind of domain is it.

    /sys/hypervisor/type                 xen
    /sys/hypervisor/guest_type           PV | PVH | HVM       (Linux 4.13 and later)
    /sys/hypervisor/uuid                 d4352faf-853e-4c60-b096-a16c102e04f0
    /sys/hypervisor/version/{major,minor,extra}   4 17 .7
    /sys/hypervisor/properties/features  000220f0             (XENFEAT bits, hexadecimal)
    /proc/xen/capabilities               control_d            (dom0; empty or absent in a guest)
    /sys/class/dmi/id/product_name       HVM domU             (a kernel of any kind)

drivers/xen/sys-hypervisor.c, xen/include/public/features.h, drivers/xen/xenfs/super.c.  uuid and
features can be read by root only on some kernels.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from agent.core.facts.numbers import parse_hex
from agent.core.facts.snapshot import DomainType
from agent.sources.outcome import ABSENT, OK, Outcome, Statuses, parsed
from agent.sources.system_root import SystemRoot

DIRECTORY: Final = "sys/hypervisor"
CAPABILITIES_FILE: Final = "proc/xen/capabilities"
# As hvmloader names the machine (tools/firmware/hvmloader/smbios.c); where a vendor puts its own
# name there, the BIOS still is Xen's.
_FIRMWARE_SAYS: Final = {"sys_vendor": "Xen", "product_name": "HVM domU", "bios_vendor": "Xen"}
NIL_UUID: Final = "00000000-0000-0000-0000-000000000000"

# xen/include/public/features.h
_XENFEAT_AUTO_TRANSLATED_PHYSMAP: Final = 1 << 2
_XENFEAT_HVM_PIRQS: Final = 1 << 10
_XENFEAT_DOM0: Final = 1 << 11

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


class Hypervisor(NamedTuple):
    """What the hypervisor's directory says; None where it says nothing."""

    is_xen: bool
    guest_type: str | None
    uuid: str | None
    version: str | None
    features: int | None
    is_dom0: bool


def domain_type(hypervisor: Hypervisor) -> DomainType | None:
    """PV, PVH or HVM, and whether it is dom0; None when the kernel is too old to say."""
    kind = (hypervisor.guest_type or "").lower()
    if not kind and hypervisor.features is not None:
        if not hypervisor.features & _XENFEAT_AUTO_TRANSLATED_PHYSMAP:
            kind = "pv"
        else:
            kind = "hvm" if hypervisor.features & _XENFEAT_HVM_PIRQS else "pvh"
    if hypervisor.is_dom0:
        return "dom0-pvh" if kind in ("pvh", "hvm") else "dom0-pv"
    kinds: dict[str, DomainType] = {"pv": "pv", "pvh": "pvh", "hvm": "hvm"}
    return kinds.get(kind)


def read_hypervisor(root: SystemRoot) -> tuple[Hypervisor, dict[str, str]]:
    """What Xen and the kernel say of this domain, and what became of each file."""
    took = Statuses()
    kind = took.take("hypervisor.type", _line(root, "type"))
    guest_type = took.take("hypervisor.guest_type", _line(root, "guest_type"))
    uuid = took.take("hypervisor.uuid", _line(root, "uuid"))
    features = took.take(
        "hypervisor.features", parsed(root.read(f"{DIRECTORY}/properties/features"), parse_hex)
    )
    version = _version(root)
    took["hypervisor.version"] = OK if version else ABSENT
    capabilities = took.take("capabilities", root.read(CAPABILITIES_FILE))
    told_dom0 = capabilities is None and bool((features or 0) & _XENFEAT_DOM0)
    hypervisor = Hypervisor(
        is_xen=kind == "xen",
        guest_type=guest_type,
        uuid=uuid if uuid and _UUID.fullmatch(uuid) else None,
        version=version,
        features=features,
        is_dom0=told_dom0 or "control_d" in (capabilities or ""),
    )
    return hypervisor, took


def firmware_is_xens(root: SystemRoot) -> bool:
    """Whether an HVM guest's firmware tells of Xen, which a kernel without CONFIG_XEN does not."""
    return any(
        (root.read(f"sys/class/dmi/id/{name}").value or "").strip() == words
        for name, words in _FIRMWARE_SAYS.items()
    )


def _line(root: SystemRoot, name: str) -> Outcome[str]:
    return root.read_line(f"{DIRECTORY}/{name}", 64)


def _version(root: SystemRoot) -> str | None:
    """`4.17.7`, or None when the kernel does not tell."""
    major, minor, extra = (
        _line(root, f"version/{part}").value for part in ("major", "minor", "extra")
    )
    if not major or not minor:
        return None
    return f"{major}.{minor}{extra or ''}"
