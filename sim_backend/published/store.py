# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated domain's keys in a xenstore that others reach over sockets, kept equal both ways.

The model's `DomainStore` holds the keys relative to the domain; the `Store` holds the whole tree
with permissions.  A change of either is made in the other at once, and fires watches in both.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from sim_backend.guest.store import DomainStore
from sim_backend.xenstore.names import child_of, domain_path
from sim_backend.xenstore.session import Session
from sim_backend.xenstore.store import Store

_TOKEN: Final = "mirror"  # noqa: S105 - a watch's name


class StoreMirror:
    """The keys of one domain in both stores; `everything_fired` tells that its world was shaken.

    That is a resume on another host or a new xenstored: every watch of the guest fires.
    """

    def __init__(self, store: Store, domid: int, keys: DomainStore) -> None:
        self.everything_fired = False
        self._store = store
        self._keys = keys
        self._mirrored: str | None = None  # the key that is being copied over
        self._with_dom0: Session = Session(store, 0, self._store_changed)
        self._unwatch = keys.watch("", self._keys_changed)
        self.domid = domid
        self._begin(domid)

    def move(self, domid: int) -> None:
        """The domain has another number now; its old directory goes."""
        self._end()
        self.domid = domid
        self._begin(domid)

    def destroyed(self) -> None:
        """The domain is no more, and its toolstack has removed its directory."""
        self._unwatch()
        self._end()

    def close(self) -> None:
        """Leave the stores as they are."""
        self._unwatch()
        self._with_dom0.close()

    def _begin(self, domid: int) -> None:
        self._base = domain_path(domid)
        self._store.create_domain(domid)
        entries = ("n0", f"r{domid}") if domid else ("n0",)
        self._make(self._base, entries)
        for key in sorted(self._keys.guest_writable) if domid else ():
            self._make(child_of(self._base, key), (f"n{domid}",))
        nodes = self._keys.items()
        for key, text in nodes.items():
            self._with_dom0.write(child_of(self._base, key), text.encode())
        machine = nodes.get("vm")
        if machine is not None and machine.startswith("/vm/"):
            self._make(machine, entries)
            self._with_dom0.write(child_of(machine, "name"), nodes.get("name", "").encode())
            self._with_dom0.write(child_of(machine, "uuid"), machine[4:].encode())
        self._with_dom0.watch(self._base, _TOKEN)
        if not self._store.is_introduced(domid):
            self._store.introduce(domid)

    def _end(self) -> None:
        self._with_dom0.unwatch(self._base, _TOKEN)
        self._store.remove_domain(self.domid)
        self._with_dom0.rm(self._base)

    def _make(self, path: str, entries: tuple[str, ...]) -> None:
        self._with_dom0.write(path, b"")
        self._with_dom0.set_perms(path, entries)

    def _keys_changed(self, key: str) -> None:
        """The model wrote a key."""
        if not key:
            self.everything_fired = True
            return
        if key == self._mirrored:
            return
        text = self._keys.read(key)
        path = child_of(self._base, key)
        with self._copying(key):
            if text is not None:
                self._with_dom0.write(path, text.encode())
            elif path in self._store.nodes:
                self._with_dom0.rm(path)

    def _store_changed(self, path: str, _token: str) -> None:
        """Somebody wrote a node: the guest, or dom0 by its socket."""
        key = path[len(self._base) + 1 :]
        if not key or key == self._mirrored:
            return
        value = self._store.peek(path)
        with self._copying(key):
            if value is None:
                self._keys.remove(key)
            else:
                self._keys.write(key, value.decode("utf-8", "backslashreplace"))

    @contextlib.contextmanager
    def _copying(self, key: str) -> Iterator[None]:
        before, self._mirrored = self._mirrored, key
        try:
            yield
        finally:
            self._mirrored = before
