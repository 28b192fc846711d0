# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest's files, each damaged in one way: the rest is still read, and the status says which."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.core.facts.snapshot import Origin
from agent.gather import gather
from agent.sources.firmware_memmap import MOST_ENTRIES, read_firmware_memmap
from agent.sources.host_keys import read_host
from agent.sources.memory_blocks import MOST_BLOCKS, read_memory_blocks
from agent.sources.outcome import Outcome
from agent.sources.pressure import read_pressure
from agent.sources.system_root import NotXenError, SystemRoot
from agent.sources.xenstore.key_store import CapturedKeys, NoKeys
from tests.support.captured import gathered, load
from tests.support.judged import assess

MEMMAP = "sys/firmware/memmap"
BALLOON = "sys/devices/system/xen_memory/xen_memory0"


def put(tree: Path, name: str, text: str) -> None:
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def entry(tree: Path, number: int, start: int, end: int, kind: str = "System RAM") -> None:
    directory = tree / MEMMAP / str(number)
    directory.mkdir(parents=True)
    (directory / "start").write_text(f"{start:#x}\n")
    (directory / "end").write_text(f"{end:#x}\n")
    (directory / "type").write_text(f"{kind}\n")


def replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_symlink(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def replace_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_text(""),
    "huge": lambda path: path.write_bytes(b"7" * (5 << 20)),
    "binary": lambda path: path.write_bytes(bytes(range(256))),
    "text": lambda path: path.write_text("none\n"),
    "fifo": replace_by_fifo,
    "symlink": replace_by_symlink,
    "directory": replace_by_directory,
}
# A file, and what its source is called.
FILES = {
    f"{BALLOON}/info/current_kb": "balloon.current_kb",
    f"{BALLOON}/retry_count": "balloon.retry_count",
    "proc/iomem": "iomem",
    "proc/meminfo": "meminfo",
    "proc/zoneinfo": "zoneinfo",
    "proc/pressure/memory": "pressure",
    "proc/uptime": "uptime",
    "proc/sys/xen/balloon/hotplug_unpopulated": "hotplug-unpopulated",
    "xenstore/memory/target": "xenstore.memory/target",
    "kernel.log": "kernel-log",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_malformed_and_all_others_are_read(pv_guest: Path, damage: str) -> None:
    for file, source in FILES.items():
        path = pv_guest / file
        kept = path.read_bytes()
        DAMAGE[damage](path)
        snapshot = gathered(pv_guest)
        assert snapshot.sources[source].startswith("malformed: "), (file, snapshot.sources[source])
        others = {k: v for k, v in snapshot.sources.items() if k != source}
        assert not [k for k, v in others.items() if v.startswith("malformed")]
        assess(snapshot)
        shutil.rmtree(path) if damage == "directory" else path.unlink()
        path.write_bytes(kept)


@pytest.mark.parametrize(("file", "source"), FILES.items())
def test_a_missing_file_is_absent_and_no_error(pv_guest: Path, file: str, source: str) -> None:
    (pv_guest / file).unlink()
    assert gathered(pv_guest).sources[source] == "absent"


@pytest.mark.parametrize(
    ("directory", "source"),
    [
        (MEMMAP, "firmware-map"),
        ("sys/devices/system/memory", "memory-blocks"),
        ("proc", "meminfo"),
        ("xenstore", "xenstore"),
        (BALLOON, "balloon"),
    ],
)
def test_a_missing_directory_is_absent_and_no_error(
    pv_guest: Path, directory: str, source: str
) -> None:
    shutil.rmtree(pv_guest / directory)
    snapshot = gathered(pv_guest)
    assert snapshot.sources[source] == "absent"
    assert assess(snapshot).headline


def test_a_tree_without_a_word_of_xen_is_no_xen_domain(quick_path: Path) -> None:
    put(quick_path, "proc/meminfo", load("pv-512-1024/boot").files["proc/meminfo"])
    put(quick_path, "sys/hypervisor/type", "kvm\n")
    with pytest.raises(NotXenError):
        gathered(quick_path)


def test_xen_without_a_driver_is_a_domain_without_a_balloon(quick_path: Path) -> None:
    put(quick_path, "sys/hypervisor/type", "xen\n")
    assert [finding.code for finding in assess(gathered(quick_path)).findings] == ["no-driver"]


def test_a_map_of_10000_entries_is_read_whole(quick_path: Path) -> None:
    """That it is quick is measured in tests/bench."""
    for number in range(10_000):
        entry(quick_path, number, number << 13, (number << 13) + 0xFFF)
    found = read_firmware_memmap(SystemRoot(str(quick_path))).value
    assert found
    assert found.ram_kib == 40_000
    assert len(found.holes()) == 9_999


def test_a_map_of_more_entries_than_any_machine_has_is_refused_with_a_number(
    quick_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = tuple(str(number) for number in range(MOST_ENTRIES + 1))
    root = SystemRoot(str(quick_path))
    monkeypatch.setattr(root, "names", lambda _: Outcome(names, "ok"))
    assert read_firmware_memmap(root).status == "malformed: 20001 entries, more than 20000"


def test_an_entry_that_cannot_be_read_is_left_out_and_said(pv_guest: Path) -> None:
    put(pv_guest, f"{MEMMAP}/1/end", "far away\n")
    put(pv_guest, f"{MEMMAP}/9/start", "0x0\n")
    put(pv_guest, f"{MEMMAP}/notes", "not a number\n")
    found = gathered(pv_guest).firmware_map
    assert found
    assert found.ram_kib == 1048192
    assert found.oddities == (
        "entry 1: 'far away\\n' is not a hexadecimal number",
        "entry 9: end is absent",
    )


def test_entries_are_taken_in_the_order_of_their_numbers_and_not_of_their_names(
    quick_path: Path,
) -> None:
    for number in range(12):
        entry(quick_path, number, number << 20, (number << 20) + 0xFFFFF)
    found = read_firmware_memmap(SystemRoot(str(quick_path))).value
    assert found
    assert [region.start >> 20 for region in found.in_order_read] == list(range(12))


def test_a_map_without_one_sound_entry_is_malformed_with_the_first_reason(quick_path: Path) -> None:
    (quick_path / MEMMAP / "0").mkdir(parents=True)
    status = read_firmware_memmap(SystemRoot(str(quick_path))).status
    assert status == "malformed: no readable entry, entry 0: start is absent"
    (quick_path / MEMMAP / "0").rmdir()
    assert read_firmware_memmap(SystemRoot(str(quick_path))).status == "malformed: no entries"


def test_a_range_to_the_last_address_and_one_that_ends_before_it_starts(quick_path: Path) -> None:
    entry(quick_path, 0, 0x100000, 0x1FFFFF)
    entry(quick_path, 1, 0xFFFFFFFFFFF00000, 0xFFFFFFFFFFFFFFFF, "Reserved")
    entry(quick_path, 2, 0x500000, 0x4FFFFF)
    found = read_firmware_memmap(SystemRoot(str(quick_path))).value
    assert found
    assert (len(found.regions), len(found.oddities), found.ram_kib) == (2, 1, 1024)


def test_zeroed_addresses_are_hidden_and_not_an_empty_machine(pv_guest: Path) -> None:
    text = "00000000-00000000 : Reserved\n00000000-00000000 : System RAM\n"
    put(pv_guest, "proc/iomem", text + "  00000000-00000000 : Kernel code\n")
    snapshot = gathered(pv_guest)
    assert snapshot.sources["iomem"] == "hidden"
    assert snapshot.iomem is None
    assert assess(snapshot).situation.reconciliation.unexplained_kib == 0


@pytest.mark.parametrize("page_kib", [4, 16, 64])
def test_the_kernels_page_size_is_told_by_memtotal_and_the_zones(
    quick_path: Path, page_kib: int
) -> None:
    put(quick_path, "sys/hypervisor/type", "xen\n")
    put(quick_path, "proc/meminfo", f"MemTotal: {1000 * page_kib} kB\nMemFree: 64 kB\n")
    put(quick_path, "proc/zoneinfo", "  spanned 1024\n  present 1024\n  managed 1000\n")
    assert gathered(quick_path).domain.page_kib == page_kib


def test_pressure_that_is_switched_off_is_absent(
    quick_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without psi=1 opening the file gives EOPNOTSUPP on some kernels, ENOENT on others."""
    root = SystemRoot(str(quick_path))
    assert read_pressure(root).status == "absent"
    monkeypatch.setattr(os, "open", refuse_with(95))
    assert read_pressure(root).status == "absent"


def refuse_with(number: int) -> Callable[..., int]:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    return refuse


def test_memory_blocks_have_their_size_and_states(quick_path: Path) -> None:
    directory = "sys/devices/system/memory"
    put(quick_path, f"{directory}/block_size_bytes", "8000000\n")
    put(quick_path, f"{directory}/auto_online_blocks", "offline\n")
    for block, state in {2: "online", 10: "offline", 3: "going-offline"}.items():
        put(quick_path, f"{directory}/memory{block}/state", f"{state}\n")
    put(quick_path, f"{directory}/memory7", "a file")
    put(quick_path, f"{directory}/memoryless", "a file")
    assert read_memory_blocks(SystemRoot(str(quick_path))).value == (
        0x8000000, (2, 3, 7), (10,), "offline",
    )  # fmt: skip


@pytest.mark.parametrize("size", ["0\n", "", "big\n", "0x\n"])
def test_blocks_of_no_size_are_malformed(quick_path: Path, size: str) -> None:
    put(quick_path, "sys/devices/system/memory/block_size_bytes", size)
    assert read_memory_blocks(SystemRoot(str(quick_path))).status.startswith("malformed: ")


def test_more_blocks_than_any_machine_has_are_refused(
    quick_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(quick_path, "sys/devices/system/memory/block_size_bytes", "8000000\n")
    root = SystemRoot(str(quick_path))
    names = tuple(f"memory{number}" for number in range(MOST_BLOCKS + 1))
    monkeypatch.setattr(root, "names", lambda _: Outcome(names, "ok"))
    assert read_memory_blocks(root).status == "malformed: 65537 blocks, more than 65536"


@pytest.mark.parametrize(
    ("key", "toolstack"),
    [
        ("static-max", "libxl"),
        ("dynamic-min", "xapi"),
        ("hotplug-max", "qubes"),
        ("memory_static_max", "xend"),
        ("target", None),
    ],
)
def test_each_toolstack_is_known_by_its_keys(
    quick_path: Path, key: str, toolstack: str | None
) -> None:
    put(quick_path, f"xenstore/memory/{key}", "1048576")
    facts, _ = read_host(CapturedKeys(SystemRoot(str(quick_path))))
    assert facts.toolstack == toolstack


def test_a_target_that_is_no_number_is_kept_to_be_shown_and_made_harmless(quick_path: Path) -> None:
    put(quick_path, "xenstore/memory/target", "\x1b]0;gotcha\x07abc")
    put(quick_path, "xenstore/name", "web\x1b[31m1")
    facts, statuses = read_host(CapturedKeys(SystemRoot(str(quick_path))))
    assert facts.memory.target_kib is None
    assert facts.memory.target_text == r"'\x1b]0;gotcha\x07abc'"
    assert facts.name == r"'web\x1b[31m1'"
    assert statuses["xenstore.memory/target"].isprintable()


def test_a_version_that_no_terminal_survives_is_none(pv_guest: Path) -> None:
    put(pv_guest, "proc/sys/kernel/osrelease", "6.1\x1b]0;gotcha\x07\n")
    put(pv_guest, "sys/hypervisor/version/major", "4\x1b[31m\n")
    domain = gathered(pv_guest).domain
    assert (domain.kernel_text, domain.xen_version) == (None, None)


def test_a_domain_is_known_by_its_files_when_the_hypervisor_says_little(pv_guest: Path) -> None:
    """Before Linux 4.13 there is no guest_type: the features tell."""
    (pv_guest / "sys/hypervisor/guest_type").unlink()
    for features, kind in {"00000000": "pv", "00000705": "hvm", "00000305": "pvh"}.items():
        put(pv_guest, "sys/hypervisor/properties/features", f"{features}\n")
        assert gathered(pv_guest).domain.domain_type == kind


def test_what_was_read_where_is_said_for_each_source(pv_guest: Path) -> None:
    root = SystemRoot(str(pv_guest))
    snapshot = gather(root, CapturedKeys(root), Origin("capture", "here"))
    assert set(snapshot.sources) >= {*FILES.values(), "firmware-map", "meminfo", "xenstore"}
    words = {"ok", "absent", "denied", "hidden"}
    assert not [s for s in snapshot.sources.values() if s not in words]


def test_the_map_of_a_machine_without_firmware_map_is_that_of_iomem(quick_path: Path) -> None:
    """ARM: RAM begins at 1 GiB, and nothing is below /sys/firmware/memmap."""
    put(quick_path, "sys/hypervisor/type", "xen\n")
    put(quick_path, "proc/iomem", "40000000-7fffffff : System RAM\n  40210000-40ffffff : Kernel\n")
    snapshot = gather(SystemRoot(str(quick_path)), NoKeys(), Origin("capture", "arm"))
    assert snapshot.firmware_map
    assert snapshot.firmware_map.ram_kib == 1048576
    assert snapshot.sources["firmware-map"] == "absent"
    put(
        quick_path, "proc/iomem", "00001000-0009ffff : System RAM\n00100000-3fffffff : System RAM\n"
    )
    snapshot = gather(SystemRoot(str(quick_path)), NoKeys(), Origin("capture", "pc"))
    assert snapshot.firmware_map is None
