# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel images a simulated guest can boot: sizes and habits of one build.

The images of Debian 11, 12 and 13 and of unstable are measured on real guests, the rest borrow
the figures of the nearest measured one.  What they cost is in agent/core/boot/cost.py.
"""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

from agent.core.facts.kernel_release import KernelRelease, parse_kernel_release
from sim_backend.guest.regimes import Regime, regime_of


class Segment(NamedTuple):
    """Where a part of the kernel lies in a PV or PVH guest (/proc/iomem); `end` inclusive."""

    name: str
    start: int
    end: int


class KernelImage(NamedTuple):
    """One build of Linux.

    `sizes` are the words of the log line "Memory:", `freed` the "Freeing ... memory" lines behind
    it, `freed_before` one that comes before it and is not in `reserved` any more.  `balloon` and
    `hotplug` say whether CONFIG_XEN_BALLOON and its memory hotplug are built in.
    """

    release_text: str
    version_text: str
    regime: Regime
    sizes: str
    freed: tuple[tuple[str, int], ...]
    segments: tuple[Segment, ...]
    freed_before: tuple[str, int] | None = None
    auto_online: str = "offline"
    balloon: bool = True
    hotplug: bool = True
    pressure: bool = True

    @property
    def release(self) -> KernelRelease:
        return _release(self.release_text)

    @property
    def freed_kib(self) -> int:
        """What the lines behind "Memory:" hand to the allocator."""
        return sum(kib for _, kib in self.freed)

    @property
    def scrub_file(self) -> bool:
        """Whether the driver shows scrub_pages (4.20 and later)."""
        return self.release >= KernelRelease(4, 20)

    @property
    def balloon_in_meminfo(self) -> bool:
        """Whether /proc/meminfo and vmstat show the balloon (6.16 and later)."""
        return self.release >= KernelRelease(6, 16)


@cache
def _release(text: str) -> KernelRelease:
    found = parse_kernel_release(text)
    assert found is not None
    return found


def _segments(
    code: int, rodata: tuple[int, int], data: tuple[int, int], bss: tuple[int, int]
) -> tuple[Segment, ...]:
    return (
        Segment("Kernel code", 0x1000000, code),
        Segment("Kernel rodata", *rodata),
        Segment("Kernel data", *data),
        Segment("Kernel bss", *bss),
    )


DEBIAN_12: Final = KernelImage(
    release_text="6.1.0-56-amd64",
    version_text="#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-16)",
    regime=regime_of(KernelRelease(6, 1)),
    sizes="14343K kernel code, 2338K rwdata, 9132K rodata, 2824K init, 17344K bss",
    freed=(
        ("SMP alternatives", 36),
        ("initrd", 6844),
        ("unused decrypted", 2036),
        ("unused kernel image (initmem)", 2824),
        ("unused kernel image (text/rodata gap)", 2040),
        ("unused kernel image (rodata/data gap)", 1108),
    ),
    segments=_segments(
        0x1E01D31, (0x2000000, 0x28EAFFF), (0x2A00000, 0x2C4897F), (0x3310000, 0x43FFFFF)
    ),
)
DEBIAN_11: Final = DEBIAN_12._replace(
    release_text="5.10.0-32-amd64",
    version_text="#1 SMP Debian 5.10.223-1 (2024-08-10)",
    regime=regime_of(KernelRelease(5, 15)),  # the thread and max_retry_count came with 5.10.70
    sizes="12295K kernel code, 2538K rwdata, 7632K rodata, 2676K init, 17700K bss",
    freed=(
        ("SMP alternatives", 32),
        ("initrd", 4932),
        ("unused decrypted", 2036),
        ("unused kernel image (initmem)", 2676),
        ("unused kernel image (text/rodata gap)", 2040),
        ("unused kernel image (rodata/data gap)", 560),
    ),
    segments=_segments(
        0x1C01F41, (0x1E00000, 0x2573FFF), (0x2600000, 0x287AA7F), (0x2EB7000, 0x3FFFFFF)
    ),
)
DEBIAN_13: Final = DEBIAN_12._replace(
    release_text="6.12.107+deb13-amd64",
    version_text="#1 SMP PREEMPT_DYNAMIC Debian 6.12.107-1 (2026-08-29)",
    regime=regime_of(KernelRelease(6, 12)),
    sizes="16384K kernel code, 2499K rwdata, 11828K rodata, 4172K init, 4896K bss",
    freed=(
        ("initrd", 5992),
        ("unused decrypted", 2028),
        ("unused kernel image (initmem)", 4172),
        ("unused kernel image (rodata/data gap)", 460),
    ),
    freed_before=("SMP alternatives", 40),
    segments=_segments(
        0x1FFFFFF, (0x2000000, 0x2B8CFFF), (0x2C00000, 0x2E70BFF), (0x3738000, 0x3BFFFFF)
    ),
    auto_online="online",
)
DEBIAN_14: Final = DEBIAN_13._replace(
    release_text="7.2.13+deb14-amd64",
    version_text="#1 SMP PREEMPT_DYNAMIC Debian 7.2.13-1 (2026-10-20)",
    regime=regime_of(KernelRelease(7, 2)),
)


def image_of(release_text: str, **changes: object) -> KernelImage:
    """An image of a release that was not measured: the nearest measured one in another regime.

    `changes` replace fields, for example `hotplug=False`.

    Raises:
        ValueError: no release number in `release_text`.
    """
    release = parse_kernel_release(release_text)
    if release is None:
        raise ValueError(f"{release_text!r} is no kernel release")
    nearest = DEBIAN_13 if release >= KernelRelease(6, 9) else DEBIAN_12
    image = nearest._replace(
        release_text=release_text,
        version_text="#1 SMP",
        regime=regime_of(release),
        auto_online="offline",
        hotplug=release >= KernelRelease(3, 1),
        pressure=release >= KernelRelease(4, 20),
    )
    return image._replace(**changes)  # type: ignore[arg-type]
