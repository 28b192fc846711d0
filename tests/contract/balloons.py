# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest's balloon driver as tests of the contract see it: its files, and the host's wish.

`RealBalloon` is the one of the kernel around us; see balloons_simulated.py for the others.
"""

from __future__ import annotations

import contextlib
import time
from typing import Final, Protocol

from agent.sources.system_root import SystemRoot
from tests.support.xenstored.hand import AskedDom0, DeviceClient
from tests.support.xenstored.raw_client import RawClient, RawError

FOLDER: Final = "sys/devices/system/xen_memory/xen_memory0"
KEY: Final = "memory/target"
_POLL_S: Final = 0.05
_MOVES_WITHIN_S: Final = 90.0


class Balloon(Protocol):
    """A PV or PVH guest of 512 MiB of at most 1 GiB."""

    def read(self, name: str) -> str:
        """A file of the driver's as it reads."""
        ...

    def write(self, name: str, text: str) -> None:
        """Write a file of the driver's, as root of the guest."""
        ...

    def host_writes(self, text: str | None) -> None:
        """Let dom0 write memory/target, or remove it; the kernel has heard of it then."""
        ...

    def host_wish(self) -> str:
        """What memory/target says."""
        ...

    def settle(self) -> None:
        """Let the balloon move until it is at its target."""
        ...

    def close(self) -> None: ...


class RealBalloon:
    """The driver of this guest's kernel."""

    def __init__(self, device: str) -> None:
        self._root = SystemRoot("/")
        self._dom0 = AskedDom0(DeviceClient(device))
        self._guest = DeviceClient(device)
        self._base = f"/local/domain/{self._guest.read('domid').decode()}"
        self._wish = self.host_wish()
        self.settle()

    def read(self, name: str) -> str:
        return self._root.read(f"{FOLDER}/{name}").value or ""

    def write(self, name: str, text: str) -> None:
        self._root.write(f"{FOLDER}/{name}", text)

    def host_writes(self, text: str | None) -> None:
        write_target(self._dom0, self._base, text)
        # The kernel's own watches are served by the thread that serves ours, in order.
        self._guest.events_so_far()

    def host_wish(self) -> str:
        return self._guest.read(KEY).decode()

    def settle(self) -> None:
        end_s = time.monotonic() + _MOVES_WITHIN_S
        while self.read("info/current_kb") != self.read("target_kb"):
            assert time.monotonic() < end_s, "the balloon does not come to its target"
            time.sleep(_POLL_S)

    def close(self) -> None:
        """Leave the balloon as it was."""
        self.host_writes(self._wish)
        self.settle()
        self._guest.close()
        self._dom0.close()


def write_target(dom0: RawClient, base: str, text: str | None) -> None:
    """Write or remove a domain's memory/target as dom0."""
    if text is not None:
        dom0.write(f"{base}/{KEY}", text)
        return
    with contextlib.suppress(RawError):
        dom0.remove(f"{base}/{KEY}")
