# SPDX-License-Identifier: GPL-2.0-or-later
"""How far the host can still raise this guest, and how far the guest can sink without harm.

Relies on docs/design.md A17 and A23.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from agent.core.account.driver import may_hot_add
from agent.core.account.target_offset import TargetOffset
from agent.core.facts.snapshot import BalloonReading, HostMemoryKeys, MemoryReading, Snapshot
from agent.core.facts.units import MIB_KIB

# What Hyper-V's driver never gives away is the least of these: a base in MiB, and a share of the
# guest's size; drivers/hv/hv_balloon.c, compute_balloon_floor.
_FLOORS: Final = ((8, 2), (40, 4), (104, 8), (232, 16), (488, 32))

# Kept free above what is in use now, so that a guest at its floor can still breathe.
_SPARE_SHARE: Final = 20  # one twentieth of MemTotal
_SPARE_LEAST_KIB: Final = 16 * MIB_KIB

_USUAL_PV_KIB: Final = (-MIB_KIB, MIB_KIB)
_USUAL_KIB: Final = (-4 * MIB_KIB, 32 * MIB_KIB)
_SHIM_KIB: Final = 23 * MIB_KIB
_SHIM_SHARE: Final = 90


class Headroom(NamedTuple):
    """KiB; None where it cannot be told.

    Attributes:
        up_kib: what the host may still add before memory/static-max, or XAPI before its own limit.
        down_kib: what can be taken before the guest is below `floor_kib`.
        floor_kib: the smallest current_kb that serves what the guest uses now.
        reach_kib: what of `up_kib` this kernel can take: without hot-adding, what it has ballooned.
    """

    up_kib: int | None
    down_kib: int | None
    floor_kib: int | None
    reach_kib: int | None = None


def headroom(snapshot: Snapshot, offset: TargetOffset | None) -> Headroom:
    """Both ways, from the limits and from what is in use."""
    balloon = snapshot.balloon
    if balloon is None or balloon.current_kib is None:
        return Headroom(None, None, None)
    memory = snapshot.memory
    floor_kib = None if memory is None else needed_kib(balloon.current_kib, memory)
    down_kib = None if floor_kib is None else balloon.current_kib - floor_kib
    up_kib, held_kib = _up_kib(snapshot, balloon, offset), balloon.ballooned_kib
    reach_kib = up_kib
    if up_kib is not None and held_kib is not None and not may_hot_add(snapshot):
        reach_kib = min(up_kib, held_kib)
    return Headroom(up_kib, down_kib, floor_kib, reach_kib)


def needed_kib(current_kib: int, memory: MemoryReading) -> int:
    """The floor: what is in use now and a little air, and never below the size's own minimum."""
    in_use_kib = current_kib - memory.available_kib
    return min(current_kib, max(in_use_kib + air_kib(memory), least_kib(current_kib)))


def air_kib(memory: MemoryReading) -> int:
    """What is to stay free above what is in use."""
    return max(_SPARE_LEAST_KIB, memory.total_kib // _SPARE_SHARE)


def least_kib(current_kib: int) -> int:
    """The size below which a guest of that size should never be squeezed, whatever it uses."""
    size_mib = current_kib // MIB_KIB
    return min(base_mib + size_mib // share for base_mib, share in _FLOORS) * MIB_KIB


def _up_kib(snapshot: Snapshot, balloon: BalloonReading, offset: TargetOffset | None) -> int | None:
    """Up to the host's limit on the kernel's scale; without xenstore, what the balloon holds.

    For a dom0 started without a limit the toolstack writes a static-max of many TiB
    (libxl_mem.c, libxl__fill_dom0_memory_info): that is no limit.
    """
    most_kib, current_kib = limit_kib(snapshot), balloon.current_kib or 0
    if most_kib is None:
        return balloon.ballooned_kib
    if offset is None:
        held_kib = balloon.ballooned_kib
        return None if held_kib is None else min(held_kib, max(0, most_kib - current_kib))
    most_kib = min(most_kib, squeezed_limit_kib(snapshot.host, snapshot.domain.is_pv) or most_kib)
    return max(0, most_kib - offset.kib - current_kib)


def squeezed_limit_kib(host: HostMemoryKeys, is_pv: bool) -> int | None:
    """What squeezed gives a guest at most, as memory/target counts; None where it has no say.

    It never raises a target beyond dynamic-max, and the limit that it sets in Xen is the target
    and memory-offset.  That offset is small, unless it was taken while the balloon still moved:
    then a guest that was to grow lacks so much for as long as it runs (squeeze_xen.ml,
    set_maxmem_noexn; xen-api e2ee48d6883e).
    """
    if host.dynamic_max_kib is None:
        return None
    spoilt_kib = spoilt_offset_kib(host, is_pv) or 0
    return host.dynamic_max_kib + min(0, spoilt_kib)


def spoilt_offset_kib(host: HostMemoryKeys, is_pv: bool) -> int | None:
    """Squeezed's memory-offset where it cannot be what a guest at rest has beyond its target.

    That is nothing for PV, and for the others what firmware and video memory take less what the
    kernel subtracts; seen of the real squeezed: 0, -64 and -388 KiB (tests/recordings).  A PV guest
    in a PVH shim has the shim's own memory beyond its target.
    """
    offset_kib = host.memory_offset_kib
    if offset_kib is None:
        return None
    least_kib, most_kib = _USUAL_PV_KIB if is_pv else _USUAL_KIB
    if least_kib <= offset_kib <= most_kib or (is_pv and _is_of_a_shim(host, offset_kib)):
        return None
    return offset_kib


def _is_of_a_shim(host: HostMemoryKeys, offset_kib: int) -> bool:
    """23 MiB and a 90th of static-max, as xenopsd reckons it (memory.ml, pv-in-pvh)."""
    if host.static_max_kib is None:
        return False
    return abs(offset_kib - _SHIM_KIB - host.static_max_kib // _SHIM_SHARE) <= MIB_KIB


def limit_kib(snapshot: Snapshot) -> int | None:
    """memory/static-max where it is a limit; None where it is absent, or no limit for dom0.

    A qube with memory hotplug has memory/hotplug-max, and static-max moves with each target
    (qmemman, mem_set).
    """
    if snapshot.host.hotplug_max_kib is not None:
        return snapshot.host.hotplug_max_kib
    static_max_kib = snapshot.host.static_max_kib
    map_kib = snapshot.firmware_map.ram_kib if snapshot.firmware_map else 0
    if static_max_kib is None or (snapshot.domain.is_dom0 and static_max_kib > 2 * map_kib):
        return None
    return static_max_kib
