# SPDX-License-Identifier: GPL-2.0-or-later
"""What a request needs of the store, whether it goes there directly or through a transaction."""

from __future__ import annotations

from typing import Protocol

from sim_backend.xenstore.errors import XenstoreError
from sim_backend.xenstore.names import base_of, child_of, parent_of
from sim_backend.xenstore.node import Node
from sim_backend.xenstore.permissions import Permissions


class View(Protocol):
    """What a request needs of the store."""

    def read(self, path: str) -> Node | None: ...

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

    def count(self, domid: int, change: int) -> None: ...

    def may_create(self, domid: int, nodes: int) -> bool:
        """Whether the node quota lets an unprivileged domain create so many more."""
        ...

    def fail(self) -> None:
        """A request had to stop half way."""
        ...


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
    others = tuple(child for child in directory.children if child != name)
    view.write(above, directory._replace(children=others))


def _children_first(view: View, path: str) -> list[tuple[str, Node]]:
    """Every node below `path` and at last that one; without recursion, for a tree may be deep."""
    found: list[tuple[str, Node]] = []
    places = [path]
    while places:
        place = places.pop()
        node = view.read(place)
        if node is None:
            raise XenstoreError("EIO")
        found.append((place, node))
        places += [child_of(place, name) for name in node.children]
    return found[::-1]
