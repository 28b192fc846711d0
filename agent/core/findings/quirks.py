# SPDX-License-Identifier: GPL-2.0-or-later
"""What some drivers count, and no guest has: old ones, odd ones, and that of a busy dom0."""

from __future__ import annotations

from typing import Final

from agent.core.account.balloon_state import is_lent
from agent.core.account.target_offset import counted_beyond_kib
from agent.core.facts.kernel_release import KernelRelease
from agent.core.facts.units import MIB_KIB, format_kib, kib_to_pages
from agent.core.findings.examination import Examination
from agent.core.findings.finding import Evidence, Finding, what_is_known
from agent.core.findings.guest_commands import aim_at
from agent.core.findings.registry import DRIVER, check

# Between these releases a PV kernel counts the pages of the ISA window as missing (facts of
# drivers/xen/balloon.c, 6.15 to 6.18): 96 of them, a few more or less with the map.
_PHANTOM_SINCE: Final = KernelRelease(6, 15)
_PHANTOM_UNTIL: Final = KernelRelease(6, 19)
_PHANTOM_PAGES: Final = range(90, 111)
AIMS_BEYOND: Final = (
    "Before Linux 4.13 the kernel takes the host's target as it is, though it counts firmware and "
    "video pages that are no RAM; with an empty balloon it tries each half minute to hot-add them."
)


@check(
    "hvm-aims-beyond", severity="info", do="nothing, or Linux 4.13", needs=(*DRIVER, "firmware-map")
)
def hvm_aims_beyond(seen: Examination) -> Finding | None:
    """An HVM guest before Linux 4.13 asks for ever for what the host counts and is no RAM."""
    beyond_kib = counted_beyond_kib(seen.snapshot)
    if beyond_kib is None or (seen.complaints and seen.complaints.refusals):
        return None  # where the log tells of it, so does hotplug-refused
    return Finding(
        summary=f"The kernel aims {format_kib(beyond_kib)} beyond all that it can have. This is "
        "harmless.",
        evidence=driver_numbers(seen),
        cause=AIMS_BEYOND,
    )


@check(
    "phantom-credit",
    severity="warning",
    do="Linux 6.19, or write `target_kb`",
    needs=(*DRIVER, "kernel-release"),
)
def phantom_credit(seen: Examination) -> Finding | None:
    """Linux 6.15 to 6.18, PV: the driver lacks some hundred pages that never were there.

    It may add 128 MiB for them.
    """
    driver = seen.driver
    if driver is None or driver.ballooned_kib or not is_phantom(seen, driver.way_kib):
        return None
    return Finding(
        summary=f"The driver lacks {kib_to_pages(driver.way_kib)} pages that never were there.",
        evidence=driver_numbers(seen),
        cause="Linux 6.15 to 6.18 count the pages of a PV guest's ISA window as ballooned; fixed "
        "in 6.19. The driver may add a whole memory block for them.",
        fixes=(aim_at(driver.current_kib, "until the next target of the host"),),
    )


def is_phantom(seen: Examination, kib: int) -> bool:
    """Whether so much is what such a kernel miscounts."""
    kernel = seen.snapshot.domain.kernel
    if kernel is None or seen.snapshot.domain.domain_type != "pv":
        return False
    return _PHANTOM_SINCE <= kernel < _PHANTOM_UNTIL and kib_to_pages(kib) in _PHANTOM_PAGES


@check("dom0-grant-gap", severity="info", do="nothing", needs=DRIVER)
def dom0_grant_gap(seen: Examination) -> Finding | None:
    """dom0 is below its target with an empty balloon: backends have the pages.

    With pages in the balloon it would be `target-cancelled`.
    """
    if not is_lent(seen.snapshot, seen.situation.state):
        return None
    return Finding(
        summary="dom0 is below its target because backends borrowed ballooned pages; that is "
        "normal.",
        evidence=driver_numbers(seen),
        cause="Without CONFIG_XEN_UNPOPULATED_ALLOC, memory mapped from guests takes the place of "
        "pages that are ballooned out for it. The balloon is empty, so the hypervisor has refused "
        "nothing.",
    )


@check(
    "hole-given-away",
    severity="info",
    do="write `target_kb` so much higher, or Linux 3.13",
    needs=(*DRIVER, "firmware-map"),
)
def hole_given_away(seen: Examination) -> Finding | None:
    """An HVM guest before Linux 3.13 counts the hole below 4 GiB as memory it has to give away."""
    situation, driver = seen.situation, seen.driver
    given_kib = min(situation.hole_kib, driver.ballooned_kib) if driver else 0
    if driver is None or given_kib <= MIB_KIB or driver.way_kib:
        return None
    return Finding(
        summary=f"{format_kib(given_kib)} are in the balloon only because the driver counts the "
        "hole of the map as memory.",
        evidence={**driver_numbers(seen), "hole_kib": situation.hole_kib},
        cause="Before Linux 3.13 the driver starts from the highest address and not from the pages "
        "there are (drivers/xen/balloon.c, balloon_init), and gives back what is beyond its "
        "target.",
        fixes=(aim_at(driver.target_kib + given_kib, "or boot Linux 3.13 or later"),),
    )


def driver_numbers(seen: Examination) -> Evidence:
    """The driver's state as evidence."""
    balloon = seen.snapshot.balloon
    if balloon is None:
        return {}
    values = {
        "current_kib": balloon.current_kib,
        "target_kib": balloon.target_kib,
        "ballooned_kib": balloon.ballooned_kib,
        "retry_count": balloon.retry_count,
        "max_retry_count": balloon.max_retry_count,
        "schedule_delay_s": balloon.schedule_delay_s,
    }
    return what_is_known(values)
