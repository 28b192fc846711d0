# SPDX-License-Identifier: GPL-2.0-or-later
"""boot.json: the first readings of this boot, kept by the daemon in its runtime directory.

    {"schema": 1, "current_kib": 524288, "ballooned_kib": 524288, "e820_ram_kib": 1048192,
     "host_target_kib": 524288, "static_max_kib": 1048576}

The directory is on a tmpfs, so the record never outlives its boot.
"""

from __future__ import annotations

import json
from typing import Final

from agent.core.facts.numbers import MalformedError
from agent.core.facts.snapshot import BootRecord
from agent.sources.json_fields import number, object_in, optional_number
from agent.sources.outcome import Outcome, parsed
from agent.sources.system_root import SystemRoot

FILE: Final = "run/balloon-agent/boot.json"
SCHEMA: Final = 1


def parse_boot_record(text: str) -> BootRecord:
    """The record.

    Raises:
        MalformedError: not one of ours.
    """
    fields = object_in(text)
    if fields.get("schema") != SCHEMA:
        raise MalformedError(f"not a boot record of schema {SCHEMA}")
    return BootRecord(
        current_kib=number(fields, "current_kib"),
        ballooned_kib=number(fields, "ballooned_kib"),
        e820_ram_kib=number(fields, "e820_ram_kib"),
        host_target_kib=optional_number(fields, "host_target_kib"),
        static_max_kib=optional_number(fields, "static_max_kib"),
    )


def format_boot_record(record: BootRecord) -> str:
    """The record as text; `parse_boot_record` gives it back."""
    return json.dumps({"schema": SCHEMA, **record._asdict()}) + "\n"


def read_boot_record(root: SystemRoot) -> Outcome[BootRecord]:
    """The record below `root`, if a daemon has made one."""
    return parsed(root.read(FILE), parse_boot_record)
