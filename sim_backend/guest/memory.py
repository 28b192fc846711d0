# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's own memory: what a workload and the balloon leave free, cached, swapped, stalled.

The allocator is reduced to its sums.  `managed_kib` (MemTotal) moves with the balloon; the
workload wants anonymous memory and has a hot part of the page cache; the rest of the cache can be
dropped.  What does not fit is swapped, and without swap the guest thrashes until the OOM killer
takes the workload.  Watermarks and MemAvailable are computed as the kernel does
(mm/page_alloc.c __setup_per_zone_wmarks, mm/show_mem.c si_mem_available).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt
from typing import Final

from agent.core.facts.snapshot import MemoryReading, Pressure
from agent.core.facts.units import MIB_KIB, PAGE_KIB
from sim_backend.clock import Clock, Event
from sim_backend.guest.pressure import PressureGauge

# Seen: a guest squeezed below its working set was hardly alive for 20 s before the OOM killer
# came.  A demand that cannot be met at all ends sooner.
STARVED_UNTIL_OOM_S: Final = 20.0
UNMET_UNTIL_OOM_S: Final = 2.0

# A trigger on /proc/pressure/memory fires when so much was lost within the window, and at most
# once in a window (Documentation/accounting/psi.rst).
TRIGGER_STALL_S: Final = 0.2
TRIGGER_WINDOW_S: Final = 2.0


@dataclass
class Workload:
    """What the programs in the guest want, in KiB.

    kernel: slabs, stacks, page tables.  base: the system's own programs.  anon: the workload.
    hot_file: mapped and often used files.  cold_file: cache that nobody misses.
    """

    kernel_kib: int = 10 * MIB_KIB
    base_kib: int = 22 * MIB_KIB
    anon_kib: int = 0
    hot_file_kib: int = 12 * MIB_KIB
    cold_file_kib: int = 22 * MIB_KIB


