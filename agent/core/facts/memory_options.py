# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's options that change what memory the guest has, or how the balloon behaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agent.core.facts.pattern import Pattern
from agent.core.facts.units import GIB_KIB, MIB_KIB

_OPTIONS: Final = (
    "mem=",
    "memmap=",
    "memhp_default_state=",
    "memory_hotplug.",
    "crashkernel=",
    "swiotlb=",
    "hugepages=",
    "hugepagesz=",
    "psi=",
    "xen.",
    "xen_512gb_limit",
    "xen_scrub_pages=",
    "balloon_hugepages",
    "elfcorehdr=",
    "cma=",
)

_ROUND_KIB: Final = 128 * MIB_KIB
_LOW_END_KIB: Final = 4 * GIB_KIB
_USUAL_LOW_KIB: Final = 256 * MIB_KIB
_SHIFTS: Final = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
_NUMBER: Final = r"(0x[0-9a-f]{1,13}|[0-9]{1,15})([KMGT]?)"
_CRASH_SIZE = Pattern("(?i)" + _NUMBER + r"(?:,(high|low))?")
_CRASH_RANGE = Pattern("(?i)" + _NUMBER + r"-(?:" + _NUMBER + r")?:" + _NUMBER)


def memory_options(cmdline: str) -> tuple[str, ...]:
    """The words of a kernel command line that concern memory, in their order."""
    return tuple(word for word in cmdline.split() if word.startswith(_OPTIONS))


def crash_kernel_kib(options: Sequence[str], ram_kib: int) -> int | None:
    """What crashkernel= sets aside of that much RAM; None where it names no size.

        crashkernel=256M@16M    crashkernel=1G-4G:192M,4G-64G:256M    crashkernel=512M,high

    kernel/crash_reserve.c, parse_crashkernel: a range holds from its start up to its end, the last
    option of a kind counts, and `high` only where no size stands alone.  `cma` is memory that stays
    usable, `auto` a distribution's own.
    """
    sizes = _crash_sizes(options, ram_kib)
    if sizes.get("plain") or "high" not in sizes:
        return sizes.get("plain")
    return sizes["high"] + crash_low_kib(options, ram_kib)


def crash_low_kib(options: Sequence[str], ram_kib: int) -> int:
    """What is set aside below 4 GiB beside a crash kernel that lies above.

    Without crashkernel=SIZE,low that is 256 MiB (crash_low_size_default).
    """
    sizes = _crash_sizes(options, ram_kib)
    if sizes.get("plain") or ram_kib - _LOW_END_KIB < sizes.get("high", ram_kib):
        return 0
    return sizes.get("low", _USUAL_LOW_KIB)


def _crash_sizes(options: Sequence[str], ram_kib: int) -> dict[str, int]:
    """The last size of each kind: "plain", "high", "low"; KiB."""
    sizes: dict[str, int] = {}
    for option in options:
        name, _, words = option.partition("=")
        if name != "crashkernel":
            continue
        words = words.partition("@")[0]
        sized = _CRASH_SIZE.fullmatch(words)
        if sized is not None:
            sizes[sized[3] or "plain"] = _option_kib(sized[1], sized[2])
        elif (ranged_kib := _of_range(words, ram_kib)) is not None:
            sizes["plain"] = ranged_kib
    return sizes


def _of_range(words: str, ram_kib: int) -> int | None:
    """The size of the range that this much RAM falls into; 0 where it falls into none.

    RAM is rounded up first: firmware keeps some of what the machine has (parse_crashkernel_mem).
    """
    ram_kib = -(-ram_kib // _ROUND_KIB) * _ROUND_KIB
    entries = [_CRASH_RANGE.fullmatch(entry) for entry in words.split(",")]
    if not all(entries):
        return None
    for entry in filter(None, entries):
        start_kib = _option_kib(entry[1], entry[2])
        end_kib = _option_kib(entry[3], entry[4]) if entry[3] else None
        if start_kib <= ram_kib and (end_kib is None or ram_kib < end_kib):
            return _option_kib(entry[5], entry[6])
    return 0


def _option_kib(digits: str, suffix: str) -> int:
    """As the kernel reads sizes (lib/cmdline.c, memparse): 0x is hexadecimal, a leading 0 octal."""
    if digits[:2] in ("0x", "0X"):
        base = 16
    else:
        base = 8 if digits[0] == "0" and not {"8", "9"} & set(digits) else 10
    return int(digits, base) << _SHIFTS[suffix.upper()] >> 10
