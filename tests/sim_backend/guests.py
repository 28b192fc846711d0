# SPDX-License-Identifier: GPL-2.0-or-later
"""The guests of the lab, as configurations of the simulator.

`boot_variation_kib` is what one real boot reserved more than the reference boot of its kernel:
a few pages for the placement of initrd and per-CPU areas, the only figure taken from the capture
that it is compared with.
"""

from __future__ import annotations

from typing import Final

from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.guest.kernel_images import DEBIAN_11, DEBIAN_12, DEBIAN_13, DEBIAN_14

LAB: Final = {
    "pv-512-1024": GuestConfig(domain_type="pv"),
    "pvh-512-1024": GuestConfig(domain_type="pvh"),
    "hvm-512-1024": GuestConfig(domain_type="hvm", boot_variation_kib=4),
    "dom0": GuestConfig(
        domain_type="dom0-pv",
        memory_kib=1024 * MIB,
        maxmem_kib=1536 * MIB,
        boot_variation_kib=-108,
    ),
    "pv-512-1024-e820host": GuestConfig(domain_type="pv", e820_host=True, boot_variation_kib=16),
    "pv-256-4096": GuestConfig(
        domain_type="pv", memory_kib=256 * MIB, maxmem_kib=4096 * MIB, boot_variation_kib=12
    ),
    "pv-512-1024-hotplug": GuestConfig(domain_type="pv", boot_variation_kib=4),
    "pv-512-1024-k510": GuestConfig(domain_type="pv", image=DEBIAN_11),
    "pv-512-1024-k612": GuestConfig(domain_type="pv", image=DEBIAN_13),
    "pv-512-1024-k72": GuestConfig(domain_type="pv", image=DEBIAN_14),
    "pvh-512-1024-k612": GuestConfig(domain_type="pvh", image=DEBIAN_13),
    "pvh-512-1024-k510": GuestConfig(domain_type="pvh", image=DEBIAN_11),
    "pvh-512-1024-k72": GuestConfig(domain_type="pvh", image=DEBIAN_14),
}

assert LAB["pv-512-1024"].image is DEBIAN_12

MEASURED: Final = {"5.10": DEBIAN_11, "6.1": DEBIAN_12, "6.12": DEBIAN_13, "7.2": DEBIAN_14}
