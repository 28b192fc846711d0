# SPDX-License-Identifier: GPL-2.0-or-later
"""`memmap --json`: both maps, the holes, and what lies beyond nr_pages."""

from __future__ import annotations

from typing import Any

from agent.core.account.situation import Situation
from agent.report.memmap_text import is_of_arm, rows
from agent.report.status_json import SCHEMA, holes_object, regions_object


def memmap_object(situation: Situation) -> dict[str, Any]:
    """Addresses are hexadecimal strings, ends inclusive; a source that was not read is None."""
    snapshot, boot = situation.snapshot, situation.boot
    names = ("firmware-map", "iomem")
    return {
        "schema": SCHEMA,
        "source": snapshot.origin._asdict(),
        "sources": {name: snapshot.sources.get(name, "absent") for name in names},
        "firmware": None if is_of_arm(situation) else regions_object(snapshot.firmware_map),
        "iomem": regions_object(snapshot.iomem),
        "ranges": [
            {
                "start": f"{row.region.start:#x}",
                "end": f"{row.region.end:#x}",
                "kib": row.region.kib,
                "firmware": row.firmware,
                "iomem": row.iomem,
                "hot_added": row.hot_added,
            }
            for row in rows(situation)
        ],
        "holes": holes_object(snapshot.firmware_map),
        "ram_kib": snapshot.firmware_map.ram_kib if snapshot.firmware_map else None,
        "ram_at_boot_kib": boot.ram_kib,
        "beyond_nr_pages_kib": boot.beyond_kib,
        "nr_pages": boot.nr_pages._asdict() if boot.nr_pages else None,
        "oddities": list(snapshot.firmware_map.oddities) if snapshot.firmware_map else [],
    }
