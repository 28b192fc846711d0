# SPDX-License-Identifier: GPL-2.0-or-later
"""balloon-agent: shows, explains and follows the memory balloon of a Linux guest on Xen."""

from __future__ import annotations

__version__ = "0.1.0"
