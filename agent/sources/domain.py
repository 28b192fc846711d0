# SPDX-License-Identifier: GPL-2.0-or-later
"""The seam: a domain that can be observed and adjusted, whatever stands behind it.

Real files with xenstore, a capture below `--root`, and the simulated domain of `sim_backend`
all implement `Domain`; everything above it cannot tell them apart but by `Snapshot.origin`.
"""

from __future__ import annotations

from typing import Protocol

from agent.core.facts.snapshot import Snapshot


class ActRefusedError(Exception):
    """The kernel did not take what was written; the text says why and what to do."""


class Domain(Protocol):
    """A domain as seen from inside the guest."""

    def snapshot(self) -> Snapshot:
        """Everything that can be read now; never raises for what a domain may lack."""
        ...

    def set_target_kib(self, target_kib: int) -> None:
        """Write the kernel's balloon target, in KiB.

        Raises:
            ActRefusedError: no permission, no driver, a capture.
        """
        ...

    def online_block(self, block: int) -> None:
        """Put an offline memory block online, by its number.

        Raises:
            ActRefusedError: no permission, no such block, the kernel refused.
        """
        ...

    def wait_for_host(self, timeout_s: float) -> bool:
        """Wait until the host may have written `memory/target`; False when the time ran out."""
        ...

    def now_s(self) -> float:
        """A clock that never goes back, in seconds; virtual in a simulation."""
        ...

    def close(self) -> None:
        """Give up the connection, if there is one."""
        ...
