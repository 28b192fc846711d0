# SPDX-License-Identifier: GPL-2.0-or-later
"""A view of the store whose changes become visible together, or not at all.

A transaction takes a node into its own copy the first time it looks at it, remembers which
generation that was, and succeeds when none of those nodes has changed since (xenstored's own
rule: nodes that were never looked at do not conflict, and a write looks first).
"""

from __future__ import annotations

from sim_backend.xenstore.errors import XenstoreError
from sim_backend.xenstore.node import Node
from sim_backend.xenstore.permissions import Permissions
from sim_backend.xenstore.store import Store


class _Access:
    """What a transaction knows of one node."""

    __slots__ = ("exact", "generation", "modified", "node", "old_permissions", "tell")

    def __init__(self, node: Node | None) -> None:
        self.node = node
        self.generation = None if node is None else node.generation
        self.old_permissions = None if node is None else node.permissions
        self.modified = False
        self.tell = False
        self.exact = False


class Transaction:
    """Changes that become visible together, or not at all."""

    def __init__(self, store: Store, *, privileged: bool) -> None:
        self._store = store
        self._privileged = privileged
        self._accessed: dict[str, _Access] = {}
        self._counts: dict[int, int] = {}
        self._created = False
        self._failed = False

    def _access(self, path: str) -> _Access:
        access = self._accessed.get(path)
        if access is None:
            quota = self._store.quotas.transaction_nodes
            if not self._privileged and len(self._accessed) >= quota:
                self._failed = True
                raise XenstoreError("ENOSPC")
            access = self._accessed[path] = _Access(self._store.read(path))
        return access

    def read(self, path: str) -> Node | None:
        return self._access(path).node

    def write(self, path: str, node: Node) -> None:
        access = self._access(path)
        access.modified = True
        access.node = node._replace(generation=self._store.next_generation())

    def delete(self, path: str) -> None:
        access = self._access(path)
        access.modified = True
        access.node = None

    def changed(
        self,
        path: str,
        node: Node | None,  # noqa: ARG002 - looked up when the transaction ends
        *,
        exact: bool = False,
        old_permissions: Permissions | None = None,  # noqa: ARG002 - those of the first look count
    ) -> None:
        """Remember to tell; of two changes the one that concerns more watchers stays."""
        access = self._access(path)
        access.exact = exact and (access.exact or not access.tell)
        access.tell = True

    def count(self, domid: int, change: int) -> None:
        """Account for nodes once this succeeds."""
        self._counts[domid] = self._counts.get(domid, 0) + change

    def may_create(self, domid: int, nodes: int) -> bool:  # noqa: ARG002 - counted at the end
        """Compares what the domain has outside; the end compares again."""
        self._created = True
        return self._store.domains[domid].nodes < self._store.quotas.nodes

    def fail(self) -> None:
        self._failed = True

    def commit(self) -> None:
        """Make the changes visible and tell the watchers.

        Raises:
            XenstoreError: EAGAIN, a node changed meanwhile; ENOSPC, too many nodes; ENOMEM, a
                request in it had failed half way.
        """
        if self._failed:
            raise XenstoreError("ENOMEM")
        self._check_quota()
        for path, access in self._accessed.items():
            now = self._store.nodes.get(path)
            if access.generation != (None if now is None else now.generation):
                raise XenstoreError("EAGAIN")
        for path, access in self._accessed.items():
            if access.modified:
                self._apply(path, access)
        for domid, change in self._counts.items():
            self._store.count(domid, change)

    def _check_quota(self) -> None:
        if self._privileged or not self._created:
            return
        for domid, change in self._counts.items():
            domain = self._store.domains.get(domid)
            if domain is None:
                raise XenstoreError("ENOMEM")
            if domid and domain.nodes + change >= self._store.quotas.nodes:
                raise XenstoreError("ENOSPC")

    def _apply(self, path: str, access: _Access) -> None:
        if access.node is not None:
            self._store.write(path, access.node)
        elif access.generation is not None:
            self._store.delete(path)
        if access.tell:
            self._store.changed(
                path, None, exact=access.exact, old_permissions=access.old_permissions
            )
