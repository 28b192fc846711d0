# SPDX-License-Identifier: GPL-2.0-or-later
"""Has typing leave the fields of a NamedTuple as they are written.

Postponed annotations are strings, and of each of some 400 typing compiles a ForwardRef
(Lib/typing.py, `_type_check`) that nobody here ever asks for: 0.4 MiB, and a fifth of the daemon's
start.  The name is typing's own; where a later Python lacks it, nothing is saved and all works.
"""

from __future__ import annotations

import typing

_CHECK = "_type_check"


def leave_annotations_alone() -> None:
    """From now on in this process, which loads the daemon and nothing else."""
    inner = vars(typing)
    checked = inner.get(_CHECK)
    if checked is not None:
        inner[_CHECK] = lambda arg, *more, **named: (
            arg if isinstance(arg, str) else checked(arg, *more, **named)
        )
