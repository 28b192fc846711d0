# SPDX-License-Identifier: GPL-2.0-or-later
"""What the lab consists of: suites, packages, kernel modules. Data only.

A change here changes the key of the artifacts concerned, so that they are made anew.
"""

from __future__ import annotations

from typing import Final, NamedTuple

BASE_SUITE: Final = "bookworm"
"""Whose kernel a guest has that names no other, and whose busybox every initramfs carries."""
SECURITY_SUITES: Final = frozenset({"bookworm", "trixie"})
"""Suites whose security archive is used as well, where this machine's apt knows one."""


class GuestKernel(NamedTuple):
    """A kernel by the Debian suite it comes from."""

    suite: str
    series: str
    """What a reader knows it by; the suite decides, the exact version is in the results."""


KERNELS: Final = {
    kernel.suite: kernel
    for kernel in (
        GuestKernel("bookworm", "6.1"),
        GuestKernel("bullseye", "5.10"),
        GuestKernel("trixie", "6.12"),
        GuestKernel("sid", "7.x"),
    )
}
KERNEL_METAPACKAGE: Final = "linux-image-amd64"
BUSYBOX_PACKAGE: Final = "busybox-static"

GUEST_MODULES: Final = ("xen_blkfront", "ext4", "overlay", "xen_evtchn", "xen_gntdev", "xenfs")
DOM0_MODULES: Final = (
    "virtio_pci", "virtio_blk", "9pnet_virtio", "9p", "ext4", "overlay", "loop",
    "xenfs", "xen_evtchn", "xen_gntdev", "xen_gntalloc", "xen_privcmd", "xen_blkback",
)  # fmt: skip
CHECKSUM_MODULES: Final = ("crc32c_generic", "crc32c_cryptoapi", "crc32c")
"""ext4 asks for crc32c by an alias when it mounts; which module answers depends on the kernel."""

ROOT_PACKAGES: Final = (
    "busybox-static", "dbus", "iproute2", "kmod", "mount", "ovmf", "passwd", "procps", "python3",
    "python3-click", "python3-psutil", "python3-pyxs", "python3-rich", "qemu-system-xen", "systemd",
    "systemd-sysv", "udev", "xen-utils-common", "xenstore-utils",
)  # fmt: skip
"""Of dom0, with the toolstack of its release, and of guests."""
USER_SPACE_PACKAGES: Final = (
    "busybox-static", "dbus", "iproute2", "kmod", "mount", "passwd", "procps", "python3",
    "systemd", "systemd-sysv", "udev", "xenstore-utils",
)  # fmt: skip
"""Of a guest that has the user space of another suite than its host."""


def hypervisor_package(series: str) -> str:
    """Return the package with the hypervisor of a series of Xen."""
    return f"xen-hypervisor-{series}-amd64"


def root_packages(series: str) -> tuple[str, ...]:
    """Return what a root file system with the toolstack of a series of Xen consists of."""
    return (*ROOT_PACKAGES, f"xen-utils-{series}")
