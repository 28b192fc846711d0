# SPDX-License-Identifier: GPL-2.0-or-later
"""The one exception that a person is meant to read."""

from __future__ import annotations


class LabError(Exception):
    """The lab cannot go on; the message says what is wrong and what would help."""
