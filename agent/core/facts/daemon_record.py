# SPDX-License-Identifier: GPL-2.0-or-later
"""What the daemon says of itself in its status file, as those see it who read that file."""

from __future__ import annotations

from typing import NamedTuple


class RecordedDecision(NamedTuple):
    """One decision of the daemon: cause, rule, action, outcome; `time_s` since 1970."""

    time_s: int
    cause: str
    rule: str
    sentence: str
    action: str
    target_kib: int | None
    block: int | None
    outcome: str
    times: int
    host_target_kib: int | None = None


class DaemonRecord(NamedTuple):
    """What the daemon says of itself; `written_s` since 1970."""

    mode: str
    pid: int
    written_s: int
    stopped: bool
    banner: str | None
    decisions: tuple[RecordedDecision, ...]
    host_silent: str | None = None  # why xenstore does not answer
