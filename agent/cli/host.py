# SPDX-License-Identifier: GPL-2.0-or-later
"""This host as the commands of dom0 see it: its xenstore, its xl, and who balances it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NoReturn

from agent import exit_codes
from agent.cli.endings import CommandError
from agent.cli.which_domain import WhichDomain
from agent.core.host.guests import Guest, Host, Hypervisor, listing, selected
from agent.sources.host_guests import read_guest, read_guests, read_names
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

    def __init__(self, which: WhichDomain, timeout_s: float = 5.0) -> None:
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
        self._store = StoreClient(which.xenstore or self._path(), timeout_s=timeout_s)
        with _asking_xenstore():
            self._store.connect()

    def __enter__(self) -> ThisHost:
        return self

    def __exit__(self, *_raised: object) -> None:
        self._store.close()

    def names(self) -> list[str]:
        """The name of every guest that has one.

        Raises:
            CommandError: xenstore does not answer.
        """
        with _asking_xenstore():
            return read_names(self._store)

    def look(
        self, words: tuple[str, ...] = (), *, patterns: bool = False, may_be_missing: bool = False
    ) -> Host:
        """All guests, or those of these names and numbers.

        Args:
            words: names and numbers; all guests without any.
            patterns: a word may be a pattern, too.
            may_be_missing: a word that fits no guest is told in what is returned.

        Raises:
            CommandError: there is none of a name, or xenstore does not answer.
        """
        with _asking_xenstore():
            guests = read_guests(self._store)
        hypervisor, problem = Hypervisor(), None
        try:
            listed = self.xl_there().domains()
            guests = with_listed(guests, listed)
            dom0 = listed.get(0)
            hypervisor = Hypervisor(dom0_kib=dom0.has_kib if dom0 else None)
            hypervisor = self.xl_there().hypervisor()._replace(dom0_kib=hypervisor.dom0_kib)
        except XlError as error:  # what xenstore says stands without it
            problem = str(error)
        found, unknown = selected(guests, words, patterns=patterns)
        if unknown and not may_be_missing:
            _fail_unknown(unknown[0], guests)
        return Host(hypervisor, found, problem, tuple(unknown))

    def look_at(self, domid: int) -> Guest | None:
        """One guest, afresh and of one moment; None where it is gone.

        Raises:
            CommandError: xenstore does not answer.
        """
        with _asking_xenstore():
            guest = read_guest(self._store, domid)
        if guest is None or self.xl is None:
            return guest
        try:
            listed = self.xl.domains()
        except XlError:
            return guest
        return _with(guest, listed) if domid in listed else None

    def xl_there(self) -> Xl:
        """xl; raises XlError where there is none."""
        if self.xl is None:
            raise XlError("xl is not on this host")
        return self.xl

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


@contextlib.contextmanager
def _asking_xenstore() -> Iterator[None]:
    """Raises CommandError where it does not answer."""
    try:
        yield
    except DeviceDenied as error:
        raise CommandError(
            f"{error.path} may not be opened by this user; run this as root.",
            exit_codes.NO_PERMISSION,
        ) from error
    except XenstoreError as error:
        raise CommandError(f"xenstore cannot be asked: {error}.", exit_codes.NOT_XEN) from error


def with_listed(guests: Iterable[Guest], listed: Mapping[int, Listed]) -> tuple[Guest, ...]:
    """The guests with what the hypervisor knows of them, and those that it alone still knows.

    A domain that dies while others hold its pages has no part of xenstore any more.
    """
    known = {domid: Guest(domid) for domid in listed if domid != 0}
    known |= {guest.domid: guest for guest in guests}
    return tuple(_with(guest, listed) for _, guest in sorted(known.items()))


def _with(guest: Guest, listed: Mapping[int, Listed]) -> Guest:
    found = listed.get(guest.domid)
    return guest if found is None else guest._replace(has_kib=found.has_kib, life=found.life)


def _fail_unknown(word: str, guests: Sequence[Guest]) -> NoReturn:
    if word in ("0", "Domain-0"):
        raise CommandError(
            "Domain-0 is this host's dom0 and none of its guests; "
            "balloon-agent status shows its memory.",
            exit_codes.USAGE,
        )
    names = [guest.name or str(guest.domid) for guest in guests]
    there = f"There are: {listing(names, 20)}." if names else "There is none at all."
    raise CommandError(f"There is no guest {word!r}. {there}", exit_codes.USAGE)


def now_utc() -> str:
    """The time, ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
