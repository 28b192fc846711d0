# SPDX-License-Identifier: GPL-2.0-or-later
"""The tree of nodes, the domains that own them, and the watches on them; no I/O, no clock.

Nothing here knows a wire.  A client of the store is a `Session`, which knows it; the store
keeps what they share, and of a client only what `Client` says.  The behaviour is that of the C
xenstored of Xen 4.17.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any, NamedTuple, Protocol

from sim_backend.xenstore.errors import XenstoreError
from sim_backend.xenstore.names import ancestry, child_of, parent_of
from sim_backend.xenstore.node import DOM0_ONLY, Node
from sim_backend.xenstore.permissions import EVERYTHING, READ, Permissions, access_of
from sim_backend.xenstore.views import remove_subtree
from sim_backend.xenstore.watches import Watch, WatchTable


class Quotas(NamedTuple):
    """What an unprivileged domain may have (xenstored's defaults, Xen 4.17).

    `watches` and `transactions` are one less than what a domain really gets: the daemon compares
    before it counts.
    """

    nodes: int = 1000
    watches: int = 128
    transactions: int = 10
    outstanding: int = 20
    transaction_nodes: int = 1024
    node_bytes: int = 2048
    permissions: int = 5


class DomainRecord:
    """What the store knows of one domain: how long it knows it and what it uses."""

    def __init__(self, domid: int, generation: int) -> None:
        self.domid = domid
        self.generation = generation
        self.introduced = False
        self.target: int | None = None
        self.nodes = 0
        self.watches = 0
        self.transactions = 0


class Client(Protocol):
    """What the store has to ask of those who use it, when their domain comes anew or goes."""

    @property
    def domid(self) -> int: ...

    def reset(self) -> None:
        """Drop every watch and transaction."""
        ...

    def close(self) -> None: ...


class Store:
    """One xenstore.  `cause` is for the wire: the request being served, if any."""

    def __init__(self) -> None:
        self.quotas = Quotas()
        self.generation = 0
        self.nodes: dict[str, Node] = {}
        self.domains: dict[int, DomainRecord] = {0: DomainRecord(0, 0)}
        self.watches = WatchTable()
        self.cause: Any = None
        self.clients: list[Client] = []
        self.serials = itertools.count(1)  # the age of clients and watches
        self._special = {"@introduceDomain": DOM0_ONLY, "@releaseDomain": DOM0_ONLY}
        self.domains[0].introduced = True
        initial = {"/": ("tool",), "/tool": ("xenstored",), "/tool/xenstored": ()}
        for path, children in initial.items():
            self.write(path, Node(children=children))
            self.count(0, 1)

    # Nodes: the store itself is a request's view of it, as a transaction is.

    def next_generation(self) -> int:
        """A number that no node and no transaction has had."""
        self.generation += 1
        return self.generation

    def read(self, path: str) -> Node | None:
        """A node as it counts now; entries for a domain younger than it, or gone, are ignored."""
        node = self.nodes.get(path)
        if node is None or len(node.permissions) == 1:
            return node
        permissions = self._current(node.permissions, node.generation)
        return node if permissions == node.permissions else node._replace(permissions=permissions)

    def write(self, path: str, node: Node) -> None:
        """Set a node, stamped with a generation of its own."""
        generation = self.next_generation()
        self.nodes[path] = node._replace(
            permissions=self._current(node.permissions, generation), generation=generation
        )

    def delete(self, path: str) -> None:
        del self.nodes[path]

    def may_create(self, domid: int, nodes: int) -> bool:
        """Each new node is compared before it is counted."""
        return self.domains[domid].nodes + nodes - 1 < self.quotas.nodes

    def fail(self) -> None:
        """Nothing was changed yet: a request checks first."""

    def _current(self, permissions: Permissions, generation: int) -> Permissions:
        return (
            permissions[0],
            *(
                entry._replace(ignored=entry.ignored or not self._knew(entry.domid, generation))
                for entry in permissions[1:]
            ),
        )

    def _knew(self, domid: int, generation: int) -> bool:
        domain = self.domains.get(domid)
        return domain is not None and domain.generation <= generation

    def access(self, domid: int, permissions: Permissions) -> int:
        """What a domain may do where these entries stand."""
        if domid == 0:
            return EVERYTHING
        target = self.domains[domid].target
        domids = (domid,) if target is None else (domid, target)
        return access_of(permissions, domids)

    # Domains.

    def create_domain(self, domid: int) -> None:
        """Let the hypervisor have a domain; the store serves it once it is introduced."""
        self.domains.setdefault(domid, DomainRecord(domid, self.generation))

    def introduce(self, domid: int) -> None:
        """Serve a domain; again: start its connection afresh.

        Raises:
            XenstoreError: ENOENT, no such domain.
        """
        domain = self.domains.get(domid)
        if domain is None:
            raise XenstoreError("ENOENT")
        if domain.introduced:
            for client in self._clients_of(domid):
                client.reset()
            return
        domain.introduced = True
        self._fire_special("@introduceDomain")

    def is_introduced(self, domid: int) -> bool:
        return domid in self.domains and self.domains[domid].introduced

    def remove_domain(self, domid: int) -> None:
        """A domain ends: its clients and the nodes it owns go, @releaseDomain fires."""
        domain = self.domains.get(domid)
        if domain is None or domid == 0:
            return
        for client in self._clients_of(domid):
            client.close()
        self._remove_owned(domid)
        for path, entries in self._special.items():
            self._special[path] = _without_domain(entries, domid)
        del self.domains[domid]
        for other in self.domains.values():
            if other.target == domid:
                other.target = None
        if domain.introduced:
            self._fire_special("@releaseDomain")

    def _remove_owned(self, domid: int) -> None:
        places = ["/"]
        while places:
            path = places.pop()
            node = self.nodes[path]
            if node.owner == domid:
                remove_subtree(self, path)
            else:
                places += [child_of(path, name) for name in reversed(node.children)]

    def count(self, domid: int, change: int) -> None:
        if domid in self.domains:
            self.domains[domid].nodes += change

    def _clients_of(self, domid: int) -> list[Client]:
        return [client for client in self.clients if client.domid == domid]

    # Watches.

    def changed(
        self,
        path: str,
        node: Node | None,
        *,
        exact: bool = False,
        old_permissions: Permissions | None = None,
    ) -> None:
        """Tell the watchers that may know of it that `path` changed.

        A watcher may know when it may read the node, could read it before, or may read the
        directory above.
        """
        for watch in self.watches.concerned(path, exact=exact):
            if self._may_know(watch, path, node, old_permissions):
                watch.tell(path)

    def _may_know(
        self, watch: Watch, path: str, node: Node | None, old: Permissions | None
    ) -> bool:
        if watch.domid == 0:
            return node is not None or old is not None or path in self.nodes
        if old is not None and self.access(watch.domid, old) & READ:
            return True
        node = node or self.read(path)
        above = self.read(parent_of(path))
        return node is not None and any(
            self.access(watch.domid, place.permissions) & READ
            for place in (node, above)
            if place is not None
        )

    def _fire_special(self, path: str) -> None:
        for watch in self.watches.concerned(path, exact=True):
            if self.access(watch.domid, self._special[path]) & READ:
                watch.tell(path)

    def set_special_permissions(self, domid: int, path: str, permissions: Permissions) -> None:
        """Let domains other than dom0 watch @introduceDomain or @releaseDomain.

        Raises:
            XenstoreError: EINVAL, no such name; EACCES.
        """
        if path not in self._special:
            raise XenstoreError("EINVAL")
        if self.access(domid, self._special[path]) != EVERYTHING:
            raise XenstoreError("EACCES")
        self._special[path] = permissions

    # For the world around a guest and for tests.

    def peek(self, path: str) -> bytes | None:
        """A value regardless of permissions; None when there is no such node."""
        node = self.nodes.get(path)
        return None if node is None else node.value

    def check(self) -> None:
        """Raise AssertionError unless tree and accounts fit together."""
        owned = Counter(node.owner for node in self.nodes.values())
        for path, node in self.nodes.items():
            assert all(place in self.nodes for place in ancestry(path)), path
            assert len(set(node.children)) == len(node.children), path
            assert all(child_of(path, name) in self.nodes for name in node.children), path
        assert sum(len(node.children) for node in self.nodes.values()) == len(self.nodes) - 1
        for domid, domain in self.domains.items():
            assert domain.nodes == owned[domid], domid


def _without_domain(permissions: Permissions, domid: int) -> Permissions:
    owner = permissions[0]._replace(domid=0) if permissions[0].domid == domid else permissions[0]
    return (owner, *(entry for entry in permissions[1:] if entry.domid != domid))
