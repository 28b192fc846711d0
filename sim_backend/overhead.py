# SPDX-License-Identifier: GPL-2.0-or-later
"""What a memory map costs a guest: struct pages, P2M, page tables, hash tables.

Measured on Linux 6.1 as PV: memory=512 with maxmem=512, 1024 and (as 256/4096, map of 2816 MiB)
57280, 68240 and 108772 KiB; this sum meets all three within 84 KiB.
"""

from typing import Final

from agent.core.snapshot import DomainType
from agent.core.units import PAGE_KIB

SECTION_PAGES: Final = 32768  # 128 MiB: struct pages come by the section
STRUCT_PAGE_BYTES: Final = 64
STRUCT_PAGE_BYTES_32BIT: Final = 32
P2M_BYTES: Final = 8  # a PV guest's own table of machine frames
PAGE_TABLE_BYTES: Final = 8  # the direct map in 4 KiB pages, as Xen PV has it
P2M_BYTES_32BIT: Final = 4

_DENTRY_BYTES: Final = 8
_FEW_KIB: Final = 1024


def page_cost_bytes(domain_type: DomainType, *, bits: int = 64) -> int:
    """What each page of the map costs, populated or not."""
    pv = domain_type in ("pv", "dom0-pv")
    if bits == 32:
        return STRUCT_PAGE_BYTES_32BIT + (P2M_BYTES_32BIT + PAGE_TABLE_BYTES if pv else 0)
    return STRUCT_PAGE_BYTES + (P2M_BYTES + PAGE_TABLE_BYTES if pv else 0)


def hash_tables_kib(pages: int) -> int:
    """The dentry and inode hash tables: a power of two, one dentry slot to two pages."""
    entries = 1 << max(pages // 2 - 1, 1).bit_length()
    return entries * _DENTRY_BYTES * 3 // 2 // _FEW_KIB


def section_pages(spans: tuple[tuple[int, int], ...]) -> int:
    """Pages of all 128 MiB sections that the spans (start, stop in pages) touch."""
    sections: set[int] = set()
    for start, stop in spans:
        sections.update(range(start // SECTION_PAGES, -(-stop // SECTION_PAGES)))
    return len(sections) * SECTION_PAGES


def map_cost_kib(
    domain_type: DomainType, mapped_section_pages: int, ram_pages: int, *, bits: int = 64
) -> int:
    """What the map costs beside the image's own `base_kib`."""
    pages_kib = page_cost_bytes(domain_type, bits=bits) * mapped_section_pages // _FEW_KIB
    return pages_kib + hash_tables_kib(ram_pages)


def whole_pages_kib(kib: int) -> int:
    """`kib` rounded up to whole pages."""
    return -(-kib // PAGE_KIB) * PAGE_KIB
