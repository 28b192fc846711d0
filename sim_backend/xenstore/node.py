# SPDX-License-Identifier: GPL-2.0-or-later
"""One node of the store, and how much room it takes."""

from __future__ import annotations

from typing import Final, NamedTuple

from sim_backend.xenstore.permissions import Permission, Permissions

# What the daemon stores beside value, names of children and permissions
# (struct xs_tdb_record_hdr and struct xs_permissions, Xen 4.17).
_HEADER_BYTES: Final = 24
_PERMISSION_BYTES: Final = 8

DOM0_ONLY: Final[Permissions] = (Permission(0, 0),)


class Node(NamedTuple):
    """`generation` grows with every change of any node and tells changed nodes apart."""

    value: bytes = b""
    permissions: Permissions = DOM0_ONLY
    children: tuple[str, ...] = ()
    generation: int = 0

    @property
    def owner(self) -> int:
        """The domain that the node is accounted for."""
        return self.permissions[0].domid

    @property
    def size_bytes(self) -> int:
        """What the daemon compares with the node size quota."""
        return (
            _HEADER_BYTES
            + _PERMISSION_BYTES * len(self.permissions)
            + len(self.value)
            + sum(len(name) + 1 for name in self.children)
        )
