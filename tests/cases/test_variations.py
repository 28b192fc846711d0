# SPDX-License-Identifier: GPL-2.0-or-later
"""Relatives of the reported guests: of other sizes, kernels and toolstacks, with the same trouble.

Each is a reported or captured guest with some files changed, and what is right of it then.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from itertools import product
from typing import Any, Final, NamedTuple, Optional

import pytest

from agent.core.findings.finding import Finding
from tests import captures
from tests.cases.test_every_case import HERE, Case, judged

_BALLOON: Final = "sys/devices/system/xen_memory/xen_memory0"
_BLOCKS: Final = "sys/devices/system/memory"
_KILL_LINE: Final = r"(?m)^.*ut of memory.*\n?"
Files = Mapping[str, Optional[str]]


class Relative(NamedTuple):
    """`of`: a case, or a capture; `without`: lines of its log that are gone."""

    of: str
    files: Files
    codes: tuple[str, ...] = ()
    must_not: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    must_not_say: tuple[str, ...] = ()
    status: str = "ok"
    without: str | None = None


def host(**keys: object) -> Files:
    """Keys of memory/, their names with `_` for `-`; None takes one away."""
    return {
        f"xenstore/memory/{name.replace('_', '-')}": None if value is None else str(value)
        for name, value in keys.items()
    }


def driver(current_kib: int, target_kib: int, low_kib: int, retries: int = 1) -> Files:
    return {
        f"{_BALLOON}/info/current_kb": f"{current_kib}\n",
        f"{_BALLOON}/target_kb": f"{target_kib}\n",
        f"{_BALLOON}/target": f"{target_kib * 1024}\n",
        f"{_BALLOON}/info/low_kb": f"{low_kib}\n",
        f"{_BALLOON}/retry_count": f"{retries}\n",
        f"{_BALLOON}/schedule_delay": f"{retries}\n",
    }


def release(text: str) -> Files:
    return {"proc/sys/kernel/osrelease": f"{text}\n"}


PV: Final = "pv-512-1024/boot"
XAPI: Final = "xcpng-migrated-back"

RELATIVES: Final[dict[str, Relative]] = {
    "a guest that is asked for 64 times what it may have is not told to shrink to a 16th": Relative(
        PV,
        {**host(target=64 << 20), **driver(524288, 64 << 20, 524288, retries=3)},
        codes=("target-beyond-static-max",),
        must_not=("units-trap",),
        must_not_say=("65536k", "64 MiB:"),
        status="warning",
    ),
    "bytes that mean less than the guest uses bring no command that squeezes it": Relative(
        PV,
        {**host(target=160 << 20), **driver(524288, 160 << 20, 524288)},
        codes=("units-trap",),
        says=("xl mem-set 1 524288k",),
        must_not_say=("163840k",),
        status="warning",
    ),
    "a guest that is short is not told to aim at more than it may have": Relative(
        "pvh-512-1024/boot",
        {
            **host(target=97888898139),
            "proc/meminfo": "MemTotal: 459592 kB\nMemFree: 8000 kB\nMemAvailable: 9000 kB\n",
            "proc/pressure/memory": "some avg10=70.00 avg60=50.00 avg300=9.00 total=99999999\n"
            "full avg10=50.00 avg60=30.00 avg300=5.00 total=9999999\n",
        },
        codes=("pressure-after-deflate", "target-beyond-static-max"),
        says=("echo 1048188 > ",),
        must_not_say=("echo 97888897",),
        status="critical",
    ),
    "a guest on its way to nothing, as the host asks, is not told that all is well": Relative(
        "pv-512-1024-moving/moving-1024-to-384",
        {**host(target=0), **driver(800768, 0, 247808)},
        codes=("units-trap",),
        says=("The host asks for 0 KiB, which this guest cannot live in", "800768k #"),
        status="critical",
    ),
    "a target in the wrong unit is not mended with one beyond the maximum": Relative(
        PV,
        {**host(target=2097152), **driver(524288, 1000, 524288)},
        codes=("units-trap",),
        says=("echo 1048576 > ",),
        must_not_say=("echo 2097152",),
        status="critical",
    ),
    "a guest that is two pages off its target is not on its way from 1 GiB to 1 GiB": Relative(
        "dom0-pvh-k612/boot",
        {**host(target=1048564), **driver(1048572, 1048564, 0)},
        says=("moving from 1048572 KiB to 1048564 KiB",),
    ),
    "a target a page beyond the maximum is told with figures that differ": Relative(
        PV,
        {**host(target=1048580), **driver(1048576, 1048576, 0)},
        codes=("target-beyond-static-max",),
        says=("asks for 1048580 KiB, the domain may have at most 1048576 KiB",),
        status="warning",
    ),
    "PV in a shim, at rest, with the offset of a shim: healthy": Relative(
        "xapi-pv-shim-offset",
        {**driver(4194304, 4194304, 0), **host(uncooperative=None)},
        must_not=("memory-offset-spoilt", "target-retrying"),
    ),
    "PV under XAPI that was measured while it grew: one cause, one cure": Relative(
        "xapi-pv-shim-offset",
        host(memory_offset=-69632),
        codes=("target-retrying", "memory-offset-spoilt", "marked-uncooperative"),
        must_not_say=("change the VM's dynamic range",),
        status="warning",
    ),
    "HVM under XAPI whose limit leaves its offset out, with kills of long ago": Relative(
        XAPI,
        {
            **host(memory_offset=1036, uncooperative=""),
            **driver(4192876, 4193912, 1036, retries=5),
        },
        codes=("target-retrying",),
        says=("exactly memory/memory-offset", "a target 1.01 MiB above that"),
        must_not=("memory-stalls",),
        must_not_say=("to 4 GiB yet",),
        status="warning",
    ),
    "static-max moved, and a smaller target was written in the guest": Relative(
        "edera-pvh-updated",
        {**driver(489468, 489468, 558720), **host(target=523648)},
        codes=("static-max-moved", "target-overridden"),
        says=("echo 523260 > ",),
        status="warning",
    ),
    "static-max moved while the guest is on its way to another size": Relative(
        "edera-pvh-updated",
        {
            **host(target=655360),
            **driver(600000, 654972, 448188),
            "proc/meminfo": "MemTotal: 550796 kB\nMemFree: 400000 kB\nMemAvailable: 420000 kB\n",
        },
        codes=("static-max-moved",),
        must_not=("target-overridden",),
    ),
    "short under XAPI with a fixed range in the middle: it can be raised while it runs": Relative(
        XAPI,
        {
            **host(dynamic_max=2097152, dynamic_min=2097152, target=2097152),
            **driver(2096760, 2096760, 2097152),
            "proc/meminfo": "MemTotal: 1900000 kB\nMemFree: 8000 kB\nMemAvailable: 20000 kB\n",
            "xenstore/data/meminfo_total": "1900000",
        },
        codes=("memory-short",),
        says=("raise the VM's dynamic-max (2 GiB)", "2 GiB in the balloon are beyond"),
        must_not_say=("holds nothing", "shut down"),
        status="warning",
    ),
    "a driverless guest that was started small": Relative(
        "rocky9-xcpng-squeezed",
        host(initial_target=2097152),
        codes=("pod-gap", "no-driver"),
        says=("than it was given: Xen kills it", "dynamic-max and static-max the same"),
        must_not_say=("SIZE",),
        status="critical",
    ),
    "a driverless guest of which nothing tells what it was started with": Relative(
        "rocky9-xcpng-squeezed",
        host(initial_target=None, dynamic_min=None, dynamic_max=None, memory_offset=None),
        codes=("pod-gap",),
        says=("if it was started so",),
        status="critical",
    ),
    "a driverless PV guest under XAPI": Relative(
        "rocky9-xcpng-squeezed",
        {"sys/hypervisor/guest_type": "PV\n"},
        codes=("no-driver", "marked-uncooperative"),
        must_not=("memory-offset-spoilt", "pod-gap"),
        status="warning",
    ),
    "an ordinary user of an ARM guest": Relative(
        "arm64-guest-plain",
        {"proc/iomem": "00000000-00000000 : System RAM\n00000000-00000000 : Kernel code\n"},
        codes=("iomem-hidden",),
        must_not_say=("the firmware map is used",),
    ),
    "a block of the boot that was put offline in a guest that has hot-added memory": Relative(
        "pv-512-1024-hotplug/hotplugged-onlined",
        {f"{_BLOCKS}/memory2/state": "offline\n"},
        codes=("hotplug-offline",),
        must_not=("unexplained",),
        says=("of the boot was put offline", "echo online"),
        must_not_say=("memhp_default_state",),
    ),
    "a container's kill of which the log holds the constraint alone": Relative(
        "xcpng-k8s-memcg-oom",
        {},
        without=_KILL_LINE,
        must_not=("memory-stalls",),
    ),
    "an initial-target that no guest of that map can have been started with": Relative(
        XAPI,
        host(initial_target=999999999999),
        must_not_say=("249999999901",),
    ),
    "a host target of 0": Relative(
        "xapi-target-overridden", host(target=0), codes=("target-overridden",),
        says=("the host's target means 0 KiB",), must_not_say=("-392 KiB",), status="warning",
    ),
    "an old HVM guest that lacks what the hole took": Relative(
        "hvm-32-hole-given-away",
        {"proc/meminfo": "MemTotal: 7941408 kB\nMemFree: 50000 kB\nMemAvailable: 90000 kB\n"},
        codes=("memory-short", "hole-given-away"),
        says=("see hole-given-away",),
        status="warning",
    ),
    "an HVM guest before 4.13 that has all it can have": Relative(
        "ubuntu1604-hvm-2g-vr8",
        release("3.16.0-4-amd64"),
        codes=("hvm-aims-beyond",),
        says=("that is all it can have",),
        must_not_say=("it cannot get to",),
    ),
    "a crash kernel was started with all of its map": Relative(
        "kdump-xl-hvm-grows", {}, codes=("kdump-kernel",),
        says=("All of it was populated at boot",), must_not_say=(" 0 KiB of",), status="warning",
    ),
    "a crash kernel of 32 bits whose target is below zero": Relative(
        "kdump-xl-hvm-wrapped",
        driver(172776, (1 << 32) - 1834376, 90000, retries=5),
        codes=("kdump-kernel",),
        says=("echo 262776",),
        must_not_say=("TiB",),
        status="critical",
    ),
    "a dom0 that uses more than is usual is not told to take less": Relative(
        "nuc-dom0-autoballoon-moving", {}, codes=("dom0-autoballoon",),
        says=("dom0_mem=9216M,max:9216M",), must_not_say=("dom0_mem=4096M",),
    ),
    "a dom0 (PVH) whose map is the host's": Relative(
        "dom0-pvh-k612/boot", {}, codes=("page-struct-overhead",),
        must_not_say=("maxmem=", "memory="),
    ),
    "an EC2 instance on Amazon's Xen with the keys of xl": Relative(
        "ec2-c3large-ubuntu1404",
        host(static_max=4194304, target=8388608),
        codes=("target-beyond-static-max",),
        says=("ask whoever runs the host",),
        must_not_say=("xl mem-set",),
        status="warning",
    ),
    "an EC2 instance whose target was written in bytes": Relative(
        "ec2-30g-no-static-max",
        {**host(target=31981568 << 10), **driver(31981172, 31981568 << 10, 0, retries=20)},
        codes=("units-trap", "target-retrying"),
        says=("seems to mean 30.5 GiB", "(31981172 KiB)"),
        must_not_say=("hypervisor refuses",),
        status="warning",
    ),
    "an EC2 instance whose target was written in MiB, which is more than 24 MiB as KiB": Relative(
        "ec2-30g-no-static-max",
        {**host(target=31231), **driver(31981172, 30835, 0)},
        codes=("units-trap", "not-seen-moving"),
        says=("asks for 30.5 MiB and seems to mean 30.5 GiB", "and 31231 looks like MiB"),
        must_not=("target-overridden",),
        must_not_say=("5.29 GiB (",),
        status="critical",
    ),
    "an HVM guest of an old kernel that has the fix of newer ones": Relative(
        "ubuntu1604-hvm-2g-vr8",
        {
            **release("3.10.0-1160.el7.x86_64"),
            **host(target=1048576),
            **driver(1048576, 1048576, 2088564 - 1048576),
        },
        must_not=("unexplained", "hole-given-away"),
    ),
    "an old HVM guest that was ballooned down: each screen says what it really has": Relative(
        "hvm-32-hole-given-away",
        {**host(target=4194304), **driver(4194304, 4194304, 262144 + 4194304)},
        codes=("hole-given-away",),
        says=("The guest has 3.75 GiB of the 7.75 GiB it may grow to", "settled at 3.75 GiB"),
        must_not=("unexplained",),
    ),
    "an HVM guest that may grow by less than its size shows": Relative(
        "oel8-uek-crashkernel-range", {},
        says=("has 1.99 GiB and may grow by 4 MiB;",),
        must_not_say=("1.99 GiB of the 1.99 GiB",),
    ),
    "kills of a migration, told by the counter alone": Relative(
        XAPI, {}, codes=("memory-stalls",),
        says=("raise the VM's dynamic-min (1 GiB)", "does not hold these kills any more"),
        must_not_say=("could give",),
    ),
    "kills of a migration, told by the log": Relative(
        XAPI,
        {"kernel.log": "[ 9100.2] Out of memory: Killed process 7779 (java) total-vm:1200000kB\n"},
        codes=("memory-stalls",),
        must_not_say=("does not hold these kills",),
    ),
    "kills under XAPI with a range that has one size": Relative(
        XAPI, host(dynamic_min=4194304), must_not=("memory-stalls",),
    ),
    "kills that the log has forgotten": Relative(
        "xcpng-k8s-memcg-oom",
        {"kernel.log": "[    0.620000] Memory: 3953912K/4193912K available (240000K reserved)\n"},
        codes=("memory-stalls",),
        says=("whether some were for the limit of a control group",),
        status="warning",
    ),
    "a guest under XAPI that has nothing left to give": Relative(
        "xapi-target-overridden",
        {**host(target=1048576), **driver(2097152, 1048184, 2096760, retries=3)},
        codes=("target-retrying",),
        says=("raise the VM's dynamic-min to 2 GiB, which it uses",),
        must_not_say=("change the VM's dynamic range",),
        status="warning",
    ),
    "a guest under XAPI that uses more than its range lets it have": Relative(
        "xapi-target-overridden",
        {
            **host(target=1048576, dynamic_min=1048576, dynamic_max=1048576),
            **driver(2097152, 1048184, 2096760, retries=3),
        },
        codes=("target-retrying",),
        says=("raise the VM's dynamic-max (1 GiB) and dynamic-min to 2 GiB, which it uses",),
        must_not_say=("where the host is short",),
        status="warning",
    ),
    "a guest under XAPI that is asked for more than its map": Relative(
        XAPI,
        {
            **host(static_max=6291456, dynamic_max=6291456, target=6291456),
            **driver(4193912, 6291064, 0, retries=3),
        },
        codes=("target-retrying",),
        says=("the VM can take no more than 4 GiB until its next start",),
        must_not_say=("free memory there",),
        status="warning",
    ),
    "a qube that has nothing left to give": Relative(
        "qubes-hvm-slow-boot",
        {**host(target=294912), **driver(376436, 278132, 3702784, retries=3)},
        codes=("target-retrying",),
        says=("close programs in this qube",),
        must_not_say=("close other qubes",),
        status="warning",
    ),
    "a guest with pages of 16 KiB, whose target is no whole number of them": Relative(
        "rpi5-16k-domu",
        {**host(target=400008), **driver(400000, 400000, 524288 - 400000)},
        must_not=("target-overridden", "hvm-below-configured", "unexplained"),
        must_not_say=("by design",),
    ),
    "a kernel whose log tells that it tried to hot-add is not said to be unable to": Relative(
        "ubuntu1604-pv-1g-2g",
        {
            **host(static_max=3145728, target=3145728),
            **driver(2097152, 3145728, 0, retries=5),
            "kernel.log": "[ 1200.1] xen:balloon: add_memory() failed: -17\n",
        },
        codes=("target-retrying", "hotplug-refused"),
        must_not_say=("cannot hot-add",),
        status="warning",
    ),
    "a dom0 that has nothing left to give is not called a guest": Relative(
        "nuc-dom0-autoballoon-moving",
        driver(57590668, 47104908, 7201128, retries=4),
        codes=("target-retrying",),
        says=("dom0 has no free memory to give back", "It is dom0 that has no free memory"),
        must_not_say=("The guest has no", "the guest that has no"),
        status="warning",
    ),
    "a dom0 of which much goes to page structures is not called a guest": Relative(
        "dom0-pvh-k612/boot",
        {
            **host(target=1048572),
            "proc/meminfo": "MemTotal: 875540 kB\nMemFree: 9000 kB\nMemAvailable: 12000 kB\n",
        },
        codes=("page-struct-overhead", "less-than-configured", "memory-short"),
        says=("of what dom0 has now", "less than dom0 was given", "dom0 is short of memory ("),
        must_not_say=("the guest has now", "the guest was given", "The guest is short"),
        status="warning",
    ),
    "a log that is of another kernel than the one that runs": Relative(
        "ubuntu1604-pv-1g-2g", release("4.4.0-98-generic"),
        says=("(nr_pages 262144, not exact, from kernel-log)",),
    ),
    "a log that is of the kernel that runs": Relative(
        "ubuntu1604-pv-1g-2g", {}, says=("(nr_pages 262144, exact, from kernel-log)",),
    ),
    "a qube without balancing, on Qubes' own kernel": Relative(
        "qubes-hvm-fixed-1g-short",
        {"proc/meminfo": "MemTotal: 941172 kB\nMemFree: 4000 kB\nMemAvailable: 6000 kB\n"},
        codes=("pressure-after-deflate",),
        must_not_say=("xl mem-set", "domain's configuration"),
        status="warning",
    ),
}  # fmt: skip


@cache
def relative(name: str) -> Case:
    told = RELATIVES[name]
    case = HERE / f"{told.of}.json"
    files: dict[str, str] = (
        json.loads(case.read_text(encoding="utf-8"))["files"]
        if case.exists()
        else dict(captures.load(told.of).files)
    )
    if told.without:
        log = re.sub(told.without, "", files["kernel.log"])
        line = "[ 9.100000] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),task=node,uid=0\n"
        files["kernel.log"] = log + line
    changed = {path: text for path, text in told.files.items() if text is not None}
    gone = {path for path, text in told.files.items() if text is None}
    kept = {path: text for path, text in files.items() if path not in gone}
    return judged(name, kept | changed, {})


@pytest.mark.parametrize("name", RELATIVES)
def test_it_is_told_what_is_right_of_it(name: str) -> None:
    told, (_, diagnosis, screens) = RELATIVES[name], relative(name)
    found = {finding.code for finding in diagnosis.findings}
    text = " ".join(screens.values())
    assert set(told.codes) <= found
    assert not found & set(told.must_not)
    assert [words for words in told.says if words not in text] == []
    assert [words for words in told.must_not_say if words in text] == []
    assert diagnosis.assessment.verdict == told.status
    assert screens["check"].startswith(f"BALLOON {told.status.upper()} - ")


@pytest.mark.parametrize("name", RELATIVES)
def test_no_two_of_its_cures_are_for_the_same_actor_and_size(name: str) -> None:
    findings: tuple[Finding, ...] = relative(name).diagnosis.findings
    sizes = [fix for finding in findings for fix in finding.fixes if fix.sets_size]
    for where, effect in product(("guest", "host"), ("now", "next-boot")):
        assert sum((fix.where, fix.effect) == (where, effect) for fix in sizes) <= 1


def test_every_case_and_capture_that_is_named_exists() -> None:
    named: set[Any] = {told.of for told in RELATIVES.values()}
    assert named <= {path.stem for path in HERE.glob("*.json")} | set(captures.names())
