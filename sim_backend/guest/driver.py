# SPDX-License-Identifier: GPL-2.0-or-later
"""The Xen balloon driver as a model: counters, worker, back-off, hot-add.

What drivers/xen/balloon.c does, per regime: `credit` is target less current; a positive credit is
populated from the balloon 512 pages per hypercall, or, with an empty balloon, from hot-added
sections; a negative one is taken from the guest's allocator.  After each batch the worker looks at
its target anew, so whoever changes it in between waits for one batch at most.  Refusals double the
delay, and newer kernels give up after `max_retry_count` of them and sleep until the credit changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from agent.core.boot.cost import SECTION_PAGES
from agent.core.facts.units import PAGE_KIB
from sim_backend.clock import Clock, Event
from sim_backend.guest.kernel_text import ULONG_MASK, scan_u64
from sim_backend.guest.memory import GuestMemory
from sim_backend.guest.regimes import Regime
from sim_backend.hypervisor import Reservation

BATCH_PAGES: Final = 512  # PAGE_SIZE / sizeof(frame_list[0])
CANCELLED_SLEEP_S: Final = 3600.0
WAIT_POLL_S: Final = 1.0
TIMER_RETRY_S: Final = 1.0
WAKE_S: Final = 0.0001  # from wake_up() until a sleeping thread runs
LEAST_DELAY_S: Final = 0.01  # max_schedule_delay can be set to 0: the kernel then spins

State = Literal["done", "again", "wait", "cancelled"]


@dataclass(frozen=True)
class Pace:
    """Seconds a batch takes; from the timelines of guests under software emulation."""

    populate_s: float
    release_s: float


PACES: Final = {
    "pv": Pace(0.0046, 0.0112),
    "pvh": Pace(0.0164, 0.0250),
    "hvm": Pace(0.0160, 0.0250),
    "dom0-pv": Pace(0.0046, 0.0112),
    "dom0-pvh": Pace(0.0164, 0.0250),
}


@dataclass(frozen=True)
class DriverStart:
    """The driver's counters when it has initialised, in pages."""

    current_pages: int
    low_pages: int
    high_pages: int
    corrects_offset: bool
    lowmem_room_pages: int | None = None  # 32 bits: balloon pages beyond this are high memory
    unit_pages: int = 1  # with balloon_hugepages 512
    is_built: bool = True  # without CONFIG_XEN_BALLOON nobody listens


