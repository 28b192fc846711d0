# SPDX-License-Identifier: GPL-2.0-or-later
"""One client of the store: its requests, its watches, its transactions.

Paths that do not begin with `/` are relative to the client's own domain.  Every request may
raise `XenstoreError`; what it raises, and in which order it looks, is what the C xenstored of
Xen 4.17 does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from sim_backend.xenstore.errors import XenstoreError
from sim_backend.xenstore.names import REL_PATH_MAX, base_of, domain_path, is_valid_path, parent_of
from sim_backend.xenstore.node import Node
from sim_backend.xenstore.permissions import OWNER, READ, WRITE, Permissions, parse_permission
from sim_backend.xenstore.store import Store
from sim_backend.xenstore.transaction import Transaction
from sim_backend.xenstore.views import View, remove_subtree
from sim_backend.xenstore.watches import Deliver, Watch


class Session:
    """A connection's state in the store.

    Watch events go to `deliver(path, token)`.  Making one raises XenstoreError, ENOENT, where the
    store has no such domain.
    """

    def __init__(self, store: Store, domid: int, deliver: Deliver) -> None:
        if domid not in store.domains:
            raise XenstoreError("ENOENT")
        self.domid: Final = domid
        self.serial: Final = next(store.serials)
        self.privileged: Final = domid == 0
        self.is_closed = False
        self.on_close: Callable[[], None] | None = None
        self.deliver: Final = deliver
        self._store = store
        self._domain = store.domains[domid]
        self._base = domain_path(domid)
        self._watches: list[Watch] = []
        self._transactions: dict[int, Transaction] = {}
        self._next_transaction = 1
        store.clients.append(self)

    # Nodes.

    def read(self, path: str, tx: int = 0) -> Node:
        """A node that this session may read; its children in the order they were made."""
        return self._get(self._view(tx), self._absolute(path), READ)

    def write(self, path: str, value: bytes, tx: int = 0) -> None:
        """Set a value; makes the node, and directories above it, where they are missing."""
        view, place = self._view(tx), self._absolute(path)
        node = self._find(view, place, WRITE)
        if node is None:
            node = self._create(view, place, value)
        else:
            node = node._replace(value=value)
            self._check_size(view, node)
            view.write(place, node)
        view.changed(place, node)

    def mkdir(self, path: str, tx: int = 0) -> None:
        """Make an empty node; nothing happens to one that exists."""
        view, place = self._view(tx), self._absolute(path)
        if self._find(view, place, WRITE) is None:
            view.changed(place, self._create(view, place, b""))

    def rm(self, path: str, tx: int = 0) -> None:
        """Take a node and all below it away; one that is missing in its directory is fine."""
        view, place = self._view(tx), self._absolute(path)
        node = self._find(view, place, WRITE)
        above = parent_of(place)
        if node is None:
            if view.read(above) is None:
                raise XenstoreError("ENOENT")
            return
        if place == "/":
            raise XenstoreError("EINVAL")
        remove_subtree(view, place)

    def set_perms(self, path: str, entries: Sequence[str], tx: int = 0) -> None:
        """Replace the entries of a node, such as `n0` `r5`; only its owner and dom0 may."""
        view = self._view(tx)
        if not entries:
            raise XenstoreError("EINVAL")
        if not self.privileged and len(entries) > self._store.quotas.permissions:
            raise XenstoreError("ENOSPC")
        permissions = self._known(tuple(map(parse_permission, entries)))
        if path.startswith("@"):
            self._store.set_special_permissions(self.domid, path, permissions)
            return
        place = self._absolute(path)
        node = self._get(view, place, WRITE | OWNER)
        if not self.privileged and permissions[0].domid != node.owner:
            raise XenstoreError("EPERM")
        changed = node._replace(permissions=permissions)
        self._check_size(view, changed)
        view.count(node.owner, -1)
        view.count(changed.owner, 1)
        view.write(place, changed)
        view.changed(place, changed, old_permissions=node.permissions)

    def _known(self, permissions: Permissions) -> Permissions:
        known = tuple(
            entry._replace(ignored=entry.domid not in self._store.domains) for entry in permissions
        )
        if known[0].ignored:
            raise XenstoreError("ENOENT")
        return known

    def _absolute(self, path: str) -> str:
        return path if path.startswith(("/", "@")) else f"{self._base}/{path}"

    def _view(self, tx: int) -> View:
        if tx == 0:
            return self._store
        transaction = self._transactions.get(tx)
        if transaction is None:
            raise XenstoreError("ENOENT")
        return transaction

    def _get(self, view: View, path: str, need: int) -> Node:
        node = self._find(view, path, need)
        if node is None:
            raise XenstoreError("ENOENT")
        return node

    def _find(self, view: View, path: str, need: int) -> Node | None:
        """A node that this session may `need`, None when it is missing.

        Whether it is missing is told only to who may do the same in the nearest directory.
        """
        if not is_valid_path(path):
            raise XenstoreError("EINVAL")
        node = view.read(path)
        if node is not None and self._store.access(self.domid, node.permissions) & need == need:
            return node
        place, directory = path, None
        while directory is None:
            place = parent_of(place)
            directory = view.read(place)
        if node is not None or not self._store.access(self.domid, directory.permissions) & need:
            raise XenstoreError("EACCES")
        return None

    def _check_size(self, view: View, *nodes: Node) -> None:
        limit = self._store.quotas.node_bytes
        if not self.privileged and any(node.size_bytes >= limit for node in nodes):
            view.fail()
            raise XenstoreError("ENOSPC")

    def _create(self, view: View, path: str, value: bytes) -> Node:
        """Make a node and the directories above it that are missing.

        Permissions are those of the nearest directory; who is not dom0 owns what he makes.
        """
        missing = [path]
        above = parent_of(path)
        while (directory := view.read(above)) is None:
            missing.append(above)
            above = parent_of(above)
        permissions = directory.permissions
        if not self.privileged:
            permissions = (permissions[0]._replace(domid=self.domid), *permissions[1:])
            if not view.may_create(self.domid, len(missing)):
                raise XenstoreError("ENOSPC")
        made = {path: Node(value, permissions)}
        for name, place in zip(missing, missing[1:]):
            made[place] = Node(b"", permissions, (base_of(name),))
        grown = directory._replace(children=(*directory.children, base_of(missing[-1])))
        self._check_size(view, *made.values(), grown)
        for place, node in made.items():
            view.write(place, node)
            view.count(node.owner, 1)
        view.write(above, grown)
        return made[path]

    # Watches.

    def watch(self, path: str, token: str) -> None:
        """Hear of every change of a node and below it, and once right now."""
        added = self.add_watch(path, token)
        added.tell(added.path)

    def add_watch(self, path: str, token: str) -> Watch:
        """Enter a watch, without the event that comes first."""
        place = self._absolute(path)
        if not (is_valid_path(place) or (place.startswith("@") and len(place) <= REL_PATH_MAX)):
            raise XenstoreError("EINVAL")
        if any(watch.path == place and watch.token == token for watch in self._watches):
            raise XenstoreError("EEXIST")
        if not self.privileged and self._domain.watches > self._store.quotas.watches:
            raise XenstoreError("E2BIG")
        age = (self.serial, next(self._store.serials))
        watch = Watch(age, self.domid, self.deliver, place, token, len(place) - len(path))
        self._watches.append(watch)
        self._store.watches.add(watch)
        self._domain.watches += 1
        return watch

    def unwatch(self, path: str, token: str) -> None:
        """Take a watch back; events that wait already still come."""
        place = self._absolute(path)
        for watch in self._watches:
            if watch.path == place and watch.token == token:
                self._drop_watch(watch)
                return
        raise XenstoreError("ENOENT")

    def _drop_watch(self, watch: Watch) -> None:
        self._watches.remove(watch)
        self._store.watches.remove(watch)
        self._domain.watches -= 1

    # Transactions.

    def begin(self) -> int:
        if not self.privileged and self._domain.transactions > self._store.quotas.transactions:
            raise XenstoreError("ENOSPC")
        number = self._next_transaction
        while number == 0 or number in self._transactions:
            number = (number + 1) & 0xFFFFFFFF
        self._next_transaction = (number + 1) & 0xFFFFFFFF
        self._store.next_generation()
        self._transactions[number] = Transaction(self._store, privileged=self.privileged)
        self._domain.transactions += 1
        return number

    def end(self, tx: int, *, commit: bool) -> None:
        """End a transaction, which is over even if it cannot be committed."""
        transaction = self._transactions.pop(tx, None)
        if transaction is None:
            raise XenstoreError("ENOENT")
        self._domain.transactions -= 1
        if commit:
            transaction.commit()

    def has_transaction(self, tx: int) -> bool:
        return tx in self._transactions

    # The end.

    def reset(self) -> None:
        for watch in tuple(self._watches):
            self._drop_watch(watch)
        self._domain.transactions -= len(self._transactions)
        self._transactions.clear()

    def close(self) -> None:
        """Leave the store; `on_close` hears of it the first time."""
        if self.is_closed:
            return
        self.reset()
        self._store.clients.remove(self)
        self.is_closed = True
        if self.on_close is not None:
            self.on_close()
