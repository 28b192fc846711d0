# SPDX-License-Identifier: GPL-2.0-or-later
"""status.json: what the daemon wrote last; here whose numbers these are, and its decisions.

    {"schema": 1, ..., "domain": {"domid": 5, ...}, ..., "daemon": {"mode": "follow", "pid": 812,
     "written": 1795376905, "stopped": false, "decisions": [{"time": 1795376904,
     "cause": "xenstore", "rule": "hotplug-offline", "sentence": "...", "action": "online-block",
     "outcome": "done", "count": 1, ...}]}}

The whole file is that of docs/status-json.md.
"""

from __future__ import annotations

from typing import Final

from agent.core.facts.bounds import LARGEST_DOMID, LARGEST_TIME_S
from agent.core.facts.daemon_record import DaemonRecord, RecordedDecision
from agent.sources.json_fields import (
    Fields,
    member,
    members,
    number,
    object_in,
    optional_number,
    optional_word,
    word,
)
from agent.sources.outcome import Outcome, parsed
from agent.sources.system_root import LARGE_LIMIT_BYTES, SystemRoot

FILE: Final = "run/balloon-agent/status.json"
_LARGEST_COUNT: Final = (1 << 32) - 1


def parse_published_domid(text: str) -> int:
    """The domid in a status object.

    Raises:
        MalformedError: there is none.
    """
    return number(member(object_in(text), "domain"), "domid", most=LARGEST_DOMID)


def read_published_domid(root: SystemRoot) -> Outcome[int]:
    """Which domain the daemon's last status is about."""
    return parsed(root.read(FILE, LARGE_LIMIT_BYTES), parse_published_domid)


def parse_daemon_record(text: str) -> DaemonRecord:
    """The daemon's own part of its status, its last decisions with the oldest first.

    Raises:
        MalformedError: not a status that a daemon wrote.
    """
    daemon = member(object_in(text), "daemon")
    return DaemonRecord(
        mode=word(daemon, "mode"),
        pid=number(daemon, "pid", _LARGEST_COUNT),
        written_s=number(daemon, "written", LARGEST_TIME_S),
        stopped=daemon.get("stopped") is True,
        banner=optional_word(daemon, "banner"),
        decisions=tuple(_decision(entry) for entry in members(daemon, "decisions")),
        host_silent=(optional_word(daemon, "xenstore") or "").partition("host-silent: ")[2] or None,
    )


def read_daemon_record(root: SystemRoot) -> Outcome[DaemonRecord]:
    """What the daemon of this root wrote last."""
    return parsed(root.read(FILE, LARGE_LIMIT_BYTES), parse_daemon_record)


def _decision(entry: Fields) -> RecordedDecision:
    numbers = member(entry, "numbers") if "numbers" in entry else {}
    return RecordedDecision(
        time_s=number(entry, "time", LARGEST_TIME_S),
        cause=word(entry, "cause"),
        rule=word(entry, "rule"),
        sentence=word(entry, "sentence"),
        action=word(entry, "action"),
        target_kib=optional_number(entry, "target_kib"),
        block=optional_number(entry, "block"),
        outcome=word(entry, "outcome"),
        times=number(entry, "count", _LARGEST_COUNT),
        host_target_kib=optional_number(numbers, "host_target_kib"),
    )
