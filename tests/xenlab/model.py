# SPDX-License-Identifier: GPL-2.0-or-later
"""What a scenario is: a guest, and cases in the order in which they build on each other.

Scenarios are data, so that the host can list them and name each case before anything has booted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

from tests.xenlab.hosts import MAIN

if TYPE_CHECKING:
    from tests.xenlab.dom0.scene import Scene

Kind = Literal["pv", "pvh", "hvm", "dom0"]


class GuestSpec(NamedTuple):
    """How to make a guest."""

    kind: Kind
    memory_mib: int = 512
    maxmem_mib: int = 1024
    kernel: str = "bookworm"
    """The Debian suite of its kernel."""
    user_space: str | None = None
    """The Debian suite of its root file system; None: that of its host."""
    systemd: bool = False
    debs: bool = False
    """The agent is not installed; its Debian packages lie in /lab/debs, with another user space
    the one that has its libraries inside."""
    command_line: tuple[str, ...] = ()
    """Words to add to the kernel's command line."""
    config: tuple[str, ...] = ()
    """Lines to add to the configuration of the guest."""
    vcpus: int = 1
    beside_kib: int = 0
    """Pages that Xen counts as the domain's and its kernel does not: firmware, video memory."""
    tests: bool = False
    """It carries pytest and tests/contract, to run them itself."""


class Case(NamedTuple):
    """One thing that is done and what is verified after it."""

    name: str
    verifies: str
    """A clause for the table of results: what holds when the case passes."""
    act: Callable[[Scene], None]
    """Does it and judges; raises AssertionError with what was wrong."""


class Scenario(NamedTuple):
    """Cases that follow each other on one domain."""

    name: str
    summary: str
    guest: GuestSpec
    cases: tuple[Case, ...]
    beside: tuple[GuestSpec, ...] = ()
    """Guests that its cases start beside that one."""
    quick: bool = False
    """Part of the subset that every change is tested with."""
    host: str = MAIN
    """Which of `hosts.HOSTS` it is played on."""
    ruins_machine: bool = False
    """Nothing can be played after it on the same machine, so it comes last."""

    @property
    def guests(self) -> tuple[GuestSpec, ...]:
        """All that it wants kernels and packages for."""
        return (self.guest, *self.beside)
