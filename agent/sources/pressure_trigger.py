# SPDX-License-Identifier: GPL-2.0-or-later
"""A descriptor that the kernel makes ready when memory gets short (a PSI trigger).

    some 200000 2000000      written to /proc/pressure/memory: 200 ms of stall within 2 s

Documentation/accounting/psi.rst; Linux 5.2 and later.  Windows of whole multiples of 2 s are
open to unprivileged users as well (since 6.5), and cost the kernel least.
"""

import os
from typing import Final

from agent.sources.pressure import FILE
from agent.sources.system_root import SystemRoot

TRIGGER: Final = b"some 200000 2000000\0"


def open_trigger(root: SystemRoot) -> int | None:
    """The descriptor, to be polled for POLLPRI; None where there is none to be had.

    Only on this machine: below another root the file is an ordinary one.
    """
    if not root.is_live:
        return None
    try:
        descriptor = os.open(root.absolute(FILE), os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        os.write(descriptor, TRIGGER)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
