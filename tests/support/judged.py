# SPDX-License-Identifier: GPL-2.0-or-later
"""A snapshot, judged as the daemon does it."""

from __future__ import annotations

from agent.core.account.situation import understand
from agent.core.facts.snapshot import Snapshot
from agent.core.findings.assessment import Assessment, judge


def assess(snapshot: Snapshot) -> Assessment:
    """Understand and judge one snapshot."""
    return judge(understand(snapshot))
