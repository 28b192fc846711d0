# SPDX-License-Identifier: GPL-2.0-or-later
"""The reconciliation: every KiB of E820 RAM is populated, ballooned, or named.

The identities, seen to hold to the page on real guests (E: System RAM of the firmware map,
C: current_kb, B: low_kb + high_kb):

    pv        E + ISA window         = C + B + U + offline blocks
    dom0-pv   E                      = C + B + U + offline blocks + lent for grants
    pvh, hvm  E - partial - page 0   = C + B + offline blocks
    dom0-pvh  E - partial - page 0   = C + B + U + offline blocks

U is what the kernel gave to unpopulated-alloc at boot, for good.  No file shows it; it follows
from the boot's facts (`boot_facts`), or it is only the remainder, and then nothing was proved.

Relies on docs/design.md A4, A6 and A10.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from agent.core.account.balloon_state import leads_to_target, seen_moving
from agent.core.account.boot_facts import BootFacts, hole_kib
from agent.core.account.hot_added import offline_kib
from agent.core.facts.kernel_regimes import Regime, regime_of
from agent.core.facts.memory_map import MemoryMap
from agent.core.facts.snapshot import BalloonReading, DomainType, Snapshot, is_pv
from agent.core.facts.units import PAGE_KIB, pages_to_kib

Proof = Literal["checked", "inferred"]

FIRMWARE_MAP: Final = "/sys/firmware/memmap"
BALLOON_INFO: Final = "/sys/devices/system/xen_memory/xen_memory0/info"


class Term(NamedTuple):
    """One part of the sum.

    Attributes:
        name: what it is called in every report.
        kib: its size with the sign it has in the sum: what is to be accounted for counts plus,
            what accounts for it minus.
        source: where the size was read or what it was computed from.
        why: why it is there, in a sentence.
        inferred: it is only what was left over.
    """

    name: str
    kib: int
    source: str
    why: str
    inferred: bool = False


class Reconciliation(NamedTuple):
    """The sum and what came out.  `identity` None: it could not be made, `obstacle` says why."""

    identity: DomainType | None
    terms: tuple[Term, ...]
    proof: Proof | None
    unexplained_kib: int | None
    obstacle: str | None = None

    def term(self, name: str) -> Term | None:
        return next((term for term in self.terms if term.name == name), None)


def reconcile(snapshot: Snapshot, boot: BootFacts) -> Reconciliation:
    """Account for all RAM of the map; never raises."""
    given = _given(snapshot)
    if isinstance(given, str):
        return Reconciliation(None, (), None, None, given)
    domain_type, firmware_map, balloon = given
    regime = regime_of(snapshot.domain.kernel)
    terms = [
        *_map_terms(snapshot, firmware_map),
        *_driver_terms(balloon),
        *_block_terms(snapshot, firmware_map, boot),
    ]
    if not is_pv(domain_type):
        terms += _kernel_cut_terms(snapshot, terms, boot.offlined_kib)
    terms += _regime_terms(snapshot, regime, boot, _sum(terms))
    if seen_moving(snapshot):
        terms += _motion_terms(balloon, _sum(terms))
    proof: Proof = "inferred" if any(term.inferred for term in terms) else "checked"
    return Reconciliation(domain_type, tuple(terms), proof, _sum(terms))


def _sum(terms: list[Term]) -> int:
    return sum(term.kib for term in terms)


def _map_source(snapshot: Snapshot) -> str:
    """Where the map was read: on ARM, where no firmware tells of one, it is the kernel's own."""
    firmware_map = snapshot.firmware_map
    from_iomem = firmware_map is None or firmware_map.is_of_arm
    return "/proc/iomem" if from_iomem else FIRMWARE_MAP


def _given(snapshot: Snapshot) -> tuple[DomainType, MemoryMap, BalloonReading] | str:
    """What the sum is made of, or what keeps it from being made, in a sentence."""
    balloon, firmware_map = snapshot.balloon, snapshot.firmware_map or snapshot.iomem
    if snapshot.domain.domain_type is None:
        return "the kernel does not tell whether this is a PV, PVH or HVM domain"
    if balloon is None:
        return "there is no balloon driver (the kernel was built without CONFIG_XEN_BALLOON)"
    if balloon.current_kib is None or balloon.ballooned_kib is None:
        return f"current_kb or low_kb below {BALLOON_INFO} could not be read"
    if firmware_map is None:
        return f"neither {FIRMWARE_MAP} nor the addresses in /proc/iomem could be read"
    return snapshot.domain.domain_type, firmware_map, balloon


def _map_terms(snapshot: Snapshot, firmware_map: MemoryMap) -> list[Term]:
    """The RAM of the map, and its pages that are counted on one side only."""
    domain, source = snapshot.domain, _map_source(snapshot)
    ram_kib = firmware_map.ram_kib
    terms = [Term("e820-ram", ram_kib, source, "all ranges of the map that are System RAM")]
    partial_kib = ram_kib - pages_to_kib(firmware_map.ram_pages)
    if partial_kib:
        why = "range ends that fill no page (the BIOS data area of an HVM guest)"
        terms.append(Term("partial-pages", -partial_kib, source, why))
    isa_kib = pages_to_kib(firmware_map.isa_hole_pages)
    if domain.domain_type == "pv" and isa_kib:
        why = "Xen populated these pages of a PV guest, Linux marks them reserved"
        terms.append(Term("isa-hole", isa_kib, f"{source}, a0000-fffff", why))
    zero_kib = pages_to_kib(firmware_map.page_zero_pages)
    if domain.is_pv:
        if snapshot.firmware_map is None and not zero_kib:
            why = "populated like the rest, but /proc/iomem does not call it RAM"
            terms.append(Term("page-zero", pages_to_kib(1), source, why))
        return terms
    if counted_kib := hole_kib(snapshot):
        why = "before Linux 3.13 the driver takes the highest address for the number of pages"
        terms.append(Term("holes-counted", counted_kib, source, why))
    elif zero_kib:
        why = "Linux never uses page 0 (trim_bios_range)"
        terms.append(Term("page-zero", -zero_kib, source, why))
    return terms


