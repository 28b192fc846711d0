# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated domain as the agent and the publication meet it.

`SimulatedDomain` implements the seam `agent.sources.domain.Domain`.  For publishing it outside
the process it also shows its kernel files (`files`), takes what is written to them (`write_file`),
and shares its part of xenstore (`store`).
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.core.facts.snapshot import Snapshot
from agent.core.facts.units import PAGE_KIB
from agent.sources.domain import ActRefusedError
from sim_backend.guest import files as kernel_files
from sim_backend.guest.machine import Machine
from sim_backend.guest.readings import snapshot_of


class SimulatedDomain(Machine):
    """One guest.  Toolstacks make it; see `sim_backend.host.libxl`."""

    _host_changes_seen = 0
    _events_told = 0

    # -- the seam -----------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Everything as the agent would read it now; what it shows is no news afterwards."""
        self._host_changes_seen = self.host_changes
        return snapshot_of(self)

    def set_target_kib(self, target_kib: int) -> None:
        """Write target_kb, as the agent does.

        Raises:
            ActRefusedError: the domain refuses (`write_refusal`), is gone, or has no driver.
        """
        refusal = self.write_refusal or (None if self.alive else "the domain is gone")
        if refusal is None and not self.config.image.balloon:
            refusal = "there is no balloon driver"
        if refusal is not None:
            self.refused_writes += 1
            raise ActRefusedError(refusal)
        self.target_writes.append((self.clock.now_s, target_kib))
        self.tell("guest-target", f"target_kb set to {target_kib} KiB in the guest")
        self.driver.set_target_pages(target_kib // PAGE_KIB)

    def online_block(self, block: int) -> None:
        """Put an offline block online.

        Raises:
            ActRefusedError: there is no such block.
        """
        try:
            self.bring_online(block)
        except KeyError:
            raise ActRefusedError(f"there is no memory block {block}") from None

    def wait_for_host(self, timeout_s: float) -> bool:
        """Let virtual time pass until memory/target may have changed, at most `timeout_s`."""
        if self.host_changes == self._host_changes_seen:
            self.clock.run_until(
                self.clock.now_s + timeout_s,
                stop=lambda: self.host_changes != self._host_changes_seen,
            )
        changed = self.host_changes != self._host_changes_seen
        self._host_changes_seen = self.host_changes
        return changed

    def now_s(self) -> float:
        """The virtual clock."""
        return self.clock.now_s

    def close(self) -> None:
        """Nothing to give up."""

    # -- for publishing -----------------------------------------------------------------------

    def files(self) -> Mapping[str, str]:
        """The kernel's files, by path relative to the root, as root would read them."""
        return kernel_files.render(self)

    def write_file(self, path: str, text: str) -> None:
        """Somebody writes a kernel file.

        Raises:
            OSError: with the errno the kernel would give.
        """
        kernel_files.write(self, path, text)

    def advance_to(self, time_s: float) -> bool:
        """Let virtual time pass up to `time_s`; whether anything happened since it was last told.

        Somebody else who has the clock may have let it run meanwhile.
        """
        self.clock.run_until(time_s)
        told, self._events_told = self._events_told, self.clock.events_run
        return self._events_told != told

    def next_event_s(self) -> float | None:
        """When something will happen next; None when nothing is planned."""
        return self.clock.next_event_s()
