# SPDX-License-Identifier: GPL-2.0-or-later
"""What dom0 sees of the guest under test, domain 5, and how to wait for it."""

from __future__ import annotations

from itertools import count
from typing import Final

from tests.support.xenstored.raw_client import RawClient

HOME: Final = "/local/domain/5"
BALLOON: Final = f"{HOME}/data/balloon"
_TOKENS: Final = count()


def wait_until(dom0: RawClient, key: str, value: bytes | None = None) -> None:
    """Sleep on a watch until `key` has that value, or any."""
    dom0.watch(key, f"token-{next(_TOKENS)}")
    while not (dom0.exists(key) and value in (None, dom0.read(key))):
        dom0.next_event()


def ask_for(dom0: RawClient, target_kib: int) -> None:
    """Write the host's target, and wait until the guest has heard it."""
    dom0.write(f"{HOME}/memory/target", target_kib)
    wait_until(dom0, f"{BALLOON}/host_target_kb", b"%d" % target_kib)
