# SPDX-License-Identifier: GPL-2.0-or-later
"""What can go wrong between the agent and xenstore, as types a caller can tell apart.

    XenstoreError
    |- XenstoreLost            no session: closed, timed out or malformed traffic; connect() again
    |  `- XenstoreUnreachable  connect() itself failed, with the path it tried
    |     |- DeviceMissing     nothing there: not a Xen guest, or xenfs is not mounted
    |     `- DeviceDenied      there, but only root may open it
    `- XenstoreRefused         xenstored answered with an error; the session goes on
       |- KeyAbsent            ENOENT
       |- KeyDenied            EACCES, EPERM, EROFS
       |- QuotaExceeded        EQUOTA, ENOSPC, E2BIG, EDQUOT
       `- StoreBusy            EAGAIN, EBUSY, ENOMEM

This module loads no client, so that whoever handles an error need not either.
"""

from __future__ import annotations

from agent.sources.outcome import ABSENT, DENIED, malformed


class XenstoreError(Exception):
    """Anything that kept a xenstore request from being answered."""

    @property
    def status(self) -> str:
        """The word for it in `sources`."""
        return malformed(self)


class XenstoreLost(XenstoreError):  # noqa: N818 - names the state the session is in
    """There is no session (any more); every watch is gone; `connect()` may be tried again."""


class XenstoreUnreachable(XenstoreLost):
    """`connect()` failed.

    Attributes:
        path: the socket or device that was tried.
        reason: what the system said about it.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class DeviceMissing(XenstoreUnreachable):
    """No such socket or device, or no driver behind it."""

    status = ABSENT


class DeviceDenied(XenstoreUnreachable):
    """The socket or device is there, but this user may not open it."""

    status = DENIED


class XenstoreRefused(XenstoreError):  # noqa: N818 - reads as the outcome it is
    """xenstored said no to one request.

    Attributes:
        errno_name: its word for it, such as "EINVAL"; "EUNKNOWN" when that was not a name.
        request: what was asked, such as "write data/balloon/state".
    """

    def __init__(self, errno_name: str, request: str) -> None:
        super().__init__(f"{request}: refused with {errno_name}")
        self.errno_name = errno_name
        self.request = request


class KeyAbsent(XenstoreRefused):
    """There is no such key."""

    status = ABSENT


class KeyDenied(XenstoreRefused):
    """The key's permissions do not let this domain do that."""

    status = DENIED


class QuotaExceeded(XenstoreRefused):
    """A limit: nodes, watches, or the size of a value, of a directory or of an answer."""


class StoreBusy(XenstoreRefused):
    """Not now; the same request may succeed later."""


_REFUSALS: dict[str, type[XenstoreRefused]] = {
    "ENOENT": KeyAbsent,
    "EACCES": KeyDenied,
    "EPERM": KeyDenied,
    "EROFS": KeyDenied,
    "EQUOTA": QuotaExceeded,  # oxenstored's own word, no errno of that name exists
    "EDQUOT": QuotaExceeded,
    "ENOSPC": QuotaExceeded,
    "E2BIG": QuotaExceeded,
    "EAGAIN": StoreBusy,
    "EBUSY": StoreBusy,
    "ENOMEM": StoreBusy,
}
_LONGEST_NAME = 16


def refusal(name: bytes, request: str) -> XenstoreRefused:
    """The error for an answer of xenstored, whose `name` is not trusted to be one."""
    plausible = len(name) <= _LONGEST_NAME and name.isalnum() and name.startswith(b"E")
    errno_name = name.decode("ascii") if plausible else "EUNKNOWN"
    return _REFUSALS.get(errno_name, XenstoreRefused)(errno_name, request)
