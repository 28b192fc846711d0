# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's options that change what memory the guest has, or how the balloon behaves."""

from __future__ import annotations

from typing import Final

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


def memory_options(cmdline: str) -> tuple[str, ...]:
    """The words of a kernel command line that concern memory, in their order."""
    return tuple(word for word in cmdline.split() if word.startswith(_OPTIONS))
