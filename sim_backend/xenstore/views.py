# SPDX-License-Identifier: GPL-2.0-or-later
"""The two ways a request sees the store: directly, or through a transaction.

A transaction takes a node into its own copy the first time it looks at it, remembers which
generation that was, and succeeds when none of those nodes has changed since (xenstored's own
rule: nodes that were never looked at do not conflict, and a write looks first).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from sim_backend.xenstore.errors import XenstoreError
from sim_backend.xenstore.names import base_of, child_of, parent_of
from sim_backend.xenstore.node import Node
from sim_backend.xenstore.permissions import Permissions

if TYPE_CHECKING:
    from sim_backend.xenstore.store import Store


class View(Protocol):
    """What a request needs of the store."""

    def read(self, path: str) -> Node | None:
        """A node, or None when there is none."""
        ...

    def write(self, path: str, node: Node) -> None:
        """Set a node that was read before, or found absent."""
        ...

    def delete(self, path: str) -> None:
        """Take one node away, without its name in the directory above."""
        ...

    def changed(
        self,
        path: str,
        node: Node | None,
        *,
        exact: bool = False,
        old_permissions: Permissions | None = None,
    ) -> None:
        """Let the watchers know, at once or when the transaction has succeeded."""
        ...

    def count(self, domid: int, change: int) -> None:
        """Account for nodes of a domain that come or go."""
        ...

    def may_create(self, domid: int, nodes: int) -> bool:
        """Whether the node quota lets an unprivileged domain create so many more."""
        ...

    def fail(self) -> None:
        """A request had to stop half way."""
        ...


class Direct:
    """The store itself."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        self.read = store.get
        self.count = store.count_nodes
        self.changed = store.fire

    def write(self, path: str, node: Node) -> None:
        """Set a node."""
        self._store.put(path, node)

    def delete(self, path: str) -> None:
        """Take a node away."""
        del self._store.nodes[path]

    def may_create(self, domid: int, nodes: int) -> bool:
        """Each new node is compared before it is counted."""
        return self._store.domains[domid].nodes + nodes - 1 < self._store.quotas.nodes

    def fail(self) -> None:
        """Nothing was changed yet: a request checks first."""


def remove_subtree(view: View, path: str) -> None:
    """Take a node and all below it away, children first, and its name out of the directory.

    Raises:
        XenstoreError: EIO or EINVAL, a transaction saw half of what somebody else changed; it
            cannot succeed any more.
    """
    above, name = parent_of(path), base_of(path)
    if view.read(above) is None:
        raise XenstoreError("EINVAL")
    for place, node in _children_first(view, path):
        view.delete(place)
        view.changed(place, node, exact=place != path)
        view.count(node.owner, -1)
    directory = view.read(above)
    if directory is None or name not in directory.children:
        raise XenstoreError("EIO")
    view.write(above, directory.without_child(name))


def _children_first(view: View, path: str) -> Iterator[tuple[str, Node]]:
    """Every node below `path` and at last that one; without recursion, for a tree may be deep."""
    node = _existing(view, path)
    stack = [(path, node, iter(node.children))]
    while stack:
        place, node, names = stack[-1]
        name = next(names, None)
        if name is None:
            stack.pop()
            yield place, node
        else:
            below = child_of(place, name)
            child = _existing(view, below)
            stack.append((below, child, iter(child.children)))


def _existing(view: View, path: str) -> Node:
    node = view.read(path)
    if node is None:
        raise XenstoreError("EIO")
    return node


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

    def __init__(self, store: "Store", *, privileged: bool) -> None:
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
            access = self._accessed[path] = _Access(self._store.get(path))
        return access

    def read(self, path: str) -> Node | None:
        """A node as this transaction has it."""
        return self._access(path).node

    def write(self, path: str, node: Node) -> None:
        """Set a node in this transaction's copy."""
        access = self._access(path)
        access.modified = True
        access.node = node._replace(generation=self._store.next_generation())

    def delete(self, path: str) -> None:
        """Take a node out of this transaction's copy."""
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
        """Let this transaction not succeed any more."""
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
            self._store.count_nodes(domid, change)

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
            self._store.put(path, access.node)
        elif access.generation is not None:
            del self._store.nodes[path]
        if access.tell:
            self._store.fire(path, None, exact=access.exact, old_permissions=access.old_permissions)
