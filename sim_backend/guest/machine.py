# SPDX-License-Identifier: GPL-2.0-or-later
"""What runs in a simulated domain: kernel, driver and memory of one guest under one clock.

Its files (`files`) and what the agent reads of it (`readings`) are rendered from this; the domain
as others see it, with both, is `domain.SimulatedDomain`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

from agent.core.facts.bounds import unwrapped
from agent.core.facts.kernel_release import KernelRelease
from agent.core.facts.snapshot import Origin, Toolstack
from agent.core.facts.units import PAGE_KIB
from sim_backend.clock import Clock
from sim_backend.guest.blocks import BLOCK_BYTES, BlockTable
from sim_backend.guest.boot import boot
from sim_backend.guest.config import GuestConfig
from sim_backend.guest.crash import crash_boot
from sim_backend.guest.driver import PACES, BalloonDriver
from sim_backend.guest.kernel_text import pages_as_kib
from sim_backend.guest.memory import GuestMemory
from sim_backend.guest.store import DomainStore
from sim_backend.hypervisor import Host, OutOfPodMemoryError, Reservation

HEARS_S: Final = (0.0001, 0.002)
"""From a write in xenstore until the kernel has the new target: an event channel, the xenwatch
thread, one read."""
HEARS_LATE_S: Final = (0.005, 0.06)
"""The same in guests under software emulation, as the lab saw it."""
UNPOPULATED_SINCE: Final = KernelRelease(5, 9)  # drivers/xen/unpopulated-alloc.c
PRESSURE_TRIGGER_SINCE: Final = KernelRelease(5, 2)
SETTLE_LIMIT_S: Final = 300.0
USER_SPACE_AFTER_S: Final = 10.0
CRASH_HEADERS_KIB: Final = 867704


class Happening(NamedTuple):
    """Something worth telling: when, what kind, in words."""

    when_s: float
    kind: str
    text: str


class Machine:
    """One guest as it runs."""

    def __init__(
        self,
        clock: Clock,
        host: Host,
        config: GuestConfig,
        store: DomainStore,
        *,
        domid: int,
        toolstack: Toolstack,
        scenario: str,
    ) -> None:
        self.clock = clock
        self.host = host
        self.config = config
        self.store = store
        self.domid = domid
        self.toolstack: Toolstack = toolstack
        self.origin = Origin("simulation", scenario)
        self.boot = boot(config)
        self.booted_at_s = clock.now_s - USER_SPACE_AFTER_S
        self.alive = self.boot.verdict.boots != "no"
        self.happenings: list[Happening] = []
        self.kernel_said: list[tuple[float, str]] = []
        self.on_happening: Callable[[Happening], None] | None = None
        self.write_refusal: int | None = None  # the errno that writing target_kb ends with
        self.refused_writes = 0
        self.target_writes: list[tuple[float, int]] = []
        self.host_listeners: list[Callable[[], None]] = []
        self.stall_listeners: list[Callable[[], None]] = []
        self.hears_s = HEARS_S
        self._next_watch_s = clock.now_s
        self.reservation: Reservation = host.create(
            domid, self.boot.xen_pages, self.boot.max_pages, self.boot.on_demand_pages
        )
        self._build_kernel()
        store.watch("memory", self._store_changed)
        if not self.alive:
            self.tell("boot-failed", self.boot.verdict.reason)
        else:
            self._store_changed("memory/target")

    @property
    def current_kib(self) -> int:
        return self.driver.current_pages * PAGE_KIB

    @property
    def target_kib(self) -> int:
        """The kernel's target as the agent reads it: below zero where its 64 bits have wrapped."""
        return unwrapped(pages_as_kib(self.driver.target_pages))

    @property
    def uptime_s(self) -> float:
        """Since the kernel started."""
        return self.clock.now_s - self.booted_at_s

    def tell(self, kind: str, text: str) -> None:
        happening = Happening(self.clock.now_s, kind, text)
        self.happenings.append(happening)
        if self.on_happening is not None:
            self.on_happening(happening)

    def settle(self) -> None:
        """Let time pass until the driver rests and every watch has been delivered."""
        until_s = self.clock.now_s + SETTLE_LIMIT_S
        while self.clock.now_s < self._next_watch_s or not self.driver.at_rest:
            due_s = self.clock.next_event_s()
            if due_s is None or due_s > until_s:
                return
            self.clock.step()

    def set_target_pages(self, pages: int) -> None:
        """Somebody in the guest writes a target.

        Raises:
            OSError: the domain refuses (`write_refusal`), is gone, or has no driver.
        """
        refusal = self.write_refusal or (None if self.alive else errno.EIO)
        if refusal is None and not self.config.image.balloon:
            refusal = errno.ENOENT
        if refusal is not None:
            self.refused_writes += 1
            raise OSError(refusal, os.strerror(refusal), "target_kb")
        target_kib = pages_as_kib(pages)
        self.target_writes.append((self.clock.now_s, target_kib))
        self.tell("guest-target", f"target_kb set to {target_kib} KiB in the guest")
        self.driver.set_target_pages(pages)

    def online_block(self, block: int) -> None:
        """Put a block online; nothing if it is.

        Raises:
            OSError: there is no such block.
        """
        pages = self.blocks.online(block)
        if not pages:
            return
        self.tell("online", f"memory block {block} is online")
        self.driver.onlined(pages)
        p2m_end = self.config.image.regime.p2m_end
        if self.config.is_pv and p2m_end and (block + 1) * BLOCK_BYTES > p2m_end:
            self._crash_worker()

    def map_foreign(self, pages: int) -> int:
        """A backend maps so many pages of other domains; how many of them it could.

        Linux 5.9 and later take address space for it (unpopulated-alloc), older kernels balloon
        out pages of their own and leave the target as it is.
        """
        if not self.alive:
            return 0
        if self.config.image.release < UNPOPULATED_SINCE or not self.config.image.hotplug:
            return self.driver.take_for_grants(pages)
        self._foreign_pages += pages
        if self._foreign_pages > self.blocks.scratch_pages:
            self.blocks.add_scratch(self._foreign_pages - self.blocks.scratch_pages)
        return pages

    def change_workload(self, **amounts_kib: int) -> None:
        """The guest's programs want something else (fields of `Workload`)."""
        if not self.alive:
            return
        self.memory.change_workload(**amounts_kib)
        used_pages = (self.memory.used_kib + self.boot.overhead_kib) // PAGE_KIB
        try:
            self.reservation.touch(used_pages)
        except OutOfPodMemoryError as error:
            self.die(str(error))

    def die(self, why: str) -> None:
        """Xen ends the domain."""
        if self.alive:
            self.alive = False
            self.driver.stop()
            self.memory.stop()
            self.tell("killed", why)

    def moved(self, host: Host, domid: int) -> None:
        """Suspended here, resumed there: another host, another domid, every watch fires."""
        before = self.reservation
        pages, limit, on_demand = before.pages, before.max_pages, before.on_demand_pages
        self.host.destroy(self.domid)
        self.host, self.domid = host, domid
        self.reservation = self.driver.xen = host.create(domid, pages, limit, on_demand)
        self.store.write("domid", str(domid))
        self.tell("moved", f"resumed as domain {domid}")
        self.store.fire_all()

    def crash(self, reserved_kib: int) -> None:
        """The kernel crashes into the one that was loaded for that case.

        What Xen has given to the domain stays given.

        Raises:
            ValueError: no kernel can run in that, or the guest does not have so much.
        """
        if not self.alive:
            return
        self.boot = crash_boot(self.boot, reserved_kib, self.memory.managed_kib)
        # kexec-tools tell the new kernel where the old one's headers lie, and it is known by that.
        cmdline = f"{self.config.cmdline} elfcorehdr={CRASH_HEADERS_KIB}K"
        self.config = replace(self.config, cmdline=cmdline)
        self.booted_at_s = self.clock.now_s
        self.kernel_said.clear()
        self.driver.stop()
        self.memory.stop()
        self._build_kernel()
        self.tell("crash", f"the crash kernel runs in {reserved_kib} KiB")
        self._store_changed("memory/target")

    def _build_kernel(self) -> None:
        regime = self.config.image.regime
        self._foreign_pages = 0
        self.memory = GuestMemory(
            self.clock,
            self.boot.mem_total_kib,
            replace(self.config.workload),
            self.config.swap_kib,
            self.tell,
            on_stall=self._stalled if self.config.image.release >= PRESSURE_TRIGGER_SINCE else None,
        )
        self.blocks = BlockTable(
            self.boot.map,
            self.config.image.auto_online,
            regime.first_hot_add,
            self.boot.scratch_pages,
        )
        self.driver = BalloonDriver(
            self.clock,
            regime,
            start=self.boot.driver,
            xen=self.reservation,
            memory=self.memory,
            add_sections=self._hot_add if self.config.image.hotplug else None,
            pace=PACES[self.config.domain_type],
            tell=self.tell,
        )

    def _crash_worker(self) -> None:
        """set_phys_to_machine() has no place for the page: the worker dies, the guest goes on."""
        if not self.driver.stopped:
            self.driver.stop()
            self.kernel_said.append((self.uptime_s, "kernel BUG at arch/x86/xen/p2m.c:545!"))
            self.tell("crash", "the balloon's worker crashed in arch/x86/xen/p2m.c")

    def _hot_add(self, pages: int) -> bool:
        region = self.blocks.add(pages)
        if region is None:
            self.tell("hot-add", "no room for hot-added memory")
            return False
        self.tell("hot-add", f"{pages * PAGE_KIB} KiB added at {region.start:#x}")
        if self.blocks.auto_online.startswith("online"):
            for block in self.blocks.reading().offline:
                self.online_block(block)
        return True

    def _store_changed(self, path: str) -> None:
        """Something below memory/ changed; the kernel hears of it a moment later."""
        if path in ("memory", "memory/target"):
            due_s = self.clock.now_s + self.clock.rng.uniform(*self.hears_s)
            self._next_watch_s = max(self._next_watch_s, due_s)
            self.clock.at(due_s, self._watch_fires)
        for listener in tuple(self.host_listeners):
            listener()

    def _watch_fires(self) -> None:
        if self.alive:
            self.driver.host_wrote_target(
                self.store.read("memory/target"),
                self.store.read("memory/static-max"),
                self.store.read("memory/memory_static_max"),
            )

    def _stalled(self) -> None:
        """Programs wait for memory: the pressure trigger fires."""
        for listener in tuple(self.stall_listeners):
            listener()
