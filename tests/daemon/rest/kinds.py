# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether two values are the same to the last kind: to Python a named tuple equals a tuple."""

from __future__ import annotations

from typing import Any


def with_kinds(value: Any) -> Any:
    """A value with the kind of each part beside it."""
    if isinstance(value, dict):
        return type(value), {key: with_kinds(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value), [with_kinds(one) for one in value]
    return type(value), value
