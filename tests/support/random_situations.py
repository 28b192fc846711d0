# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole examinations drawn at random: what guests could look like, in any combination.

Unlike `any_snapshot`, which tries what no guest can be, the sizes here belong to a guest: targets
near what it has, may have, or in another unit; each kernel, toolstack, log and other agent.
"""

from __future__ import annotations

from random import Random
from typing import Any, Final

from agent.core.account.situation import understand
from agent.core.facts.kernel_regimes import REGIMES
from agent.core.facts.kernel_release import KernelRelease
from agent.core.facts.snapshot import (
    BalloonReading,
    BootLog,
    BootRecord,
    HostMemoryKeys,
    MemoryBlocks,
    MemoryReading,
    Snapshot,
)
from agent.core.facts.units import PAGE_KIB
from agent.core.findings.examination import (
    Distribution,
    Examination,
    GuestKeys,
    KernelComplaints,
    KernelConfig,
    Look,
    Processes,
    VmCounters,
    Watch,
)
from tests.support.snapshots import (
    BLOCK,
    CALM,
    STALLED,
    a_dom0,
    a_pv_guest,
    a_pvh_guest,
    an_hvm_guest,
)

UUID: Final = "d4352faf-853e-4c60-b096-a16c102e04f0"
TOOLSTACKS: Final = ("libxl", "xapi", "qubes", "xend", None)
RELEASES: Final = (*(regime.since for regime in REGIMES), KernelRelease(6, 17), None)
AGENTS: Final = ("xe-daemon", "xen-guest-agent", "meminfo-writer", "xenballoond", "balloon-agent")
_BASES: Final = (a_pv_guest, a_pv_guest, a_pvh_guest, an_hvm_guest, a_dom0)
_DECAYING: Final = CALM._replace(some_avg60=20.0, full_avg60=12.0, full_avg300=3.0)
_REFUSALS: Final = ("Cannot add additional memory (-17)", "add_memory() failed: -17")
_MOST_KIB: Final = 1048576


def examination(seed: int) -> Examination:
    """The same for the same seed."""
    chance = Random(seed)
    snapshot = _snapshot(chance)
    watch = _watch(chance, snapshot) if chance.random() < 0.3 else None
    rarely = chance.random
    return Examination(
        situation=understand(snapshot),
        sources=dict(snapshot.sources),
        config=KernelConfig(
            memory_hotplug=chance.random() < 0.5,
            source="/boot/config",
        )
        if rarely() < 0.3
        else None,
        complaints=_complaints(chance) if rarely() < 0.5 else None,
        counters=VmCounters(chance.choice((0, 0, 1, 7)), 0, 0) if rarely() < 0.5 else None,
        processes=Processes(
            tuple(chance.choices(AGENTS, k=chance.randrange(3))),
            chance.choice((None, 1.0, 5000.0)),
            systemd=chance.random() < 0.5,
        )
        if rarely() < 0.4
        else None,
        keys=GuestKeys(
            chance.choice((None, 456048, 900000)),
            feature_balloon=chance.random() < 0.5,
            qubes_meminfo=chance.random() < 0.3,
            control_writable=chance.choice((None, True, False)),
        )
        if rarely() < 0.4
        else None,
        published_domid=chance.choice((None, None, 5, 6)),
        watch=watch,
        distribution=chance.choice(
            (None, Distribution("debian"), Distribution("rocky", ("rhel",)))
        ),
    )


def _snapshot(chance: Random) -> Snapshot:
    snapshot = chance.choice(_BASES)()
    kernel = chance.choice(RELEASES) if chance.random() < 0.7 else snapshot.domain.kernel
    domain = snapshot.domain._replace(
        kernel=kernel,
        kernel_text=str(kernel) if kernel else None,
        toolstack=chance.choice(TOOLSTACKS) if chance.random() < 0.6 else "libxl",
        domid=chance.choice((None, 0 if snapshot.domain.is_dom0 else 5)),
        uuid=chance.choice((None, UUID)),
        name=chance.choice((None, "work", "two words")),
    )
    balloon = _balloon(chance, snapshot.balloon)
    memory = _memory(chance, snapshot.memory, balloon)
    blocks = snapshot.blocks or MemoryBlocks(BLOCK, tuple(range(12)), (), "online")
    offline = tuple(sorted(chance.sample(blocks.online, k=chance.choice((0, 0, 0, 1, 2)))))
    map_kib = snapshot.firmware_map.ram_kib if snapshot.firmware_map else 0
    parts: dict[str, Any] = {
        "domain": domain,
        "balloon": balloon,
        "host": _host(chance, balloon or snapshot.balloon, domain.toolstack),
        "memory": memory,
        "blocks": chance.choice(
            (
                None,
                blocks._replace(
                    online=tuple(block for block in blocks.online if block not in offline),
                    offline=offline,
                    auto_online=chance.choice((None, "online", "offline")),
                ),
            )
        ),
        "pressure": chance.choice((None, CALM, CALM, _DECAYING, STALLED)),
        "hotplug_unpopulated": chance.choice((None, True, False)),
        "boot_log": _log(chance, snapshot.boot_log),
        "boot_record": BootRecord(524288, 524288, map_kib, 524288, chance.choice((None, _MOST_KIB)))
        if chance.random() < 0.2
        else None,
        "kernel_options": chance.choice(
            [(), (), ("crashkernel=128M",), ("mem=768M",)] * 5 + [("elfcorehdr=1",)]
        ),
        "crash_kernel_kib": chance.choice((None, 0, 131072)),
        "uptime_s": chance.choice((None, 10.0, 30.0, 1e6)),
    }
    if chance.random() < 0.1:
        parts["zones"] = None
    if chance.random() < 0.1:
        parts["firmware_map"] = None
    if chance.random() < 0.1:
        parts["sources"] = {
            **snapshot.sources,
            "xenstore": chance.choice(("denied", "malformed: x")),
        }
    return snapshot._replace(**parts)


def _log(chance: Random, log: BootLog | None) -> BootLog | None:
    if log is None or chance.random() < 0.3:
        return None
    return log._replace(whole=chance.random() < 0.7)


def _near(chance: Random, *sizes_kib: int) -> int:
    """One of the sizes, or what people and programs make of it."""
    kib = chance.choice(sizes_kib)
    return chance.choice(
        (kib, kib, kib, kib + 1, kib - 4, kib + 4, kib + 396, kib // 2, kib * 2, kib + 65536,
         kib // 1024, kib * 1024, kib * 64, kib - 300000)
    )  # fmt: skip


def _balloon(chance: Random, whole: BalloonReading | None) -> BalloonReading | None:
    if whole is None or whole.current_kib is None or chance.random() < 0.05:
        return None
    all_kib = whole.current_kib + (whole.low_kib or 0)
    chosen = chance.choice((whole.current_kib, whole.current_kib, all_kib, 262144, 100000))
    held_kib = chance.choice((0, all_kib - chosen, all_kib - chosen, all_kib - chosen))
    target_kib = chance.choice((chosen, _near(chance, chosen, _MOST_KIB) // PAGE_KIB * PAGE_KIB))
    still = target_kib == chosen
    return whole._replace(
        current_kib=chosen,
        target_kib=target_kib,
        target_bytes=target_kib * 1024,
        low_kib=held_kib,
        retry_count=1 if still else chance.choice((None, 1, 1, 3)),
        schedule_delay_s=1 if still else chance.choice((None, 1, 1, 8)),
        max_retry_count=chance.choice((None, 0, 4)),
        motion="still" if still else chance.choice(("still", "moved", "unknown", "unknown")),
    )


def _host(chance: Random, balloon: BalloonReading | None, toolstack: str | None) -> HostMemoryKeys:
    at_kib = (balloon.target_kib if balloon else None) or 524288
    most_kib = chance.choice((_MOST_KIB, _MOST_KIB, _MOST_KIB, at_kib, None, _MOST_KIB + 131072))
    low_kib, high_kib = sorted(_near(chance, at_kib, 262144, _MOST_KIB) for _ in range(2))
    ranged = toolstack == "xapi"
    garbage = chance.random() < 0.05
    if chance.random() < 0.1:
        low_kib, high_kib = high_kib, low_kib
    return HostMemoryKeys(
        target_kib=None if garbage else chance.choice((at_kib, _near(chance, at_kib, _MOST_KIB))),
        target_text=chance.choice(("'512M'", "'apples'", "'786432 KiB'")) if garbage else None,
        static_max_kib=most_kib,
        videoram_kib=chance.choice((None, -1, 0, 0, 8192, 16384)),
        dynamic_min_kib=max(0, low_kib) if ranged else None,
        dynamic_max_kib=max(0, high_kib) if ranged else None,
        initial_target_kib=chance.choice((None, 524288, _MOST_KIB)) if ranged else None,
        hotplug_max_kib=4 * _MOST_KIB if chance.random() < 0.05 else None,
        memory_offset_kib=chance.choice((None, 0, -388, 34816, -69632, 262144)) if ranged else None,
        uncooperative=chance.random() < 0.1,
    )


def _memory(
    chance: Random, whole: MemoryReading | None, balloon: BalloonReading | None
) -> MemoryReading | None:
    """MemTotal follows current_kb, or is read when the balloon was somewhere else."""
    if whole is None or chance.random() < 0.05:
        return None
    total_kib = whole.total_kib
    if balloon is not None and balloon.current_kib is not None and chance.random() < 0.8:
        total_kib = max(40000, balloon.current_kib - 68000)
    available_kib = int(total_kib * chance.choice((0.0, 0.01, 0.04, 0.3, 0.8)))
    return whole._replace(
        total_kib=total_kib, available_kib=available_kib, free_kib=available_kib // 2
    )


def _complaints(chance: Random) -> KernelComplaints:
    return KernelComplaints(
        boot_wait_s=chance.choice((None, None, 3.0, 79.0)),
        boot_shortage_pages=chance.choice((None, None, None, 1000)),
        refusals=chance.choice(((), (), _REFUSALS)),
        kills=chance.choice((0, 1)),
        group_kills=chance.choice((0, 1)),
    )


def _watch(chance: Random, snapshot: Snapshot) -> Watch:
    balloon, memory = snapshot.balloon, snapshot.memory
    current = balloon.current_kib if balloon else None
    looks = [
        Look(
            at_s=at_s,
            current_kib=current,
            target_kib=balloon.target_kib if balloon else None,
            host_target_kib=chance.choice((524288, 786432)),
            available_kib=memory.available_kib if memory else None,
            balloon_thread_s=float(step) * chance.choice((0.0, 1.0)),
            counters=VmCounters(step * chance.choice((0, 0, 1)), step, step),
        )
        for step, at_s in enumerate((0.0, 20.0, 40.0, 60.0, 80.0, 100.0))
    ]
    return Watch(tuple(looks))
