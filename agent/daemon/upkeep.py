# SPDX-License-Identifier: GPL-2.0-or-later
"""What keeps the daemon's memory as it is, for months.

Python keeps freed tuples for later, up to 2000 of each length (Objects/tupleobject.c), and
every look makes many: named tuples of all lengths.  Only a full collection gives them back, which
by itself comes rarely, and looks at every object there is.  So those that came with the start are
set aside once, and then a full collection after each waking costs microseconds.
"""

from __future__ import annotations

import gc


def settle() -> None:
    """Once, when everything is loaded that will stay."""
    gc.collect()
    gc.freeze()


def tidy() -> None:
    """After each waking."""
    gc.collect()
