# SPDX-License-Identifier: GPL-2.0-or-later
"""A domain's own part of xenstore: values, watches, and what the guest may write.

Keys are relative to /local/domain/<domid>.  The toolstack decides which subtrees belong to the
guest: below libxl `data`, `attr` and a few nodes of `control`, below XAPI all of `control` too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

WatchCallback = Callable[[str], None]


class DomainStore:
    """The subtree, as the toolstack and the guest share it.

    `silent`: xenstored does not answer the guest's user space at present.
    """

    def __init__(self, nodes: dict[str, str], guest_writable: Iterable[str] = ("data",)) -> None:
        self._nodes = dict(nodes)
        self._watches: list[tuple[str, WatchCallback]] = []
        self.guest_writable: frozenset[str] = frozenset(guest_writable)
        self.silent = False

    def read(self, path: str) -> str | None:
        return self._nodes.get(path)

    def items(self) -> dict[str, str]:
        """Every node that has a value, by its path."""
        return dict(self._nodes)

    def write(self, path: str, text: str) -> None:
        """The toolstack writes; every watch on the node or above it fires, changed or not."""
        self._nodes[path] = text
        self._fire(path)

    def remove(self, path: str) -> None:
        """The toolstack removes the node and what is below it; nothing if it is not there."""
        gone = [node for node in self._nodes if node == path or node.startswith(path + "/")]
        for node in gone:
            del self._nodes[node]
        if gone:
            self._fire(path)

    def guest_may_write(self, path: str) -> bool:
        """Whether the node, or one above it, belongs to the guest."""
        parts = path.split("/")
        return any("/".join(parts[: n + 1]) in self.guest_writable for n in range(len(parts)))

    def guest_write(self, path: str, text: str) -> None:
        """The guest writes.

        Raises:
            PermissionError: EACCES, the node is not the guest's.
        """
        if not self.guest_may_write(path):
            raise PermissionError(f"EACCES: {path}")
        self.write(path, text)

    def watch(self, prefix: str, callback: WatchCallback) -> Callable[[], None]:
        """Call `callback` with the path of each change at or below `prefix` ("" is everything).

        Returns what ends the watch.  Nothing is called for the registration itself.
        """
        entry = (prefix, callback)
        self._watches.append(entry)
        return lambda: self._watches.remove(entry) if entry in self._watches else None

    def fire_all(self) -> None:
        """Every watch fires for its own node, as after a restart of xenstored or a resume."""
        for prefix, callback in tuple(self._watches):
            callback(prefix)

    def _fire(self, path: str) -> None:
        for prefix, callback in tuple(self._watches):
            above = not prefix or path == prefix or path.startswith(prefix + "/")
            if above or prefix.startswith(path + "/"):
                callback(path)
