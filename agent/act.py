# SPDX-License-Identifier: GPL-2.0-or-later
"""The only writer of kernel files: the balloon's target, and a memory block's state.

    sys/devices/system/xen_memory/xen_memory0/target_kb    524288
    sys/devices/system/memory/memory8/state                online

target_kb takes anything (drivers/xen/xen-balloon.c reads it with simple_strtoull), so what is
written is a plain decimal in one write, never a part of one.

Relies on docs/design.md A12.
"""

from __future__ import annotations

import errno
from typing import Final

from agent.sources.memory_blocks import state_file
from agent.sources.system_root import SystemRoot
from agent.sources.xen_memory import TARGET_FILE

_DENIED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class ActRefusedError(Exception):
    """The kernel did not take what was written; the text says why."""


class ActDeniedError(ActRefusedError):
    """This process may not write there, and will not be allowed to by trying again."""


def set_target_kib(root: SystemRoot, target_kib: int) -> None:
    """Set the kernel's balloon target.

    Raises:
        ActDeniedError: no permission, or a read-only mount.
        ActRefusedError: no driver, or the kernel's errno.
    """
    _write(root, TARGET_FILE, f"{target_kib:d}\n")


def online_block(root: SystemRoot, block: int) -> None:
    """Put a memory block online.

    Raises:
        ActDeniedError: no permission, or a read-only mount.
        ActRefusedError: no such block, or the kernel's errno.
    """
    _write(root, state_file(block), "online\n")


def _write(root: SystemRoot, path: str, text: str) -> None:
    try:
        root.write(path, text)
    except OSError as error:
        kind = ActDeniedError if error.errno in _DENIED else ActRefusedError
        raise kind(f"/{path}: {error.strerror or 'input/output error'}") from None