def _driver_terms(balloon: BalloonReading) -> list[Term]:
    current_kib, ballooned_kib = balloon.current_kib or 0, balloon.ballooned_kib or 0
    populated = "populated by the host and owned by Linux"
    held = "held by the balloon: no memory behind it, can come back with the target"
    return [
        Term("current", -current_kib, f"{BALLOON_INFO}/current_kb", populated),
        Term("ballooned", -ballooned_kib, f"{BALLOON_INFO}/low_kb + high_kb", held),
    ]


def _block_terms(snapshot: Snapshot, firmware_map: MemoryMap, boot: BootFacts) -> list[Term]:
    """Hot-added memory that is still offline: in the map, in neither count of the driver."""
    if snapshot.blocks is None or not snapshot.blocks.offline:
        return []
    # A block of the boot's own memory that somebody put offline stays populated.
    size_kib = offline_kib(firmware_map, snapshot.blocks) - boot.offlined_kib
    if not size_kib:
        return []
    why = "hot-added by the driver and not put online: nobody can use it yet"
    return [Term("offline-blocks", -size_kib, "/sys/devices/system/memory/memory*/state", why)]


def _kernel_cut_terms(snapshot: Snapshot, terms: list[Term], offlined_kib: int) -> list[Term]:
    """RAM of the map that an HVM or PVH kernel has no pages for (mem=, memmap=, EFI)."""
    if snapshot.zones is None or any(term.name == "holes-counted" for term in terms):
        return []
    counted = ("e820-ram", "partial-pages", "page-zero", "offline-blocks")
    expected_kib = sum(term.kib for term in terms if term.name in counted)
    present_kib = snapshot.zones.present_pages * snapshot.domain.page_kib
    cut_kib = expected_kib - offlined_kib - present_kib
    if cut_kib <= 0:
        return []
    options = ", ".join(
        option for option in snapshot.kernel_options if option.startswith(("mem=", "memmap="))
    )
    why = "in the firmware's map, but Linux took no pages of it"
    why += f" (booted with {options})" if options else ""
    return [Term("kernel-cut", -cut_kib, "/proc/zoneinfo, present", why)]


def _regime_terms(snapshot: Snapshot, regime: Regime, boot: BootFacts, left_kib: int) -> list[Term]:
    """What kernels differ in; `left_kib` is the sum so far."""
    domain_type = snapshot.domain.domain_type
    released_kib = pages_to_kib(snapshot.boot_log.released_pages if snapshot.boot_log else 0)
    if regime.current_counts_released and released_kib:
        why = "given back at boot, but before Linux 3.2 still counted in current_kb"
        return [Term("released", released_kib, "kernel log, 'Released ... page(s)'", why)]
    if left_kib == 0 or not (is_pv(domain_type) or domain_type == "dom0-pvh"):
        return []
    if left_kib == _phantom_kib(snapshot):
        why = "this kernel starts from present pages instead of nr_pages (Linux 6.15 to 6.18)"
        source = f"{FIRMWARE_MAP}, page 0 and a0000-fffff"
        return [Term("phantom-credit", -left_kib, source, why)]
    return _unpopulated_terms(domain_type, regime, boot, left_kib)


def _phantom_kib(snapshot: Snapshot) -> int | None:
    """What a kernel that starts from present pages misses: page 0 and the ISA window."""
    firmware_map = snapshot.firmware_map
    if firmware_map is None or snapshot.domain.domain_type != "pv":
        return None
    return pages_to_kib(firmware_map.isa_hole_pages + firmware_map.page_zero_pages)


def _unpopulated_terms(
    domain_type: DomainType | None, regime: Regime, boot: BootFacts, left_kib: int
) -> list[Term]:
    """The RAM beyond nr_pages that went to unpopulated-alloc instead of the balloon."""
    held_kib = None
    if boot.certain and boot.beyond_kib is not None:
        held_kib = boot.beyond_kib - (boot.ballooned_kib or 0)
    why = "given to the kernel's unpopulated-alloc at boot, for good: never usable as memory"
    by_release = regime.extra_memory == "unpopulated-alloc"
    if held_kib and (boot.ballooned_kib is not None or by_release or left_kib == held_kib):
        method = boot.nr_pages.method if boot.nr_pages else "boot-record"
        return [Term("unpopulated-alloc", -held_kib, f"{FIRMWARE_MAP} and {method}", why)]
    if left_kib < PAGE_KIB:
        return []
    if regime.extra_memory != "balloon":
        return [Term("unpopulated-alloc", -left_kib, "what is left over", why, inferred=True)]
    if domain_type == "dom0-pv":
        why = "ballooned out and lent to backends that map pages of other domains"
        return [Term("lent-for-grants", -left_kib, "what is left over", why, inferred=True)]
    return []


def _motion_terms(balloon: BalloonReading, left_kib: int) -> list[Term]:
    """What moved between reading current_kb and reading low_kb, if the balloon was moving.

    The files are no snapshot: current_kb is read first.  A shrinking guest's counts add up to
    too much, a growing one's to too little, by at most the way that was left.
    """
    at_rest = balloon.target_kib in (None, balloon.current_kib)
    if at_rest or not leads_to_target(balloon, left_kib):
        return []
    why = "the balloon moved between one file and the next; read again when it has settled"
    return [Term("moved-while-reading", -left_kib, "what is left over", why, inferred=True)]
