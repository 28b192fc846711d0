# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel with its initramfs, and the hypervisor.

What comes out: `vmlinuz` for QEMU to hand to Xen as dom0's kernel, `vmlinux` for guests,
`initramfs.cpio` for both, `version`, and `boot.ext4` with the latter three: the disk from which
dom0 starts guests of this kernel (the toolstack maps these files, which is slow over 9p).
"""

from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.xenlab.build import cpio, recipe
from tests.xenlab.build.apt import Package, Suite
from tests.xenlab.build.artifact import Artifact
from tests.xenlab.build.modules import ModuleTree
from tests.xenlab.build.vmlinux import unpack_bzimage
from tests.xenlab.hosts import Release
from tests.xenlab.paths import LAB_SOURCES

INIT: Final = "build/initramfs-init"
SOURCES: Final = (
    INIT, "build/kernel.py", "build/recipe.py", "build/modules.py", "build/cpio.py",
    "build/vmlinux.py",
)  # fmt: skip
BOOT_FOLDERS: Final = ("bin", "dev", "etc", "lower", "mnt", "proc", "root", "run", "sys", "upper")


def hypervisor(root: Path, suite: Suite, release: Release) -> Artifact:
    """Describe the hypervisor: one ELF file `xen` that QEMU loads by multiboot."""
    package = suite.package(recipe.hypervisor_package(release.xen))

    def make(folder: Path) -> None:
        suite.unpack([package], folder / "x")
        packed = folder / f"x/boot/xen-{release.xen}-amd64.gz"
        (folder / "xen").write_bytes(gzip.decompress(packed.read_bytes()))
        shutil.rmtree(folder / "x")

    return Artifact(
        f"hypervisor-{release.name}",
        root,
        packages=[f"{package.name}={package.version}"],
        sources=["build/kernel.py", "build/recipe.py"],
        make=make,
    )


def kernel(root: Path, suite: Suite, busybox_suite: Suite) -> Artifact:
    """Describe the kernel of a Debian suite."""
    packages = _kernel_packages(suite)
    busybox = busybox_suite.package(recipe.BUSYBOX_PACKAGE)

    def make(folder: Path) -> None:
        suite.unpack(packages, folder / "x")
        busybox_suite.unpack([busybox], folder / "b")
        _assemble(folder, folder / "x", (folder / "b/bin/busybox").read_bytes())
        shutil.rmtree(folder / "x")
        shutil.rmtree(folder / "b")

    return Artifact(
        f"kernel-{suite.name}",
        root,
        packages=[f"{package.name}={package.version}" for package in (*packages, busybox)],
        sources=SOURCES,
        make=make,
    )


def _kernel_packages(suite: Suite) -> list[Package]:
    """Follow the metapackage to all packages of one kernel version.

    Up to Debian 13 that is one; later the image is split into binary, modules and base.
    """
    meta = suite.package(recipe.KERNEL_METAPACKAGE)
    image = next(name for name in meta.depends if name.startswith("linux-image-"))
    version = image.removeprefix("linux-image-")
    packages: dict[str, Package] = {}
    pending = [image]
    while pending:
        package = suite.package(pending.pop())
        packages[package.name] = package
        pending += [
            name
            for name in package.depends
            if name.startswith("linux-") and name.endswith(version) and name not in packages
        ]
    return list(packages.values())


def _assemble(folder: Path, unpacked: Path, busybox: bytes) -> None:
    root = next(path for usr in ("usr", ".") for path in (unpacked / usr).glob("lib/modules/*"))
    version = root.name
    candidates = (unpacked / "boot" / f"vmlinuz-{version}", root / "vmlinuz")
    image = next(path for path in candidates if path.exists()).read_bytes()
    (folder / "version").write_text(version + "\n")
    (folder / "vmlinuz").write_bytes(image)
    (folder / "vmlinux").write_bytes(unpack_bzimage(image))
    (folder / "initramfs.cpio").write_bytes(_initramfs(ModuleTree(root), busybox))
    _boot_disk(folder)


def _initramfs(tree: ModuleTree, busybox: bytes) -> bytes:
    checksum = [name for name in recipe.CHECKSUM_MODULES if tree.has(name)]
    orders = {
        "guest": tree.load_order([*checksum, *recipe.GUEST_MODULES]),
        "dom0": tree.load_order([*checksum, *recipe.DOM0_MODULES]),
    }
    entries = [cpio.folder(path) for path in BOOT_FOLDERS]
    entries.append(cpio.file("bin/busybox", busybox, executable=True))
    entries.append(cpio.file("init", (LAB_SOURCES / INIT).read_bytes(), executable=True))
    entries.append(cpio.folder("modules"))
    for role, order in orders.items():
        entries.append(cpio.file(f"modules/{role}.order", "\n".join(order).encode() + b"\n"))
    needed = sorted({name for order in orders.values() for name in order})
    entries += [cpio.file(f"modules/{name}.ko", tree.content(name)) for name in needed]
    return cpio.archive(entries)


def _boot_disk(folder: Path) -> None:
    staged = folder / "boot"
    staged.mkdir()
    for name in ("vmlinux", "vmlinuz", "initramfs.cpio", "version"):
        shutil.copy(folder / name, staged)
    size_mib = sum(path.stat().st_size for path in staged.iterdir()) * 11 // 10 // 2**20 + 8
    make_ext4(staged, folder / "boot.ext4", size_mib)
    shutil.rmtree(staged)


def make_ext4(source: Path, image: Path, size_mib: int) -> None:
    """Make a file system image with the contents of a folder, without mounting anything."""
    subprocess.run(
        ["/usr/sbin/mke2fs", "-q", "-t", "ext4", "-O", "^has_journal,^metadata_csum", "-m", "0",
         "-d", str(source), str(image), f"{size_mib}M"],
        check=True,
        capture_output=True,
    )  # fmt: skip
