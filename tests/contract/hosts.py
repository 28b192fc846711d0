# SPDX-License-Identifier: GPL-2.0-or-later
"""A host with one guest, as the tests of the contract see it: a client on either side.

`HostOfItsOwn` has a xenstored for one test, simulated or Debian's. `RealHost` is what the guest
around us runs on: its own client speaks over the kernel's device, and a program in dom0 lends a
hand (tests/support/xenstored/hand.py).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final, Protocol

import pytest

from tests.support.xenstored.hand import AskedDom0, DeviceClient
from tests.support.xenstored.libxl_tree import GuestConfig, write_guest
from tests.support.xenstored.raw_client import RawClient, RawError

DOMID: Final = 5
TARGET_KIB: Final = 524288
_WRITTEN_BY_TESTS: Final = ("data", "attr", "drivers", "feature", "error")
_NEW_BELOW_MEMORY: Final = ("nothing", "uncooperative")
_LEFT_BY_TESTS: Final = ("/shared", "/x", "/v", "/local/domain/0/x")


class GuestHandle(Protocol):
    """A domain: a socket and a terminal that speak as it."""

    path: str
    pty_path: str


class Xenstore(Protocol):
    """Whichever daemon it is."""

    path: str

    def connect(self) -> RawClient: ...

    def introduce(self, domid: int) -> GuestHandle: ...


class Host(Protocol):
    """A host and its guest of 512 MiB of at most 1 GiB, made by libxl."""

    domid: int
    base: str
    dom0: RawClient
    guest: RawClient
    guest_domain: GuestHandle

    @property
    def xenstore(self) -> Xenstore: ...

    def close(self) -> None: ...


class HostOfItsOwn:
    """A daemon with one guest that libxl made, and a client on either side of it."""

    def __init__(self, xenstore: Xenstore) -> None:
        self.xenstore = xenstore
        self.domid = DOMID
        self.dom0 = xenstore.connect()
        self.guest_domain = xenstore.introduce(DOMID)
        self.base = write_guest(self.dom0, GuestConfig(DOMID))
        self.guest = RawClient(self.guest_domain.path)

    def close(self) -> None:
        self.guest.close()
        self.dom0.close()


class Device:
    """The kernel's device in the place of a socket and of a terminal."""

    def __init__(self, path: str) -> None:
        self.path = self.pty_path = path


class RealHost:
    """The guest that this runs in, and dom0 as far as it lends a hand."""

    def __init__(self, device: str) -> None:
        self.guest_domain: GuestHandle = Device(device)
        self.dom0: RawClient = AskedDom0(DeviceClient(device))
        self.guest: RawClient = DeviceClient(device)
        self.domid = int(self.guest.read("domid"))
        self.base = f"/local/domain/{self.domid}"

    @property
    def xenstore(self) -> Xenstore:
        pytest.fail("this needs a host of its own; mark it so")

    def close(self) -> None:
        """Leave the host as it was."""
        self.guest.close()
        with contextlib.closing(DeviceClient(self.guest_domain.path)) as guest:
            self._tidy(guest)
        self.dom0.close()

    def _tidy(self, guest: RawClient) -> None:
        for key in _WRITTEN_BY_TESTS:
            for child in guest.children(key):
                guest.remove(f"{key}/{child}")
        for path in self._strange():
            with contextlib.suppress(RawError):
                self.dom0.remove(path)
        if guest.read("memory/target") != b"%d" % TARGET_KIB:
            self.dom0.write(f"{self.base}/memory/target", TARGET_KIB)

    def _strange(self) -> Iterator[str]:
        left = (*_LEFT_BY_TESTS, *(f"{self.base}/memory/{name}" for name in _NEW_BELOW_MEMORY))
        for directory in {path.rpartition("/")[0] or "/" for path in left}:
            with contextlib.suppress(RawError):
                names = self.dom0.children(directory)
                yield from (path for path in left if self._is_one_of(names, directory, path))

    @staticmethod
    def _is_one_of(names: list[str], directory: str, path: str) -> bool:
        above, _, name = path.rpartition("/")
        return (above or "/") == directory and name in names
