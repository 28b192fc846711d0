# SPDX-License-Identifier: GPL-2.0-or-later
"""The simulated balloon drivers: the model in process, and published as files and a xenstore."""

from __future__ import annotations

from sim_backend.guest.domain import SimulatedDomain
from sim_backend.host.libxl import simple_guest
from tests.contract.balloons import FOLDER, KEY, Balloon, write_target
from tests.contract.publishing import Published
from tests.sim_backend.guests import LAB
from tests.support.xenstored.raw_client import RawClient


def make(driver: str, guest: str, folder: str) -> Balloon:
    """A settled guest of the lab; `driver` is "simulated" or "published"."""
    if driver == "published":
        return PublishedBalloon(Published(guest, folder))
    return SimulatedBalloon(simple_guest(LAB[guest])[1])


class SimulatedBalloon:
    """The model, in process."""

    def __init__(self, domain: SimulatedDomain) -> None:
        self._domain = domain

    def read(self, name: str) -> str:
        return self._domain.files()[f"{FOLDER}/{name}"]

    def write(self, name: str, text: str) -> None:
        self._domain.write_file(f"{FOLDER}/{name}", text)

    def host_writes(self, text: str | None) -> None:
        if text is None:
            self._domain.store.remove(KEY)
        else:
            self._domain.store.write(KEY, text)
        self._domain.clock.run_until(self._domain.clock.now_s + 0.1)

    def host_wish(self) -> str:
        return self._domain.store.read(KEY) or ""

    def settle(self) -> None:
        self._domain.settle()

    def close(self) -> None:
        """Nothing is open."""


class PublishedBalloon(SimulatedBalloon):
    """The model behind real files and a real socket; its clock moves only while it settles."""

    def __init__(self, published: Published) -> None:
        super().__init__(published.domain)
        self._published = published
        self._root = published.root
        self._base = f"/local/domain/{self._domain.domid}"

    def read(self, name: str) -> str:
        self._published.published.step(0)
        return self._published.do(lambda: self._root.read(f"{FOLDER}/{name}").value) or ""

    def write(self, name: str, text: str) -> None:
        done = len(self._domain.target_writes)
        self._published.do(lambda: self._root.write(f"{FOLDER}/{name}", text))
        self._published.until(lambda: len(self._domain.target_writes) > done)

    def host_writes(self, text: str | None) -> None:
        self._published.do(lambda: self._as_dom0(text))
        self._domain.clock.run_until(self._domain.clock.now_s + 0.1)

    def close(self) -> None:
        self._published.close()

    def _as_dom0(self, text: str | None) -> None:
        with RawClient(self._published.published.dom0_path) as dom0:
            write_target(dom0, self._base, text)
