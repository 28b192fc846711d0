# SPDX-License-Identifier: GPL-2.0-or-later
"""The objects that other people's scripts hang on: all keys of the contract, no silent null."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from agent.core.facts.memory_map import SYSTEM_RAM, Region, memory_map
from agent.core.facts.snapshot import MemoryBlocks, Snapshot
from agent.report.memmap_json import memmap_object
from agent.report.status_json import status_object
from tests import captures
from tests.support.captured import assessed, snapshot_of
from tests.support.judged import assess
from tests.support.snapshots import a_pv_guest

# The keys of schema 1, each with its types.  Keys may be added here, never renamed or removed.
OPTIONAL_INT: Final = (int, type(None))
OPTIONAL_STR: Final = (str, type(None))
CONTRACT: Final[dict[str, Any]] = {
    "schema": int,
    "source": {"kind": str, "detail": str},
    "sources": dict,
    "domain": {
        "type": OPTIONAL_STR, "kernel": OPTIONAL_STR, "xen": OPTIONAL_STR, "name": OPTIONAL_STR,
        "uuid": OPTIONAL_STR, "toolstack": OPTIONAL_STR,
    },
    "e820": {
        "ram_kib": OPTIONAL_INT, "regions": (list, type(None)), "holes": (list, type(None)),
        "beyond_nr_pages_kib": OPTIONAL_INT,
    },
    "nr_pages": {"pages": OPTIONAL_INT, "method": OPTIONAL_STR, "exact": bool},
    "balloon": {
        "current_kib": OPTIONAL_INT, "target_kib": OPTIONAL_INT, "ballooned_kib": OPTIONAL_INT,
        "low_kib": OPTIONAL_INT, "high_kib": OPTIONAL_INT, "state": str,
        "schedule_delay_s": OPTIONAL_INT, "max_schedule_delay_s": OPTIONAL_INT,
        "retry_count": OPTIONAL_INT, "max_retry_count": OPTIONAL_INT,
        "scrub_pages": (bool, type(None)),
    },
    "host": {
        "target_kib": OPTIONAL_INT, "static_max_kib": OPTIONAL_INT, "videoram_kib": OPTIONAL_INT,
        "target_offset_kib": OPTIONAL_INT,
    },
    "reconciliation": {
        "identity": OPTIONAL_STR, "terms": list, "proof": OPTIONAL_STR,
        "unexplained_kib": OPTIONAL_INT,
    },
    "memory": {
        "total_kib": OPTIONAL_INT, "available_kib": OPTIONAL_INT, "overhead_kib": OPTIONAL_INT,
        "overhead_terms": list,
    },
    "headroom": {"up_kib": OPTIONAL_INT, "down_kib": OPTIONAL_INT},
    "findings": list,
    "verdict": str,
    "headline": str,
}  # fmt: skip

# A reading -> the source that says why it is null.
READINGS: Final = {
    "e820.ram_kib": "firmware-map",
    "e820.regions": "firmware-map",
    "balloon.current_kib": "balloon.current_kb",
    "balloon.target_kib": "balloon.target_kb",
    "balloon.low_kib": "balloon.low_kb",
    "balloon.high_kib": "balloon.high_kb",
    "balloon.schedule_delay_s": "balloon.schedule_delay",
    "balloon.max_schedule_delay_s": "balloon.max_schedule_delay",
    "balloon.retry_count": "balloon.retry_count",
    "balloon.max_retry_count": "balloon.max_retry_count",
    "balloon.scrub_pages": "balloon.scrub_pages",
    "host.target_kib": "xenstore.memory/target",
    "host.static_max_kib": "xenstore.memory/static-max",
    "memory.total_kib": "meminfo",
    "memory.available_kib": "meminfo",
    "domain.kernel": "kernel-release",
    "pressure": "pressure",
    "hotplug.unpopulated": "hotplug-unpopulated",
    "hotplug.offline_blocks": "memory-blocks",
}

BROKEN: Final = (
    a_pv_guest(),
    a_pv_guest(balloon=None, sources={"balloon": "absent"}),
    a_pv_guest(firmware_map=None, iomem=None, memory=None, zones=None, blocks=None, pressure=None),
    a_pv_guest(domain={"domain_type": None, "kernel": None, "kernel_text": None}),
)


def status_of(snapshot: Snapshot) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(status_object(assess(snapshot))))
    return found


def complaints(found: Any, wanted: Any, where: str = "") -> list[str]:
    """Keys that are missing or of another type."""
    if isinstance(wanted, dict):
        wrong = [f"{where}{key} is missing" for key in wanted if key not in found]
        return wrong + [
            complaint
            for key in wanted.keys() & found.keys()
            for complaint in complaints(found[key], wanted[key], f"{where}{key}.")
        ]
    right = isinstance(found, wanted) and not (wanted is OPTIONAL_INT and found is True)
    return [] if right else [f"{where} is {found!r}"]


def at(found: Any, path: str) -> Any:
    for key in path.split("."):
        found = found[key]
    return found


@pytest.mark.parametrize("snapshot", BROKEN, ids=range(len(BROKEN)))
def test_every_key_of_the_contract_is_there_whatever_could_not_be_read(snapshot: Snapshot) -> None:
    assert complaints(status_of(snapshot), CONTRACT) == []


def test_every_capture_has_every_key() -> None:
    for name in captures.names():
        assert complaints(status_object(assessed(name)), CONTRACT) == [], name


def test_a_reading_that_is_null_has_its_reason_in_sources() -> None:
    for name in captures.names():
        found = status_object(assessed(name))
        for path, source in READINGS.items():
            if at(found, path) is None:
                assert found["sources"].get(source, found["sources"]["xenstore"]) != "ok", path
            else:
                assert found["sources"][source] == "ok", (name, path)


def test_sources_has_only_the_words_of_the_contract() -> None:
    words = ("ok", "absent", "denied", "hidden")
    for name in captures.names():
        statuses = status_object(assessed(name))["sources"].values()
        assert all(s in words or s.startswith("malformed: ") for s in statuses)


def test_the_terms_add_up_and_say_where_they_are_from_and_why() -> None:
    found = status_of(a_pv_guest())["reconciliation"]
    assert sum(term["kib"] for term in found["terms"]) == found["unexplained_kib"] == 0
    assert [set(term) for term in found["terms"]] == [
        {"name", "kib", "source", "why", "inferred"}
    ] * len(found["terms"])


def test_sizes_are_integers_of_kib_and_addresses_hexadecimal_strings() -> None:
    found = status_of(snapshot_of("pv-512-1024/boot"))
    assert found["e820"]["regions"][0] == {
        "start": "0x0", "end": "0x9ffff", "type": "System RAM",
    }  # fmt: skip
    assert found["e820"]["holes"] == [{"start": "0xa0000", "end": "0xfffff", "kib": 384}]
    assert found["e820"]["beyond_nr_pages_kib"] == 524288
    assert found["balloon"]["ballooned_kib"] == 524288


def test_a_finding_has_its_code_severity_evidence_and_fix() -> None:
    found = status_of(a_pv_guest(host={"target_kib": 786432}))["findings"]
    assert [finding["code"] for finding in found] == ["target-overridden"]
    assert {"code", "severity", "summary", "evidence", "fix"} <= set(found[0])
    assert found[0]["evidence"]["memory/target_kib"] == 786432


def test_control_characters_leave_as_escapes() -> None:
    text = json.dumps(status_object(assess(a_pv_guest(domain={"name": "\x1b[31m"}))))
    assert text.isprintable()
    assert text.isascii()


def test_memmap_lists_each_range_once_with_what_both_sources_call_it() -> None:
    found = memmap_object(assessed("pv-512-1024-k510/memset-768").situation)
    assert {"schema", "source", "sources", "firmware", "iomem", "ranges", "holes"} <= set(found)
    assert found["beyond_nr_pages_kib"] == 524288
    added = [one for one in found["ranges"] if one["hot_added"]]
    assert [(one["start"], one["firmware"], one["iomem"]) for one in added] == [
        ("0x40000000", "System RAM", "System RAM")
    ]
    spans = [(one["start"], one["end"]) for one in found["ranges"]]
    assert len(spans) == len(set(spans))


def test_memmap_of_an_arm_guest_has_no_firmware_map_and_tells_what_was_hot_added() -> None:
    """/proc/iomem stands in for a map that no firmware has there."""
    iomem = memory_map(
        [
            Region(0x40000000, 0x5FFFFFFF, SYSTEM_RAM),
            Region(0x60000000, 0x67FFFFFF, SYSTEM_RAM),  # would have been merged at boot
        ]
    )
    guest = a_pv_guest(
        domain={"domain_type": "pvh"}, firmware_map=iomem, iomem=iomem, hotplug_unpopulated=True,
        blocks=MemoryBlocks(128 << 20, (), ()),
    )  # fmt: skip
    found = memmap_object(assess(guest).situation)
    assert found["firmware"] is None
    assert found["iomem"] is not None
    assert [one["hot_added"] for one in found["ranges"]] == [False, True]


def test_memmap_of_a_guest_without_a_map_is_null_and_says_so() -> None:
    broken = a_pv_guest(firmware_map=None, iomem=None, sources={"iomem": "hidden"})
    found = memmap_object(assess(broken).situation)
    assert (found["firmware"], found["iomem"], found["holes"], found["ram_kib"]) == (None,) * 4
    assert found["sources"] == {"firmware-map": "absent", "iomem": "hidden"}
    json.dumps(found)
