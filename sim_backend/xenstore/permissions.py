# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may do what with a node: `n5`, `r0`, `w7`, `b3`.

The first entry names the owner, who may do everything, and its letter is what everybody else
may do who has no entry of his own (docs/misc/xenstore.txt, SET_PERMS).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from sim_backend.xenstore.errors import XenstoreError

NONE: Final = 0
READ: Final = 1
WRITE: Final = 2
OWNER: Final = 4
EVERYTHING: Final = READ | WRITE | OWNER

_LETTERS: Final = {NONE: "n", READ: "r", WRITE: "w", READ | WRITE: "b"}
_ACCESS: Final = {letter: access for access, letter in _LETTERS.items()}
# The number is what C's strtol takes, in any base.
_ENTRY = re.compile(
    r"([nrwb])\s*([+-]?)(?:0[xX]([0-9a-fA-F]{1,16})|(0[0-7]{0,21})|([1-9][0-9]{0,18}))", re.ASCII
)
_UNSIGNED: Final = 0xFFFFFFFF


class Permission(NamedTuple):
    """One entry.  `ignored`: written for a domain that is gone; a new one must not inherit it."""

    access: int
    domid: int
    ignored: bool = False

    def __str__(self) -> str:
        signed = self.domid - (1 << 32) if self.domid >> 31 else self.domid
        return f"{_LETTERS[self.access]}{signed}"


Permissions = tuple[Permission, ...]


def parse_permission(text: str) -> Permission:
    """`r5` as a value.

    Raises:
        XenstoreError: EINVAL, not a letter and a domain id.
    """
    match = _ENTRY.fullmatch(text)
    if match is None:
        raise XenstoreError("EINVAL")
    letter, sign, hexadecimal, octal, decimal = match.groups()
    if hexadecimal is not None:
        number = int(hexadecimal, 16)
    else:
        number = int(octal, 8) if octal is not None else int(decimal)
    return Permission(_ACCESS[letter], (-number if sign == "-" else number) & _UNSIGNED)


def access_of(permissions: Sequence[Permission], domids: Sequence[int]) -> int:
    """What an unprivileged domain may do: READ, WRITE, OWNER as bits.

    `domids` holds the domain itself and, for a device model, the domain it serves.
    """
    owner = permissions[0]
    if owner.domid in domids:
        return EVERYTHING
    for permission in permissions[1:]:
        if not permission.ignored and permission.domid in domids:
            return permission.access
    return owner.access