class GuestMemory:
    """The sums of one guest's allocator, and their history of pressure."""

    def __init__(
        self,
        clock: Clock,
        managed_kib: int,
        workload: Workload,
        swap_kib: int = 0,
        on_event: Callable[[str, str], None] = lambda _kind, _text: None,
        *,
        on_stall: Callable[[], None] | None = None,
    ) -> None:
        self._clock = clock
        self._on_event = on_event
        self.on_stall = on_stall
        self.gauge = PressureGauge(clock.now_s)
        self._oom_event: Event | None = None
        self._oom_after_s = 0.0
        self._trigger: Event | None = None
        self._triggered_s = float("-inf")
        self.managed_kib = managed_kib
        self.workload = workload
        self.swap_kib = swap_kib
        self.swapped_kib = 0
        self.unmet_kib = 0
        self.cold_kept_kib = self.workload.cold_file_kib
        self.oom_kills = 0
        self._settle()

    @property
    def used_kib(self) -> int:
        """What cannot be dropped: kernel, programs and workload, as far as they are in RAM."""
        load = self.workload
        return load.kernel_kib + self._anon_wanted_kib - self.unmet_kib - self.swapped_kib

    @property
    def cached_kib(self) -> int:
        return self._hot_kept_kib + self.cold_kept_kib

    @property
    def free_kib(self) -> int:
        return max(0, self.managed_kib - self.used_kib - self.cached_kib)

    @property
    def min_watermark_kib(self) -> int:
        """Where allocation stalls; min_free_kbytes."""
        return isqrt(max(self.managed_kib, 0) * 16)

    @property
    def reserve_kib(self) -> int:
        """The kernel's totalreserve_pages: high watermark and lowmem_reserve."""
        return self.min_watermark_kib * 3 // 2 + self.managed_kib // 274

    @property
    def available_kib(self) -> int:
        low_kib = self.min_watermark_kib * 5 // 4
        cached_kib = self.cached_kib
        droppable_kib = cached_kib - min(cached_kib // 2, low_kib)
        return max(0, self.free_kib - self.reserve_kib + droppable_kib)

    @property
    def droppable_kib(self) -> int:
        """What the balloon can still take: free pages above the reserve, and cold cache."""
        return max(0, self.free_kib - self.min_watermark_kib) + self.cold_kept_kib

    def change_workload(self, **amounts_kib: int) -> None:
        """The programs want something else; names are those of `Workload`."""
        for name, amount_kib in amounts_kib.items():
            setattr(self.workload, name, max(0, amount_kib))
        if "cold_file_kib" in amounts_kib:
            self.cold_kept_kib = self.workload.cold_file_kib
        self._settle()

    def take(self, pages: int, unit_pages: int = 1) -> int:
        """The balloon takes pages away, unit by unit until there are none; how many it got."""
        taken = min(pages, self.droppable_kib // PAGE_KIB)
        taken -= taken % unit_pages
        if taken > 0:
            self.managed_kib -= taken * PAGE_KIB
            self._settle()
        return max(taken, 0)

    def give(self, pages: int) -> None:
        self.managed_kib += pages * PAGE_KIB
        self._settle()

    def stop(self) -> None:
        """The kernel is no more: neither its OOM killer nor its trigger comes."""
        for event in (self._oom_event, self._trigger):
            if event is not None:
                event.cancel()

    def reading(self) -> MemoryReading:
        """What /proc/meminfo shows."""
        return MemoryReading(
            total_kib=self.managed_kib,
            available_kib=self.available_kib,
            free_kib=self.free_kib,
            cached_kib=self.cached_kib,
            swap_total_kib=self.swap_kib,
            swap_free_kib=self.swap_kib - self.swapped_kib,
            reclaimable_kib=self.cached_kib // 4,
        )

    def pressure(self) -> Pressure:
        """What /proc/pressure/memory shows."""
        return self.gauge.reading(self._clock.now_s)

    @property
    def _anon_wanted_kib(self) -> int:
        return self.workload.base_kib + self.workload.anon_kib

    def _settle(self) -> None:
        """Divide what there is: drop cold cache, swap, drop hot cache, leave demand unmet."""
        load = self.workload
        wanted_kib = load.kernel_kib + self._anon_wanted_kib + load.hot_file_kib
        high_room_kib = self.managed_kib - self.min_watermark_kib * 3 // 2  # kswapd's aim
        self.cold_kept_kib = min(self.cold_kept_kib, max(0, high_room_kib - wanted_kib))
        self.swapped_kib = min(
            max(wanted_kib - high_room_kib, 0), self.swap_kib, self._anon_wanted_kib
        )
        room_kib = self.managed_kib - self.min_watermark_kib
        short_kib = max(0, wanted_kib - self.swapped_kib - room_kib)
        self._hot_kept_kib = max(0, load.hot_file_kib - short_kib)
        self.unmet_kib = min(max(0, short_kib - load.hot_file_kib), self._anon_wanted_kib)
        self._feel_pressure()

    def _feel_pressure(self) -> None:
        load = self.workload
        thrash = 1.0 - self._hot_kept_kib / load.hot_file_kib if load.hot_file_kib else 0.0
        swapping = self.swapped_kib / max(self._anon_wanted_kib, 1)
        comfort_kib = self.reserve_kib
        spare_kib = max(0, self.free_kib - self.min_watermark_kib + self.cold_kept_kib)
        reclaiming = 0.6 * (1.0 - spare_kib / comfort_kib) if spare_kib < comfort_kib else 0.0
        share = 0.95 if self.unmet_kib else max(0.9 * thrash, min(0.9, swapping), reclaiming)
        if share != self.gauge.share:
            self.gauge.set_share(share, self._clock.now_s)
            self._set_trigger(share)
        self._check_killer(share)

    def _set_trigger(self, share: float) -> None:
        """Tell whoever waits for a stall, once it has lasted long enough."""
        if self._trigger is not None:
            self._trigger.cancel()
        if self.on_stall is None or share * TRIGGER_WINDOW_S < TRIGGER_STALL_S:
            return
        due_s = self._clock.now_s + TRIGGER_STALL_S / share
        next_window_s = self._triggered_s + TRIGGER_WINDOW_S
        self._trigger = self._clock.at(max(due_s, next_window_s), self._stalled)

    def _stalled(self) -> None:
        self._triggered_s = self._clock.now_s
        self._set_trigger(self.gauge.share)
        if self.on_stall is not None:
            self.on_stall()

    def _check_killer(self, share: float) -> None:
        """Plan the OOM killer's visit, or call it off."""
        if self.unmet_kib:
            after_s = UNMET_UNTIL_OOM_S
        elif share >= 0.55 and not self.swapped_kib and self.workload.anon_kib:
            after_s = STARVED_UNTIL_OOM_S
        else:
            after_s = 0.0
        if self._oom_event is not None:
            if after_s == self._oom_after_s:
                return
            self._oom_event.cancel()
        self._oom_after_s = after_s
        self._oom_event = self._clock.after(after_s, self._kill) if after_s else None

    def _kill(self) -> None:
        """The OOM killer takes the workload, or, if there is none, nothing it can find."""
        freed_kib = self.workload.anon_kib
        self._oom_event = None
        if not freed_kib:
            return
        self.workload.anon_kib = 0
        self.oom_kills += 1
        self._on_event("oom-kill", f"the OOM killer took the workload, {freed_kib} KiB")
        self._settle()
