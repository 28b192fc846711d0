# SPDX-License-Identifier: GPL-2.0-or-later
"""A descriptor that the kernel makes ready when memory gets short (a PSI trigger).

    some 200000 2000000      written to /proc/pressure/memory: 200 ms of stall within 2 s

Documentation/accounting/psi.rst; Linux 5.2 and later.  Windows of whole multiples of 2 s are
open to unprivileged users as well (since 6.5), and cost the kernel least.  Others need
CAP_SYS_RESOURCE; the kernel looks ten times in a window, so a short one tells sooner.

Relies on docs/design.md A18.
"""

from __future__ import annotations

import os
from typing import Final

from agent.sources.pressure import FILE
from agent.sources.system_root import SystemRoot

TRIGGER: Final = b"some 200000 2000000\0"
TRIGGER_SOON: Final = b"some 50000 500000\0"


def open_trigger(root: SystemRoot, *, soon: bool = False) -> int | None:
    """The descriptor, to be polled for POLLPRI; None where there is none to be had.

    Only on this machine: below another root the file is an ordinary one.  `soon`: for somebody
    who has to act before the OOM killer does, if the kernel lets this process.
    """
    if not root.is_live:
        return None
    descriptor = _open(root, TRIGGER_SOON) if soon else None
    return _open(root, TRIGGER) if descriptor is None else descriptor


def _open(root: SystemRoot, trigger: bytes) -> int | None:
    try:
        descriptor = os.open(root.absolute(FILE), os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        os.write(descriptor, trigger)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
