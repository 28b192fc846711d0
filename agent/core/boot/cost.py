# SPDX-License-Identifier: GPL-2.0-or-later
"""What Linux keeps of its memory at boot, part by part: current_kb less MemTotal.

The parts that grow with the map follow from the kernel's source, the rest is one number for each
kernel and way to boot, measured on real guests (Debian's kernels under Xen 4.17, one CPU).  The sum
meets MemTotal of every captured guest, from 256 MiB with a map of 2816 MiB to 512 MiB with one of
5632 MiB, within 100 KiB.

Relies on docs/design.md A8.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from agent.core.boot.verdict import low_memory_kib
from agent.core.facts.kernel_release import KernelRelease
from agent.core.facts.memory_map import FOUR_GIB, MemoryMap, Span, merge_spans
from agent.core.facts.snapshot import DomainType, is_pv
from agent.core.facts.units import GIB_KIB, KIB, MIB_KIB, PAGE_BYTES, PAGE_KIB

SECTION_PAGES: Final = 32768  # 128 MiB, SECTION_SIZE_BITS 27: struct pages come by the section
# By the kernel's bits.  include/linux/mm_types.h: usual configuration; of 32 bits with memory
# cgroups, as distributions have them.
STRUCT_PAGE_BYTES: Final = {64: 64, 32: 40}
P2M_BYTES: Final = {64: 8, 32: 4}  # arch/x86/xen/p2m.c: a PV guest's own table of machine frames
PTE_BYTES: Final = 8  # 64 bits, and 32 bits with PAE
TABLE_ENTRIES: Final = 512

# kernel/dma/swiotlb.c: 64 MiB of bounce buffers, and a slot for every 2 KiB of them.
_SWIOTLB_KIB: Final = 64 * MIB_KIB
_SWIOTLB_SLOT_BYTES: Final = 24
_SWIOTLB_OLD_SLOT_BYTES: Final = 12  # before struct io_tlb_slot
_SWIOTLB_SLOT_SINCE: Final = KernelRelease(5, 13)

_DENTRY_BYTES: Final = {64: 8, 32: 4}
_HASH_ROUND_PAGES: Final = MIB_KIB // PAGE_KIB  # mm/mm_init.c, alloc_large_system_hash
_HASH_ADAPT_PAGES: Final = 64 * GIB_KIB // PAGE_KIB  # ADAPT_SCALE_BASE
_HASH_BY_FREE_SINCE: Final = KernelRelease(6, 10)  # calc_nr_kernel_pages; seen on 6.12 and 7.2
_PCI_SWIOTLB_SINCE: Final = KernelRelease(6, 5)  # xen_pv_pci_possible; seen on 6.12 and 7.2
# Debian's 686-pae kernel booted on a PC of 256 MiB to 2 GiB without a hypervisor: within 120 KiB of
# MemTotal in each.  The only one of 32 bits that was measured.
LINUX_6_1_686_KIB: Final = 15790


class Kernel(NamedTuple):
    """What a kernel costs whatever the size of the map; KiB, with one CPU.

    `per_cpu_kib` is added for each further one ("percpu: Embedded N pages/cpu" in its log).
    `measured`: the release was, on a guest with Debian's kernel of its very series; otherwise the
    figures are borrowed from the nearest one.
    """

    release: KernelRelease
    pv_kib: int
    hvm_kib: int
    per_cpu_kib: int
    measured: bool = False

    def base_kib(self, domain_type: DomainType, *, bits: int = 64) -> int:
        """Code, data, per-CPU areas and fixed reservations."""
        if bits == 32:
            return LINUX_6_1_686_KIB
        return self.pv_kib if is_pv(domain_type) else self.hvm_kib


LINUX_5_10: Final = Kernel(KernelRelease(5, 10), pv_kib=42818, hvm_kib=42428, per_cpu_kib=252)
LINUX_6_1: Final = Kernel(KernelRelease(6, 1), pv_kib=46186, hvm_kib=46384, per_cpu_kib=248)
LINUX_6_12: Final = Kernel(KernelRelease(6, 12), pv_kib=39354, hvm_kib=39556, per_cpu_kib=264)
LINUX_7_2: Final = Kernel(KernelRelease(7, 2), pv_kib=43598, hvm_kib=43800, per_cpu_kib=252)
MEASURED: Final = (LINUX_5_10, LINUX_6_1, LINUX_6_12, LINUX_7_2)
FALLBACK_KERNEL: Final = LINUX_6_12  # of a kernel that tells no release


def kernel_cost(release: KernelRelease) -> Kernel:
    """The figures for a release: measured, or those of the newest measured one before it."""
    before = [kernel for kernel in MEASURED if kernel.release <= release]
    nearest = before[-1] if before else MEASURED[0]
    return nearest._replace(release=release, measured=nearest.release[:2] == release[:2])


class CostPart(NamedTuple):
    """One part of what Linux keeps for itself."""

    name: str
    kib: int
    why: str


class BootShape(NamedTuple):
    """What the cost of a boot depends on.

    `populated_kib` is what the hypervisor gave when the kernel started.  `pci_possible`: a PV
    guest has the host's map (e820_host=1), or is dom0.
    """

    domain_type: DomainType
    kernel: Kernel
    firmware: MemoryMap
    populated_kib: int
    bits: int = 64
    pci_possible: bool = False
    cpus: int = 1


def boot_cost(shape: BootShape) -> tuple[CostPart, ...]:
    """All parts, those that are there; their sum is current_kb less MemTotal."""
    kernel, bits = shape.kernel, shape.bits
    why = f"{STRUCT_PAGE_BYTES[bits]} bytes for each page of the map, ballooned or not"
    parts = [CostPart("struct-pages", struct_pages_kib(shape.firmware, bits=bits), why)]
    if is_pv(shape.domain_type):
        why = f"{P2M_BYTES[bits]} bytes for each page of a PV guest's map"
        parts.append(CostPart("p2m", _table_kib(shape.firmware.ram_pages, P2M_BYTES[bits]), why))
    parts.append(CostPart("page-tables", page_tables_kib(shape), "the kernel's map of memory"))
    if _has_swiotlb(shape):
        why = "bounce buffers for devices that reach 4 GiB only"
        parts.append(CostPart("swiotlb", _swiotlb_kib(kernel.release), why))
    why = "static per-CPU areas of the CPUs beside the first"
    parts.append(CostPart("per-cpu", (shape.cpus - 1) * kernel.per_cpu_kib, why))
    why = "code and data, per-CPU areas and what else does not depend on the size"
    base = CostPart("kernel", kernel.base_kib(shape.domain_type, bits=bits), why)
    early_kib = shape.populated_kib - sum(part.kib for part in (*parts, base))
    tables_kib = hash_tables_kib(_hashed_pages(shape, early_kib), bits=bits)
    why = "dentry and inode hash tables, sized by the memory there is"
    parts += [CostPart("hash-tables", tables_kib, why), base]
    return tuple(part for part in parts if part.kib)


def total_kib(parts: Iterable[CostPart]) -> int:
    """The sum in whole pages, as the kernel reserves them."""
    size_kib = sum(part.kib for part in parts)
    return -(-size_kib // PAGE_KIB) * PAGE_KIB


def struct_pages_kib(firmware: MemoryMap, *, bits: int = 64) -> int:
    """A struct page for each page of every section the map touches, ballooned or not."""
    return section_pages(firmware.ram_spans()) * STRUCT_PAGE_BYTES[bits] // KIB


def section_pages(spans: Iterable[Span]) -> int:
    """Pages of all 128 MiB sections that the spans touch."""
    size = SECTION_PAGES * PAGE_BYTES
    touched = merge_spans(Span(span.start // size, -(-span.stop // size)) for span in spans)
    return sum(sections.stop - sections.start for sections in touched) * SECTION_PAGES


def page_tables_kib(shape: BootShape) -> int:
    """The kernel's own mapping of all memory.

    A PV guest maps in pages of 4 KiB, memory and struct pages alike; others in pages of 2 MiB.
    """
    pages = _mapped_pages(shape)
    if not is_pv(shape.domain_type):
        return -(-pages // TABLE_ENTRIES**2) * PAGE_KIB
    struct_pages = struct_pages_kib(shape.firmware) // PAGE_KIB if shape.bits == 64 else 0
    return _table_kib(pages + struct_pages, PTE_BYTES)


def hash_tables_kib(pages: int, *, bits: int = 64) -> int:
    """The dentry and inode hash tables: one dentry slot to two pages, rounded up to a power of 2.

    mm/mm_init.c, alloc_large_system_hash (scale 13 and 14); fs/dcache.c, fs/inode.c.
    """
    rounded = -(-pages // _HASH_ROUND_PAGES) * _HASH_ROUND_PAGES
    share = 2  # pages to a slot; twice as many for each time memory is fourfold beyond 64 GiB
    adapt = _HASH_ADAPT_PAGES
    while adapt < rounded:
        share, adapt = share * 2, adapt * 4
    entries = 1 << max(rounded // share - 1, 1).bit_length()
    return entries * _DENTRY_BYTES[bits] * 3 // 2 // KIB


def _hashed_pages(shape: BootShape, early_kib: int) -> int:
    """The pages that the hash tables are sized by.

    Until Linux 6.9 all pages of the map less their struct pages; since 6.10 those that are free
    at that moment, which leaves out what a PV guest does not have.
    """
    if shape.kernel.release >= _HASH_BY_FREE_SINCE:
        return max(early_kib, 0) // PAGE_KIB
    struct_pages = struct_pages_kib(shape.firmware, bits=shape.bits) // PAGE_KIB
    return max(_mapped_pages(shape) - struct_pages, 0)


def _mapped_pages(shape: BootShape) -> int:
    """Pages that the kernel maps for good: all of them, or the low memory of 32 bits."""
    pages = shape.firmware.ram_pages
    if shape.bits == 64:
        return pages
    return min(pages, low_memory_kib(is_pv=is_pv(shape.domain_type)) // PAGE_KIB)


def _has_swiotlb(shape: BootShape) -> bool:
    """Whether bounce buffers are reserved (arch/x86/kernel/pci-dma.c, pci_iommu_alloc).

    HVM and PVH: where memory reaches beyond 4 GiB, as on hardware.  dom0 (PV): always.  Another PV
    guest: since Linux 6.5 where its map is the host's.
    """
    if shape.bits == 32:
        return False
    if shape.domain_type == "dom0-pv":
        return True
    if shape.domain_type == "pv":
        return shape.pci_possible and shape.kernel.release >= _PCI_SWIOTLB_SINCE
    return shape.firmware.top > FOUR_GIB


def _swiotlb_kib(release: KernelRelease) -> int:
    """The buffers and their slots; 24 bytes seen on 6.1 and later, 12 on 5.10."""
    old = release < _SWIOTLB_SLOT_SINCE
    slot_bytes = _SWIOTLB_OLD_SLOT_BYTES if old else _SWIOTLB_SLOT_BYTES
    return _SWIOTLB_KIB + _SWIOTLB_KIB // 2 * slot_bytes // KIB


def _table_kib(entries: int, entry_bytes: int) -> int:
    """A table of that many entries and the one above it."""
    return entries * entry_bytes * (TABLE_ENTRIES + 1) // TABLE_ENTRIES // KIB
