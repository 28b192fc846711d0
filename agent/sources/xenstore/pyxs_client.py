# SPDX-License-Identifier: GPL-2.0-or-later
"""xenstore through `pyxs.Client`, for commands; the only module that imports pyxs.

A `pyxs.Client` hands every request to a router and waits for what that gives back.  Over a
`LoopRouter` instead of its own its operations work, transactions included, and none of them hangs.
What else is wrong in pyxs 0.4.1 ends here, each with a test: in tests/contract/test_pyxs_client.py
what any host shows, in tests/sources/xenstore/test_pyxs.py what only a broken one does.

    check_path()   asks for the working directory, which may be gone: FileNotFoundError
    check_path()   lets a line end pass at the end of a path
    read()         takes a value's own NULs away at its end
    write()        refuses a value that is empty, or has a line end or a letter beyond ASCII
    list()         ends with E2BIG where the names do not fit into one packet
    rollback()     that fails leaves a client that refuses every further transaction
    error()        makes (0, "Success") of an error whose name it does not know
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, Final, TypeVar

import pyxs
import pyxs.client

from agent.sources.outcome import Outcome
from agent.sources.xenstore.errors import (
    QuotaExceeded,
    XenstoreError,
    XenstoreLost,
    XenstoreRefused,
    refusal,
)
from agent.sources.xenstore.read_ahead import read_ahead
from agent.sources.xenstore.requests import Requests, checked_key, names_in
from agent.sources.xenstore.router import LoopRouter
from agent.sources.xenstore.watches import Watches
from agent.sources.xenstore.wire import NUL, Op

T = TypeVar("T")
_Names = list[str]  # inside a class, `list` is a method
_NamesOnTheWire = list[bytes]
_Outcomes = list[Outcome[bytes]]
_MOST_TRIES: Final = 5
_MOST_PARTS: Final = 256
_NUMBER_OF: Final = {name: number for number, name in errno.errorcode.items()}


@cache
def _also_of_pyxs(kind: type[XenstoreRefused]) -> type[XenstoreRefused]:
    """A refusal that pyxs's operations know as well: they look for its errno in args[0]."""
    return type(kind.__name__, (kind, pyxs.PyXSError), {"__str__": lambda self: self.args[1]})


def _checked_path(path: bytes) -> bytes:
    """In the place of pyxs's own check."""
    text = path.decode("ascii", "backslashreplace")
    checked_key(text.removeprefix("/"), "path")
    return path


pyxs.client.check_path = _checked_path  # type: ignore[attr-defined]


class RoutedClient(pyxs.Client):
    """pyxs's operations, with requests that end and errors of our own."""

    def __init__(self, router: LoopRouter) -> None:
        super().__init__(router=router)  # type: ignore[no-untyped-call]
        self._requests = Requests(router)

    def execute_command(self, op: int, *args: bytes, **_kwargs: Any) -> bytes:
        """As pyxs's, of which every operation is made."""
        self._requests.tx_id = self.tx_id
        try:
            return self._requests.execute_command(op, *args)
        except XenstoreRefused as error:
            kind = _also_of_pyxs(type(error))  # type: ignore[arg-type]
            both = kind(error.errno_name, error.request)
            both.args = (_NUMBER_OF.get(error.errno_name, errno.EIO), str(error))
            raise both from None

    def list(self, path: bytes) -> _NamesOnTheWire:
        """Every name, however many: what does not fit into one packet comes in parts."""
        try:
            names: _NamesOnTheWire = super().list(path)  # type: ignore[no-untyped-call]
        except QuotaExceeded as error:
            if error.errno_name != "E2BIG":
                raise
            return self._list_in_parts(path)
        return names

    def read_each(self, paths: Sequence[bytes]) -> Iterator[Outcome[bytes]]:
        """What became of reading each of many paths; within a transaction, if there is one."""
        self._requests.tx_id = self.tx_id
        return read_ahead(self._requests, [_checked_path(path) for path in paths])

    def rollback(self) -> None:
        """Give up the transaction, which is over whatever the answer is."""
        try:
            super().rollback()  # type: ignore[no-untyped-call]
        finally:
            self.tx_id = 0

    def _list_in_parts(self, path: bytes) -> _NamesOnTheWire:
        """XS_DIRECTORY_PART, since Xen 4.9: a generation, names from an offset, an empty one last.

        xen/docs/misc/xenstore.txt.  Where the directory changes meanwhile it begins anew.
        """
        began, listed = b"", b""
        for _ in range(_MOST_PARTS):
            part = self.execute_command(Op.DIRECTORY_PART, path + NUL, b"%d" % len(listed) + NUL)
            generation, _, names = part.partition(NUL)
            if listed and generation != began:
                listed = b""
                continue
            began = generation
            listed += names
            if names.endswith(NUL + NUL) or names in (b"", NUL):
                return listed.rstrip(NUL).split(NUL) if listed.strip(NUL) else []
        raise refusal(b"E2BIG", f"directory {path.decode('ascii', 'backslashreplace')}")


class StoreClient:
    """What commands ask of xenstore: a connection, and for one guest several keys of one moment.

    A xenstored that answers, but late, counts as lost after `patience_s` of waiting in all.
    """

    def __init__(self, path: str, timeout_s: float = 2.0, patience_s: float = float("inf")) -> None:
        self._client: Any = RoutedClient(LoopRouter(path, timeout_s, Watches()))
        self._patience_s = self._left_s = patience_s

    def connect(self) -> None:
        """Open the connection; raises XenstoreUnreachable."""
        self._client.connect()

    def close(self) -> None:
        """Close it, and with it a transaction."""
        self._client.close()
        self._client.tx_id = 0

    def read(self, key: str) -> bytes:
        """The value of a key, relative to this domain or from the root; raises XenstoreError."""
        value: bytes = self._patiently(self._client.read, key)
        return value

    def read_each(self, keys: Sequence[str]) -> _Outcomes:
        """What became of reading each of many keys; raises XenstoreLost.

        They are not of one moment, but for one guest's that follow each other closely.
        """
        return list(
            self._client.read_each([key.encode("ascii", "backslashreplace") for key in keys])
        )

    def list(self, key: str) -> _Names:
        """The names below a key; raises XenstoreError."""
        names = self._patiently(self._client.list, key)
        return [name.decode("ascii", "backslashreplace") for name in names]

    def permissions(self, key: str) -> _Names:
        """Who may do what with `key`: `n0`, `r5`; the owner first, whose letter holds for all."""
        entries = self._patiently(self._client.get_perms, key)
        return names_in(NUL.join(entries))

    def _patiently(self, ask: Callable[[bytes], Any], key: str) -> Any:
        if self._left_s <= 0:
            raise XenstoreLost(f"it answers too slowly: {self._patience_s:g} s went by waiting")
        began_s = time.monotonic()
        try:
            return ask(key.encode("ascii", "backslashreplace"))
        finally:
            self._left_s -= time.monotonic() - began_s

    def at_one_moment(self, read: Callable[[], T]) -> T:
        """`read` within a transaction, so that no writer comes between its readings.

        Where one did, it is read anew; after some tries the last reading has to do.

        Raises:
            XenstoreError: what `read` raises, or there is no transaction to be had.
        """
        for _ in range(_MOST_TRIES):
            self._client.transaction()
            try:
                found = read()
            except BaseException:
                with suppress(XenstoreError):  # it is over all the same, or the connection is
                    self._client.rollback()
                raise
            if self._client.commit():
                break
        return found
