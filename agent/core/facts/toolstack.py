# SPDX-License-Identifier: GPL-2.0-or-later
"""Whose words a host understands, where a kernel or a hypervisor tells more than xenstore's keys.

A qube without memory balancing, and an EC2 instance, have the same keys as a guest of xl.
"""

from __future__ import annotations

from agent.core.facts.snapshot import Toolstack


def known_toolstack(
    by_keys: Toolstack | None, kernel_text: str | None, xen_version: str | None
) -> Toolstack | None:
    """Qubes builds its own kernels (`6.6.48-1.qubes.fc37`), Amazon its own Xen (`4.11.amazon`)."""
    if xen_version is not None and xen_version.endswith(".amazon"):
        return None
    if by_keys in (None, "libxl") and ".qubes." in (kernel_text or ""):
        return "qubes"
    return by_keys
