# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated domain as the agent and the publication meet it.

An agent in the same process takes snapshots and sets the target.  For publishing it outside the
process it also shows its kernel files (`files`), takes what is written to them (`write_file`), and
shares its part of xenstore (`store`).
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.core.facts.snapshot import Snapshot
from agent.core.facts.units import PAGE_KIB
from sim_backend.guest import files as kernel_files
from sim_backend.guest.machine import Machine
from sim_backend.guest.readings import snapshot_of


class SimulatedDomain(Machine):
    """One guest.  Toolstacks make it; see `sim_backend.host.libxl`."""

    _events_told = 0

    def snapshot(self) -> Snapshot:
        """Everything as the agent would read it now."""
        return snapshot_of(self)

    def set_target_kib(self, target_kib: int) -> None:
        """Write target_kb, as the agent does.

        Raises:
            OSError: as `set_target_pages`.
        """
        self.set_target_pages(target_kib // PAGE_KIB)

    def now_s(self) -> float:
        return self.clock.now_s

    # -- for publishing -----------------------------------------------------------------------

    def files(self) -> Mapping[str, str]:
        """The kernel's files, by path relative to the root, as root would read them now."""
        return kernel_files.KernelFiles(self)

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
