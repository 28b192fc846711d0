# SPDX-License-Identifier: GPL-2.0-or-later
"""No number from outside counts beyond what a machine could have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.core.facts.bounds import LARGEST_KIB, LARGEST_TIME_S
from agent.core.facts.numbers import MalformedError, is_number, key_kib, key_signed_kib
from agent.core.facts.numbers import parse_kib as parse_kernel_kib
from agent.sources.boot_record import parse_boot_record
from agent.sources.daemon_status import parse_daemon_record
from agent.sources.host_keys import read_host
from agent.sources.system_root import SystemRoot
from agent.sources.xen_memory import (
    DIRECTORY,
    parse_target_bytes,
    parse_target_kib,
    read_target_kib,
    read_xen_memory,
)
from agent.sources.xenstore.key_store import CapturedKeys
from agent.sources.zoneinfo import parse_zoneinfo

DECISION = {"time": 5, "cause": "c", "rule": "r", "sentence": "s", "action": "none", "count": 1,
            "outcome": "done", "target_kib": None, "block": None}  # fmt: skip


def keys_of(directory: Path, **keys: str) -> CapturedKeys:
    for name, value in keys.items():
        path = directory / "xenstore" / name.replace("__", "/").replace("_", "-")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value)
    return CapturedKeys(SystemRoot(str(directory)))


@pytest.mark.parametrize("kib", [LARGEST_KIB + 1, 1 << 54, (1 << 54) + 524288, (1 << 64) - 1])
def test_a_target_beyond_any_machine_is_no_target(tmp_path: Path, kib: int) -> None:
    """2^54 KiB times 1024 is 0 in the kernel's 64 bits: handed on, it would empty the guest."""
    keys = keys_of(tmp_path, memory__target=str(kib), memory__static_max=str(kib))
    facts, statuses = read_host(keys)
    assert facts.memory.target_kib is None
    assert facts.memory.target_text == f"'{kib}'"
    assert facts.memory.static_max_kib is None
    assert "more than a machine could have" in statuses["xenstore.memory/target"]


def test_the_largest_machine_is_believed() -> None:
    assert key_kib(b"%d" % LARGEST_KIB) == LARGEST_KIB
    assert key_signed_kib(b"-%d" % LARGEST_KIB) == -LARGEST_KIB
    with pytest.raises(MalformedError):
        key_signed_kib(b"-%d" % (LARGEST_KIB + 1))
    assert parse_kernel_kib(f"{LARGEST_KIB}\n") == LARGEST_KIB
    with pytest.raises(MalformedError):
        parse_kernel_kib(f"{LARGEST_KIB + 1}\n")


@pytest.mark.parametrize(
    ("shown", "is_kib"),
    [
        (524288, 524288),
        ((1 << 64) - 1834376, -1834376),  # a crashed HVM guest that had been ballooned down
        ((1 << 64) - 4, -4),
        (1 << 63, -LARGEST_KIB),
        ((1 << 63) - 1, LARGEST_KIB),
        (1 << 54, LARGEST_KIB),
    ],
)
def test_the_drivers_target_below_zero_is_read_as_what_it_is(shown: int, is_kib: int) -> None:
    assert parse_target_kib(f"{shown}\n") == is_kib
    assert parse_target_bytes(f"{shown * 1024 % (1 << 64)}\n") <= LARGEST_KIB * 1024


@pytest.mark.parametrize(
    ("target_kb", "target"), [((1 << 64) - 4, (1 << 64) - 4096), ((1 << 32) - 4, (1 << 44) - 4096)]
)
def test_a_target_below_zero_is_the_same_in_both_files_whatever_the_kernels_bits(
    target_kb: int, target: int, tmp_path: Path
) -> None:
    """As drivers/xen/xen-balloon.c prints a target_pages of -1: one wraps before, one after."""
    for name, value in {"info/current_kb": 4096, "target_kb": target_kb, "target": target}.items():
        path = tmp_path / DIRECTORY / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    reading, _ = read_xen_memory(SystemRoot(str(tmp_path)))
    assert reading
    assert (reading.target_kib, reading.target_bytes) == (-4, -4096)
    assert read_target_kib(SystemRoot(str(tmp_path))) == -4


def test_a_size_of_the_driver_beyond_any_machine_is_malformed(tmp_path: Path) -> None:
    for name, value in {"info/current_kb": 1 << 43, "target_kb": 1 << 43}.items():
        path = tmp_path / DIRECTORY / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    reading, statuses = read_xen_memory(SystemRoot(str(tmp_path)))
    assert reading
    assert (reading.current_kib, reading.target_kib) == (None, LARGEST_KIB)
    assert statuses["balloon.current_kb"].startswith("malformed: ")


@pytest.mark.parametrize("time", [LARGEST_TIME_S + 1, 1 << 63, -1])
def test_a_decision_that_no_calendar_has_is_not_one(time: int) -> None:
    def status(moment: int) -> str:
        return json.dumps(
            {"daemon": {"mode": "guard", "pid": 1, "written": 5, "stopped": False, "banner": None,
                        "decisions": [DECISION | {"time": moment}]}}
        )  # fmt: skip

    assert parse_daemon_record(status(LARGEST_TIME_S)).decisions[0].time_s == LARGEST_TIME_S
    with pytest.raises(MalformedError):
        parse_daemon_record(status(time))


def test_a_boot_record_of_a_machine_that_cannot_be_is_none() -> None:
    record = {"schema": 1, "current_kib": 1, "ballooned_kib": 1, "e820_ram_kib": LARGEST_KIB + 1}
    with pytest.raises(MalformedError):
        parse_boot_record(json.dumps(record))


def test_pages_beyond_any_machine_are_malformed() -> None:
    line = "        {0}  999999999999999999\n"
    with pytest.raises(MalformedError):
        parse_zoneinfo("".join(line.format(name) for name in ("spanned", "present", "managed")))


@pytest.mark.parametrize("name", ["²", "١٢", "", "-1", "1" * 11])
def test_only_digits_are_the_number_of_a_process(name: str) -> None:
    assert not is_number(name)
    assert is_number("4194304")
