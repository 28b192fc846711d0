# SPDX-License-Identifier: GPL-2.0-or-later
"""This host as the commands of dom0 see it: its xenstore, its xl, and who balances it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from types import TracebackType
from typing import NoReturn

from agent import exit_codes
from agent.cli.command_error import CommandError
from agent.cli.which_domain import WhichDomain
from agent.core.host.guests import Guest, Host, Hypervisor, selected
from agent.sources.host_guests import read_guest, read_guests
from agent.sources.system_root import SystemRoot
from agent.sources.xenstore.errors import DeviceDenied, XenstoreError
from agent.sources.xenstore.pyxs_client import StoreClient
from agent.sources.xenstore.transport import DEVICES
from agent.xl import Listed, Xl, XlError, find_xl

SOCKETS = ("run/xenstored/socket", "var/run/xenstored/socket")


class ThisHost:
    """A host, looked at from its dom0.

    Raises:
        CommandError: this is no dom0, or its xenstore may not be asked.
    """

    def __init__(self, which: WhichDomain) -> None:
        if which.sim is not None or which.stands_still:
            raise CommandError(
                "guests and mem-set are about a host: the one this is the dom0 of, or a published "
                "one (python3 -m sim_backend.published.host DIR).",
                exit_codes.USAGE,
            )
        self.root = SystemRoot(which.root or "/")
        if (self.root.read("proc/xen/capabilities").value or "").strip() != "control_d":
            raise CommandError(
                "This is not the dom0 of a Xen host, which guests and mem-set are for. "
                "In a guest: balloon-agent status.",
                exit_codes.NOT_XEN,
            )
        self.xl: Xl | None = find_xl(self.root.path)
        self._store = StoreClient(which.xenstore or self._path(), timeout_s=5.0)
        try:
            self._store.connect()
        except XenstoreError as error:
            self._fail(error)

    def __enter__(self) -> ThisHost:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._store.close()

    def look(self, words: tuple[str, ...] = ()) -> Host:
        """All guests, or those of these names and numbers.

        Raises:
            CommandError: there is none of a name, or xenstore does not answer.
        """
        try:
            guests = read_guests(self._store)
        except XenstoreError as error:
            self._fail(error)
        hypervisor = Hypervisor()
        if self.xl is not None:
            with contextlib.suppress(XlError):  # what xenstore says stands without it
                listed = self.xl.domains()
                guests = tuple(_with(guest, listed) for guest in guests)
                dom0 = listed.get(0)
                hypervisor = self.xl.hypervisor()._replace(dom0_kib=dom0.has_kib if dom0 else None)
        found, unknown = selected(guests, words)
        if unknown:
            names = ", ".join(guest.name or str(guest.domid) for guest in guests[:20])
            raise CommandError(
                f"There is no guest {unknown[0]!r}. There are: {names or 'none'}.", exit_codes.USAGE
            )
        return Host(hypervisor, found)

    def look_at(self, domid: int) -> Guest | None:
        """One guest, afresh and of one moment; None where it is gone.

        Raises:
            CommandError: xenstore does not answer.
        """
        try:
            guest = read_guest(self._store, domid)
        except XenstoreError as error:
            self._fail(error)
        if guest is None or self.xl is None:
            return guest
        try:
            listed = self.xl.domains()
        except XlError:
            return guest
        return _with(guest, listed) if domid in listed else None

    def balancer(self) -> str | None:
        """Which toolstack sets the targets here by itself: xapi, qubes or none."""
        if self.root.read("etc/xensource-inventory").status != "absent":
            return "xapi"
        return "qubes" if self.root.read("etc/qubes-release").status != "absent" else None

    def _path(self) -> str:
        """Where dom0 speaks xenstore: xenstored's socket, or the kernel's device."""
        named = os.environ.get("XENSTORED_PATH")
        places = [self.root.absolute(socket) for socket in SOCKETS]
        found = [path for path in (named, *places, *DEVICES) if path and os.path.exists(path)]
        if not found:
            raise CommandError(
                f"xenstored is not there: none of {', '.join(places)}. Is it running?",
                exit_codes.NOT_XEN,
            )
        return found[0]

    def _fail(self, error: XenstoreError) -> NoReturn:
        if isinstance(error, DeviceDenied):
            raise CommandError(
                f"{error.path} may not be opened by this user; run this as root.",
                exit_codes.NO_PERMISSION,
            ) from error
        raise CommandError(f"xenstore cannot be asked: {error}.", exit_codes.NOT_XEN) from error


def _with(guest: Guest, listed: Mapping[int, Listed]) -> Guest:
    """The guest with what the hypervisor knows of it."""
    found = listed.get(guest.domid)
    return guest if found is None else guest._replace(has_kib=found.has_kib, life=found.life)


def now_utc() -> str:
    """The time, ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
