# SPDX-License-Identifier: GPL-2.0-or-later
"""boot.json: the first readings of this boot, kept by the daemon in its runtime directory.

    {"schema": 1, "current_kib": 524288, "ballooned_kib": 524288, "e820_ram_kib": 1048192,
     "host_target_kib": 524288, "static_max_kib": 1048576}

The directory is on a tmpfs, so the record never outlives its boot.
"""

from __future__ import annotations

import json
from typing import Final

from agent.core.facts.bounds import is_size
from agent.core.facts.snapshot import BootRecord
from agent.sources.outcome import MalformedError, Outcome, parsed
from agent.sources.system_root import SystemRoot

FILE: Final = "run/balloon-agent/boot.json"
SCHEMA: Final = 1


def parse_boot_record(text: str) -> BootRecord:
    """The record.

    Raises:
        MalformedError: not one of ours.
    """
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"not JSON: {error}") from None
    if not isinstance(fields, dict) or fields.get("schema") != SCHEMA:
        raise MalformedError(f"not a boot record of schema {SCHEMA}")
    return BootRecord(
        current_kib=_size(fields, "current_kib"),
        ballooned_kib=_size(fields, "ballooned_kib"),
        e820_ram_kib=_size(fields, "e820_ram_kib"),
        host_target_kib=_size_or_none(fields, "host_target_kib"),
        static_max_kib=_size_or_none(fields, "static_max_kib"),
    )


def format_boot_record(record: BootRecord) -> str:
    """The record as text; `parse_boot_record` gives it back."""
    return json.dumps({"schema": SCHEMA, **record._asdict()}) + "\n"


def read_boot_record(root: SystemRoot) -> Outcome[BootRecord]:
    """The record below `root`, if a daemon has made one."""
    return parsed(root.read(FILE), parse_boot_record)


def _size(fields: dict[str, object], name: str) -> int:
    value = fields.get(name)
    if type(value) is not int or not is_size(value):
        raise MalformedError(f"{name} is not a size")
    return value


def _size_or_none(fields: dict[str, object], name: str) -> int | None:
    return None if fields.get(name) is None else _size(fields, name)
