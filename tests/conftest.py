# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures that every test may ask for by name."""

from tests.support.xenstored.fixtures import dom0, guest, xenstored

__all__ = ["dom0", "guest", "xenstored"]
