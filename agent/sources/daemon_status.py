# SPDX-License-Identifier: GPL-2.0-or-later
"""status.json: what the daemon wrote last; here whose numbers these are, and its decisions.

    {"schema": 1, ..., "domain": {"domid": 5, ...}, ..., "daemon": {"mode": "follow", "pid": 812,
     "written": 1795376905, "stopped": false, "decisions": [{"time": 1795376904,
     "cause": "xenstore", "rule": "hotplug-offline", "sentence": "...", "action": "online-block",
     "outcome": "done", "count": 1, ...}]}}

The whole file is that of docs/status-json.md.
"""

from __future__ import annotations

import json
from typing import Any, Final

from agent.core.facts.bounds import LARGEST_DOMID, LARGEST_KIB, LARGEST_TIME_S
from agent.core.facts.daemon_record import DaemonRecord, RecordedDecision
from agent.sources.outcome import MalformedError, Outcome, parsed
from agent.sources.system_root import LARGE_LIMIT_BYTES, SystemRoot

FILE: Final = "run/balloon-agent/status.json"
_LARGEST_COUNT: Final = (1 << 32) - 1


def parse_published_domid(text: str) -> int:
    """The domid in a status object.

    Raises:
        MalformedError: there is none.
    """
    try:
        domid = json.loads(text)["domain"]["domid"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise MalformedError("no status object with a domid") from None
    if type(domid) is not int or not 0 <= domid <= LARGEST_DOMID:
        raise MalformedError("its domid is no number")
    return domid


def read_published_domid(root: SystemRoot) -> Outcome[int]:
    """Which domain the daemon's last status is about."""
    return parsed(root.read(FILE, LARGE_LIMIT_BYTES), parse_published_domid)


def parse_daemon_record(text: str) -> DaemonRecord:
    """The daemon's own part of its status, its last decisions with the oldest first.

    Raises:
        MalformedError: not a status that a daemon wrote.
    """
    try:
        daemon = json.loads(text)["daemon"]
        return DaemonRecord(
            mode=_word(daemon, "mode"),
            pid=_number(daemon, "pid", _LARGEST_COUNT),
            written_s=_number(daemon, "written", LARGEST_TIME_S),
            stopped=daemon["stopped"] is True,
            banner=None if daemon["banner"] is None else _word(daemon, "banner"),
            decisions=tuple(_decision(entry) for entry in daemon["decisions"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise MalformedError("not the status of a daemon") from None


def read_daemon_record(root: SystemRoot) -> Outcome[DaemonRecord]:
    """What the daemon of this root wrote last."""
    return parsed(root.read(FILE, LARGE_LIMIT_BYTES), parse_daemon_record)


def _decision(entry: Any) -> RecordedDecision:
    return RecordedDecision(
        time_s=_number(entry, "time", LARGEST_TIME_S),
        cause=_word(entry, "cause"),
        rule=_word(entry, "rule"),
        sentence=_word(entry, "sentence"),
        action=_word(entry, "action"),
        target_kib=_optional(entry, "target_kib"),
        block=_optional(entry, "block"),
        outcome=_word(entry, "outcome"),
        times=_number(entry, "count", _LARGEST_COUNT),
        host_target_kib=_optional(entry.get("numbers", {}), "host_target_kib"),
    )


def _word(fields: Any, name: str) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise TypeError(name)
    return value if value.isprintable() else ascii(value)


def _optional(fields: Any, name: str) -> int | None:
    return None if fields.get(name) is None else _number(fields, name, LARGEST_KIB)


def _number(fields: Any, name: str, largest: int) -> int:
    value = fields[name]
    if type(value) is not int or not 0 <= value <= largest:
        raise ValueError(name)
    return value
