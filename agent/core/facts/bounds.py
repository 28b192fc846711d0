# SPDX-License-Identifier: GPL-2.0-or-later
"""What a machine could have at most: a number from outside that is larger is none.

An address has at most 52 bits on x86 (Intel SDM 4.1.4, MAXPHYADDR; AMD64 APM 5.1) and on ARM
(FEAT_LPA), so no domain has more than 4 PiB.  The bound does more than keep reports sane: the
kernel multiplies what is written to target_kb by 1024 in 64 bits (drivers/xen/xen-balloon.c,
store_target_kb), and a target of 2^54 KiB that is handed on to it asks for nothing at all.

Relies on docs/design.md A19.
"""

from __future__ import annotations

from typing import Final

LARGEST_ADDRESS: Final = 1 << 52
LARGEST_KIB: Final = LARGEST_ADDRESS // 1024
LARGEST_TIME_S: Final = 253_402_300_799  # the last second of the year 9999: a date beyond has none
LARGEST_DOMID: Final = 0x7FFF  # xen/include/public/xen.h, DOMID_MASK

_WORD: Final = 1 << 64


def is_size(kib: int) -> bool:
    """Whether a machine could have that much."""
    return 0 <= kib <= LARGEST_KIB


def unwrapped(word: int, largest: int = LARGEST_KIB) -> int:
    """What an unsigned 64-bit number of the kernel's was before it wrapped, no larger than a size.

    The driver computes its target in 64 bits: one below zero shows as almost 2^64.  What is beyond
    any machine, on either side, reads as the largest there could be: it stays a target out of
    reach.
    """
    number = word if word < _WORD // 2 else word - _WORD
    return max(-largest, min(largest, number))
