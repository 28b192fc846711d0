# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything that was read of one domain at one moment, as one immutable value.

`Snapshot` is what the sources (real files, a capture, a simulated domain) hand to the core.  A
value that could not be read is None and has its reason in `Snapshot.sources`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from agent.core.facts.kernel_release import KernelRelease, bits_of
from agent.core.facts.memory_map import MemoryMap
from agent.core.facts.units import PAGE_KIB

SourceKind = Literal["live", "capture", "simulation"]
DomainType = Literal["pv", "pvh", "hvm", "dom0-pv", "dom0-pvh"]
Toolstack = Literal["libxl", "xapi", "qubes", "xend"]


class Origin(NamedTuple):
    """Where a snapshot comes from; every screen and every JSON says it."""

    kind: SourceKind
    detail: str


class DomainFacts(NamedTuple):
    """Who this domain is.  `domain_type` None: a Xen domain of a kind that could not be told."""

    domain_type: DomainType | None = None
    kernel: KernelRelease | None = None
    kernel_text: str | None = None
    xen_version: str | None = None
    name: str | None = None
    uuid: str | None = None
    domid: int | None = None
    toolstack: Toolstack | None = None
    page_kib: int = PAGE_KIB  # the kernel's own page, not Xen's

    @property
    def is_pv(self) -> bool:
        return is_pv(self.domain_type)

    @property
    def is_dom0(self) -> bool:
        return is_dom0(self.domain_type)

    @property
    def bits(self) -> int:
        """The kernel's, as far as its name tells."""
        return bits_of(self.kernel_text or "")

    def called(self, *, first: bool = False) -> str:
        """What a sentence calls it; `first`: at its beginning."""
        if self.is_dom0:
            return "dom0"
        return "The guest" if first else "the guest"

    def whole_pages_kib(self, kib: int) -> int:
        """What the kernel makes of a size that the host writes: whole pages of its own."""
        return kib // self.page_kib * self.page_kib


def is_pv(domain_type: DomainType | None) -> bool:
    """PV, as a guest or as dom0: Xen's own page tables, no hardware translation."""
    return domain_type in ("pv", "dom0-pv")


def is_dom0(domain_type: DomainType | None) -> bool:
    """The host's own domain, which has backends by its nature."""
    return domain_type in ("dom0-pv", "dom0-pvh")


class BalloonReading(NamedTuple):
    """The files below /sys/devices/system/xen_memory/xen_memory0 (drivers/xen/xen-balloon.c).

    `current_kib`, `low_kib` and `high_kib` belong together: they were read while `current_kib`
    stood still, or `read_while_moving` says that they were not.  `motion`: whether the balloon
    moved while it was watched for a moment ("unknown": it was read once, as in a capture).
    """

    current_kib: int | None = None
    target_kib: int | None = None
    target_bytes: int | None = None
    low_kib: int | None = None
    high_kib: int | None = None
    schedule_delay_s: int | None = None
    max_schedule_delay_s: int | None = None
    retry_count: int | None = None
    max_retry_count: int | None = None
    scrub_pages: bool | None = None
    read_while_moving: bool = False
    motion: Literal["still", "moved", "unknown"] = "unknown"

    @property
    def ballooned_kib(self) -> int | None:
        """What the balloon holds: low_kb + high_kb (all of it is low_kb on 64 bits)."""
        return None if self.low_kib is None else self.low_kib + (self.high_kib or 0)


class HostMemoryKeys(NamedTuple):
    """The host's side, from the guest's own xenstore directory `memory/`; KiB.

    Keys and writers: docs/misc/xenstore-paths.pandoc, libxl_dom.c, xenopsd, qmemman.
    `target_text` keeps a `memory/target` that is not a number, for the report.
    """

    target_kib: int | None = None
    target_text: str | None = None
    static_max_kib: int | None = None
    videoram_kib: int | None = None
    dynamic_min_kib: int | None = None
    dynamic_max_kib: int | None = None
    initial_target_kib: int | None = None
    hotplug_max_kib: int | None = None
    memory_offset_kib: int | None = None
    uncooperative: bool = False

    @property
    def video_kib(self) -> int:
        """Video memory: none where nothing was written, or old xl's -1."""
        return max(0, self.videoram_kib or 0)


