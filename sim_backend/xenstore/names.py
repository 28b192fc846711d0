# SPDX-License-Identifier: GPL-2.0-or-later
"""Paths of the store: what a valid one is, and the way up and down the tree.

Limits are those of xs_wire.h: 2048 characters, not counting a leading `/local/domain/<id>/`.
"""

from __future__ import annotations

import re
from typing import Final

REL_PATH_MAX: Final = 2048

_VALID = re.compile(r"/|(?:/[A-Za-z0-9_@-]+)+", re.ASCII)
_DOMAIN_PREFIX = re.compile(r"/local/domain/[0-9]{1,5}/", re.ASCII)


def is_valid_path(path: str) -> bool:
    """Whether `path` may name a node: absolute, no empty part, nothing but `A-Za-z0-9-_@`."""
    if _VALID.fullmatch(path) is None:
        return False
    prefix = _DOMAIN_PREFIX.match(path)
    return len(path) <= REL_PATH_MAX + (prefix.end() if prefix else 0)


def domain_path(domid: int) -> str:
    """The directory of a domain, the base of its relative paths."""
    return f"/local/domain/{domid}"


def parent_of(path: str) -> str:
    """The directory above; that of `/` is `/`."""
    return path[: path.rfind("/")] or "/"


def base_of(path: str) -> str:
    """The last part of a path."""
    return path[path.rfind("/") + 1 :]


def child_of(path: str, name: str) -> str:
    """The path of the node `name` in the directory `path`."""
    return f"/{name}" if path == "/" else f"{path}/{name}"


def ancestry(path: str) -> list[str]:
    """`path` and every directory above it, upwards, `/` last."""
    found = [path]
    while path != "/":
        path = parent_of(path)
        found.append(path)
    return found