class BalloonDriver:
    """One guest's balloon driver.

    `add_sections` hot-adds that many pages and says whether it could; None when the kernel is
    built without memory hotplug.
    """

    def __init__(
        self,
        clock: Clock,
        regime: Regime,
        *,
        start: DriverStart,
        xen: Reservation,
        memory: GuestMemory,
        add_sections: Callable[[int], bool] | None,
        pace: Pace,
        tell: Callable[[str, str], None],
    ) -> None:
        self._clock = clock
        self._regime = regime
        self._start = start
        self.xen = xen  # another one when the domain moves
        self._memory = memory
        self._add_sections = add_sections
        self.pace = pace
        self._tell = tell
        self.stopped = False
        self._event: Event | None = None
        self._wake: Event | None = None
        self._busy_until_s = clock.now_s  # the batch in hand is done then
        self.state: State = "done"  # how the worker's last round ended
        self._slept_on_credit = 0
        self._slept_since_s = 0.0
        self._watch_fired = False
        self.current_pages = start.current_pages
        self.target_pages = start.current_pages
        self.low_pages = start.low_pages
        self.high_pages = start.high_pages
        self.total_pages = self.current_pages + self.ballooned_pages
        self.target_unpopulated_pages = 0
        self.target_offset_pages = 0
        self.retry_count = 1
        self.schedule_delay_s = 1
        self.max_schedule_delay_s = 32
        self.max_retry_count = regime.max_retry_count

    @property
    def ballooned_pages(self) -> int:
        return self.low_pages + self.high_pages

    @property
    def credit(self) -> int:
        """Pages still to be populated (positive) or given back (negative)."""
        target = self.target_pages
        if self._regime.without_hotplug == "clamp" and self._add_sections is None:
            target = min(target, self.current_pages + self.ballooned_pages)
        difference = (target - self.current_pages) & ULONG_MASK
        return difference - (1 << 64) if difference >> 63 else difference

    @property
    def at_rest(self) -> bool:
        """Nothing will happen for the time being: settled, waiting for blocks, or given up."""
        if self.state == "wait":
            return not (self.credit > 0 and self.ballooned_pages)
        return self.state == "cancelled" or (self.state == "done" and not self.credit)

    def set_target_pages(self, pages: int) -> None:
        """balloon_set_new_target: any number is taken, modulo 2**64, and cut to whole units."""
        if not self._start.is_built:
            return
        pages &= ULONG_MASK
        self.target_pages = pages - pages % self._start.unit_pages
        self._wake_up()

    def host_wrote_target(
        self, target: str | None, static_max: str | None, xend_static_max: str | None
    ) -> None:
        """The watch on memory/target fired; the arguments are the keys' texts, None if absent."""
        target_kib = scan_u64(target or "")
        if target_kib is None:
            return
        if not self._watch_fired:
            self._watch_fired = True
            self.target_offset_pages = self._offset(static_max, xend_static_max)
        self.set_target_pages(target_kib // PAGE_KIB - self.target_offset_pages)

    def stop(self) -> None:
        self.stopped = True
        for event in (self._event, self._wake):
            if event is not None:
                event.cancel()

    def onlined(self, pages: int) -> None:
        """Hot-added pages came online: they go into the balloon first (xen_online_page)."""
        self._append(pages)
        if self._regime.engine != "thread":
            self._plan(0.0)
        elif self.state == "wait":
            slept_s = self._clock.now_s - self._slept_since_s
            self._plan(WAIT_POLL_S - slept_s % WAIT_POLL_S)

    def take_for_grants(self, pages: int) -> int:
        """A backend balloons pages out to map foreign ones over them; the target stays.

        Returns how many it got.  Without unpopulated-alloc this is why a dom0 shows less current
        memory than its target (drivers/xen/balloon.c, alloc_xenballooned_pages).
        """
        unit = self._start.unit_pages
        idle = self.stopped or not self._start.is_built
        taken = 0 if idle else self._memory.take(-(-pages // unit) * unit, unit)
        self.xen.release(taken)
        self.current_pages -= taken
        self.target_unpopulated_pages += taken
        self._wake_up()
        return taken

    def _offset(self, static_max: str | None, xend_static_max: str | None) -> int:
        if not self._start.corrects_offset:
            return 0
        for text in (static_max, xend_static_max):
            static_max_kib = scan_u64(text or "")
            if static_max_kib is not None:
                return static_max_kib // PAGE_KIB - self.target_pages
        return self.current_pages - self.target_pages

    def _append(self, pages: int) -> None:
        room = self._start.lowmem_room_pages
        low = pages if room is None else max(0, min(pages, room - self.low_pages))
        self.low_pages += low
        self.high_pages += pages - low

    def _retrieve(self, pages: int) -> None:
        """balloon_retrieve: low pages lie in front of the list."""
        low = min(pages, self.low_pages)
        self.low_pages -= low
        self.high_pages -= pages - low

    def _wake_up(self) -> None:
        """Wake the worker; a thread looks at the credit once more before it works.

        balloon_thread_cond: a thread that is not done sleeps on while the credit is what it was.
        So the same target written again wakes nobody, nor do two writes that cancel out before
        the thread runs.
        """
        if self._regime.engine != "thread":
            self._plan(WAKE_S)
        elif self._wake is None or not self._wake.pending:
            self._wake = self._clock.after(WAKE_S, self._woken)

    def _woken(self) -> None:
        asleep_on = 0 if self.state == "done" else self._slept_on_credit
        between_batches = self.state == "done" and self._event is not None and self._event.pending
        if self.credit != asleep_on and not between_batches:
            self._plan(0.0)

    def _plan(self, delay_s: float) -> None:
        if self.stopped:
            return
        if self._event is not None:
            self._event.cancel()
        due_s = max(self._clock.now_s + delay_s, self._busy_until_s)
        self._event = self._clock.at(due_s, self._work)

    def _work(self) -> None:
        """One round of the worker: a batch, which takes its time, or what it does instead."""
        credit, took_s = self.credit, 0.0
        state: State = self.state if self._regime.engine == "thread" else "done"
        if credit > 0:
            took_s = self.pace.populate_s
            state = self._populate(credit) if self.ballooned_pages else self._hot_add()
        elif credit < 0:
            took_s = self.pace.release_s
            state = self._inflate(-credit)
        self._busy_until_s = self._clock.now_s + took_s
        self.state = self._schedule(state)
        self._sleep()

    def _sleep(self) -> None:
        self._slept_on_credit = self.credit
        self._slept_since_s = self._clock.now_s
        if self.state == "done":
            if self.credit:
                self._plan(0.0)
        elif self._regime.engine == "timer":
            self._plan(TIMER_RETRY_S)
        elif self.state == "again":
            self._plan(max(float(self.schedule_delay_s), LEAST_DELAY_S))
        elif self.state == "wait":
            if self.credit > 0 and self.ballooned_pages:  # blocks that come online by themselves
                self._plan(WAIT_POLL_S)
        elif self._regime.engine == "thread" and self.credit:
            self._plan(CANCELLED_SLEEP_S)

    def _schedule(self, state: State) -> State:
        """update_schedule: the back-off state after a round."""
        if state in ("wait", "cancelled"):
            return state
        if state == "done" or self._regime.engine == "timer":
            self.schedule_delay_s = self.retry_count = 1
            return state
        self.retry_count += 1
        if self.max_retry_count and self.retry_count > self.max_retry_count:
            self.schedule_delay_s = self.retry_count = 1
            away_kib = abs(self.credit) * PAGE_KIB
            self._tell("gave-up", f"the driver gives up {away_kib} KiB from its target")
            return "cancelled"
        self.schedule_delay_s = min(self.schedule_delay_s * 2, self.max_schedule_delay_s)
        return "again"

    def _populate(self, credit: int) -> State:
        unit = self._start.unit_pages
        wanted = min(credit, BATCH_PAGES * unit, self.ballooned_pages)
        granted = self.xen.populate(wanted, unit)
        if granted <= 0:
            return "again"
        self._retrieve(granted)
        self.current_pages += granted
        self._memory.give(granted)
        return "done"

    def _inflate(self, wanted: int) -> State:
        allowed = wanted
        if self._regime.asks_available:
            allowed = min(wanted, self._memory.available_kib // PAGE_KIB)
        unit = self._start.unit_pages
        batch = min(allowed, BATCH_PAGES * unit)
        taken = self._memory.take(batch, unit)
        self.xen.release(taken)
        self.current_pages -= taken
        self._append(taken)
        reserve_pages = self._memory.reserve_kib // PAGE_KIB
        if taken < batch or (allowed != wanted and allowed < reserve_pages):
            return "again"
        return "done"

    def _hot_add(self) -> State:
        """reserve_additional_memory, with and without memory hotplug."""
        if self._add_sections is None:
            self.target_pages = self.current_pages + self.target_unpopulated_pages
            self._tell("snapped", "the target falls back to what the guest has")
            return "cancelled"
        needed = self.target_pages + self.target_unpopulated_pages - self.total_pages
        if needed <= 0:
            return "wait"
        pages = -(-needed // SECTION_PAGES) * SECTION_PAGES
        if not self._add_sections(pages):
            return "cancelled"
        self.total_pages += pages
        return "wait"