class MemoryReading(NamedTuple):
    """What the kernel's allocator has, from /proc/meminfo; KiB.

    `cached_kib` is Cached and SReclaimable together.
    Huge pages that were set aside count as used in MemAvailable; they can neither be swapped nor
    given back by anybody but who set them aside.
    """

    total_kib: int
    available_kib: int
    free_kib: int
    cached_kib: int = 0
    swap_total_kib: int = 0
    swap_free_kib: int = 0
    hugetlb_kib: int = 0
    hugetlb_free_kib: int = 0
    buffers_kib: int = 0
    reclaimable_kib: int = 0


class Zones(NamedTuple):
    """/proc/zoneinfo, summed over all zones, in the kernel's own pages.

    `present` counts RAM the kernel has page structures for (ballooned or not, offline blocks
    left out), `managed` what its allocator owns: MemTotal.
    """

    spanned_pages: int
    present_pages: int
    managed_pages: int


class Pressure(NamedTuple):
    """/proc/pressure/memory: shares of time stalled, in percent, and totals in microseconds."""

    some_avg10: float
    some_avg60: float
    some_avg300: float
    some_total_us: int
    full_avg10: float
    full_avg60: float
    full_avg300: float
    full_total_us: int


class MemoryBlocks(NamedTuple):
    """/sys/devices/system/memory: the blocks that can be put online and offline.

    `offline` and `online` hold block numbers; block N covers N * block_bytes and up.
    """

    block_bytes: int
    online: tuple[int, ...]
    offline: tuple[int, ...]
    auto_online: str | None = None


class BootLog(NamedTuple):
    """What the kernel said about memory while it booted; KiB and pages.

    `physical_kib` and `reserved_kib` are of the line "Memory: .../PHYSICALK available (...,
    RESERVEDK reserved, ...)" (mm/mm_init.c, mem_init_print_info), `freed_later_kib` sums the
    "Freeing ... memory: NK" lines behind it.  `released_pages` are "Released N page(s)" to Xen
    (arch/x86/xen/setup.c), less those populated elsewhere.  `ended_s`: uptime of the last of these
    lines, where the kernel's own start is over.  `whole`: each of them was understood, to the one
    that ends the boot, so that the sum is exact and not only near.  `tells_released`: the log goes
    back to where a PV kernel says that.
    """

    physical_kib: int
    reserved_kib: int
    freed_later_kib: int
    released_pages: int = 0
    ended_s: float | None = None
    whole: bool = True
    tells_released: bool = True

    @property
    def mem_total_kib(self) -> int:
        """MemTotal once the kernel had booted and before the balloon moved; exact if `whole`.

        reserved = physical - managed pages at that line, and each later "Freeing" line hands
        pages to the allocator.
        """
        return self.physical_kib - self.reserved_kib + self.freed_later_kib


class BootRecord(NamedTuple):
    """The first readings of this boot, kept by the daemon in boot.json; KiB."""

    current_kib: int
    ballooned_kib: int
    e820_ram_kib: int
    host_target_kib: int | None = None
    static_max_kib: int | None = None


class Snapshot(NamedTuple):
    """One domain at one moment."""

    origin: Origin
    domain: DomainFacts
    sources: Mapping[str, str]
    firmware_map: MemoryMap | None = None
    iomem: MemoryMap | None = None
    balloon: BalloonReading | None = None
    host: HostMemoryKeys = HostMemoryKeys()
    memory: MemoryReading | None = None
    zones: Zones | None = None
    pressure: Pressure | None = None
    blocks: MemoryBlocks | None = None
    hotplug_unpopulated: bool | None = None
    boot_log: BootLog | None = None
    boot_record: BootRecord | None = None
    kernel_options: tuple[str, ...] = ()
    crash_kernel_kib: int | None = None
    zram_free_kib: int = 0  # of the swap that is free, what lies in memory after all
    uptime_s: float | None = None

    @property
    def unheard(self) -> str | None:
        """Why it is not known what the host asks for; None: it is, or it asks for nothing."""
        status, called = self.sources.get("xenstore", "ok"), "xenstore"
        if status == "ok":
            status, called = self.sources.get("xenstore.memory/target", "ok"), "memory/target"
            if status in ("ok", "absent"):
                return None
        # "malformed" would be odd to read of a connection: its why says that there is no answer.
        return status.partition("malformed: ")[2] or f"{called} is {status}"
