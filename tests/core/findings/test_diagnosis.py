# SPDX-License-Identifier: GPL-2.0-or-later
"""The doctor's own rules: each finds its case and not the one next to it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import pytest

from agent.core.account.situation import understand
from agent.core.facts.kernel_release import KernelRelease
from agent.core.facts.snapshot import BootRecord, Snapshot
from agent.core.findings.assessment import OF_A_SNAPSHOT
from agent.core.findings.diagnosis import CODES, MODULES, diagnose
from agent.core.findings.examination import (
    Examination,
    GuestKeys,
    KernelComplaints,
    KernelConfig,
    Look,
    Processes,
    VmCounters,
    Watch,
)
from agent.core.findings.registry import CHECKS
from tests.support.snapshots import (
    MIB,
    a_dom0,
    a_pv_guest,
    a_pvh_guest,
    an_unpopulated_guest,
    changed,
    ram_map,
)

CALM_COUNTERS: Final = VmCounters(0, 0, 0)
QUIET: Final = Processes((), 0.5)
BUILT_WITH_ALL: Final = KernelConfig(True, "/boot/config")
XAPI: Final = {"target_kib": 524288, "static_max_kib": 1048576, "dynamic_min_kib": 262144}
ALL_SOURCES: Final = (
    "kernel-messages", "kernel-config", "processes", "guest-keys", "control-permissions",
    "published-status", "vmstat", "minute-of-watching", "xenstore", "xenstore.domid",
    "xenstore.memory/target", "xenstore.memory/static-max", "balloon.current_kb",
    "balloon.target_kb", "balloon.target", "balloon.low_kb",
    "firmware-map", "zoneinfo", "meminfo", "memory-blocks", "kernel-release", "kernel-options",
)  # fmt: skip


def examined(snapshot: Snapshot | None = None, **parts: Any) -> Examination:
    """A settled guest in which everything could be read and nothing is wrong."""
    whole = Examination(
        situation=understand(snapshot or a_pv_guest()),
        sources=dict.fromkeys(ALL_SOURCES, "ok"),
        config=BUILT_WITH_ALL,
        complaints=KernelComplaints(),
        counters=CALM_COUNTERS,
        processes=QUIET,
        keys=GuestKeys(meminfo_total_kib=456048, feature_balloon=True, control_writable=False),
        published_domid=5,
        watch=watch_of({}, {}),
    )
    return whole._replace(**parts)


def watch_of(*changes: dict[str, Any], every_s: float = 2.0) -> Watch:
    """Looks that are all alike but for these changes."""
    alike = Look(0.0, 524288, 524288, 524288, 380268, 0.5, CALM_COUNTERS)
    looks = [alike._replace(at_s=n * every_s, **change) for n, change in enumerate(changes)]
    return Watch(tuple(looks))


def targets(*mib: int) -> Watch:
    return watch_of(*({"host_target_kib": size * MIB} for size in mib))


class Case(NamedTuple):
    """A finding, an examination that has it, and one next to it that has not."""

    code: str
    severity: str
    found_in: Examination
    not_in: Examination


def xapi_guest(**changes: Any) -> Snapshot:
    host = XAPI | {"dynamic_max_kib": 1048576}
    return a_pv_guest(domain={"toolstack": "xapi"}, host=host, **changes)


def short_of_memory(toolstack: str) -> Snapshot:
    return changed(a_pv_guest(memory={"available_kib": 30000}), domain={"toolstack": toolstack})


FALLING: Final = watch_of({"available_kib": 60000}, {"available_kib": 30000}, every_s=60)
OF_15_PERCENT: Final = {"current_kib": 524800, "target_kib": 524800}
CANCELLED: Final = {"target_kib": 786432, "motion": "still"}
EMPTY_AND_OFFLINE: Final = an_unpopulated_guest(blocks={"auto_online": "offline"})
WHOLE_DOM0: Final = a_dom0(
    balloon={"current_kib": 900000, "target_kib": 900000, "low_kib": 672864},
    memory={"total_kib": 751712},
    boot_log={"reserved_kib": 172284},
)

CASES: Final = (
    Case(
        "boot-waits-for-balloon", "info",
        examined(complaints=KernelComplaints(boot_wait_s=20.0)),
        examined(complaints=KernelComplaints(boot_wait_s=5.0)),
    ),
    Case(
        "boot-waits-for-balloon", "info",
        examined(complaints=KernelComplaints(boot_wait_s=109.0)),
        examined(complaints=KernelComplaints(boot_wait_s=0.1)),
    ),
    Case(
        "boot-waits-for-balloon", "critical",
        examined(complaints=KernelComplaints(boot_shortage_pages=1234)),
        examined(complaints=KernelComplaints()),
    ),
    Case(
        "hotplug-refused", "warning",
        examined(
            a_pv_guest(balloon={"target_kib": 786432}),
            complaints=KernelComplaints(refusals=("Cannot add additional memory (-17)",)),
        ),
        examined(a_pv_guest(balloon={"target_kib": 786432})),
    ),
    Case(
        "p2m-bug", "critical",
        examined(
            a_pv_guest(domain={"kernel": KernelRelease(3, 2)}),
            complaints=KernelComplaints(p2m_bug="arch/x86/xen/p2m.c:545"),
        ),
        examined(a_pv_guest(domain={"kernel": KernelRelease(3, 2)})),
    ),
    Case(
        "hotplug-will-stay-offline", "info",
        examined(EMPTY_AND_OFFLINE),
        examined(changed(EMPTY_AND_OFFLINE, blocks={"auto_online": "online"})),
    ),
    Case(
        "hotplug-not-built", "info",
        examined(
            an_unpopulated_guest(hotplug_unpopulated=None),
            config=KernelConfig(False, "/boot/config"),
        ),
        examined(config=KernelConfig(False, "/boot/config")),
    ),
    Case(
        "less-than-configured", "info",
        examined(a_pv_guest(memory={"total_kib": 400000})),
        examined(a_pv_guest(memory={"total_kib": 456048})),
    ),
    Case(
        "rival-agents", "warning",
        examined(processes=Processes(("xe-daemon", "xen-guest-agent"), 0.5)),
        examined(processes=Processes(("balloon-agent", "xe-daemon"), 0.5)),
    ),
    Case(
        "rival-agents", "warning",
        examined(processes=Processes(("meminfo-writer",), 0.5)),
        examined(
            a_pv_guest(domain={"toolstack": "qubes"}), processes=Processes(("meminfo-writer",), 0.5)
        ),
    ),
    Case(
        "rival-agents", "warning",
        examined(processes=Processes(("balloon-agent", "balloon-agent"), 0.5)),
        examined(processes=Processes(("balloon-agent",), 0.5)),
    ),
    Case(
        "rival-agents", "warning",
        examined(processes=Processes(("xenballoond",), 0.5)),
        examined(),
    ),
    Case(
        "enrolled-but-stuck", "warning",
        examined(a_pv_guest(balloon=CANCELLED), keys=GuestKeys(qubes_meminfo=True)),
        examined(keys=GuestKeys(qubes_meminfo=True)),
    ),
    Case(
        "feature-balloon-missing", "warning",
        examined(xapi_guest(), keys=GuestKeys()),
        examined(xapi_guest(), keys=GuestKeys(feature_balloon=True)),
    ),
    Case(
        "feature-balloon-denied", "info",
        examined(processes=Processes(("xe-daemon",), 0.5), keys=GuestKeys(control_writable=False)),
        examined(processes=Processes(("xe-daemon",), 0.5), keys=GuestKeys(control_writable=True)),
    ),
    Case(
        "stale-meminfo-total", "info",
        examined(keys=GuestKeys(meminfo_total_kib=980332)),
        examined(keys=GuestKeys(meminfo_total_kib=456000)),
    ),
    Case(
        "memory-stalls", "warning",
        examined(counters=VmCounters(3, 0, 0), complaints=KernelComplaints(kills=1, group_kills=2)),
        examined(counters=VmCounters(3, 0, 0), complaints=KernelComplaints(group_kills=1)),
    ),
    Case(
        "stale-meminfo-total", "warning",
        examined(
            processes=Processes(("xen-guest-agent",), 0.5),
            keys=GuestKeys(meminfo_total_kib=980332),
        ),
        examined(keys=GuestKeys(meminfo_total_kib=456000)),
    ),
    Case("migrated", "info", examined(published_domid=4), examined(published_domid=5)),
    Case(
        "kthread-busy", "warning",
        examined(watch=watch_of({"balloon_thread_s": 0.5}, {"balloon_thread_s": 1.1})),
        examined(
            watch=watch_of(
                {"balloon_thread_s": 0.5}, {"balloon_thread_s": 1.1, "current_kib": 600000}
            )
        ),
    ),
    Case(
        "kthread-busy", "warning",
        examined(a_pv_guest(uptime_s=1000.0), processes=Processes((), 90.0), watch=None),
        examined(a_pv_guest(uptime_s=10000.0), processes=Processes((), 90.0), watch=None),
    ),
    Case(  # at the edge of long enough; and without an uptime
        "kthread-busy", "warning",
        examined(a_pv_guest(uptime_s=600.0), processes=Processes((), 90.0), watch=None),
        examined(a_pv_guest(uptime_s=None), processes=Processes((), 90.0), watch=None),
    ),
    Case(  # what it took since the boot says nothing where it was watched while the balloon moved
        "kthread-busy", "warning",
        examined(a_pv_guest(uptime_s=700.0), processes=Processes((), 90.0), watch=None),
        examined(
            a_pv_guest(uptime_s=700.0),
            processes=Processes((), 90.0),
            watch=watch_of({}, {"current_kib": 600000}),
        ),
    ),
    Case(
        "kthread-busy", "warning",
        examined(watch=watch_of({"balloon_thread_s": 0.5}, {"balloon_thread_s": 1.1})),
        examined(watch=watch_of({"balloon_thread_s": None}, {"balloon_thread_s": 1.1})),
    ),
    Case(
        "kthread-busy", "warning",
        examined(watch=watch_of({"balloon_thread_s": 0.5}, {"balloon_thread_s": 1.1})),
        examined(watch=watch_of({"balloon_thread_s": 0.5}, {"balloon_thread_s": None})),
    ),
    Case(
        "memory-stalls", "warning",
        examined(counters=VmCounters(2, 0, 0)),
        examined(a_pv_guest(host={"static_max_kib": 524288}), counters=VmCounters(2, 0, 0)),
    ),
    Case(
        "memory-stalls", "critical",
        examined(
            watch=watch_of({}, {"counters": VmCounters(0, 7, 9000)}),
            counters=VmCounters(0, 7, 9000),
        ),
        examined(watch=watch_of({}, {"counters": VmCounters(0, 0, 9000)})),
    ),
    Case(
        "target-oscillation", "warning",
        examined(watch=targets(512, 600, 512, 600, 512, 600)),
        examined(watch=targets(512, 520, 530, 600, 590, 512)),
    ),
    Case("dom0-autoballoon", "info", examined(WHOLE_DOM0), examined(a_dom0())),
    Case(
        "dom0-autoballoon", "warning",
        examined(a_dom0(), watch=targets(1024, 900)),
        examined(a_pv_guest(), watch=targets(512, 500)),
    ),
    Case(
        "host-does-not-move", "warning",
        examined(short_of_memory("qubes"), watch=FALLING),
        examined(short_of_memory("libxl"), watch=FALLING),
    ),
)  # fmt: skip


MADE_SMALLER: Final = {"static_max_kib": 524288, "dynamic_max_kib": 524288}
KILLED: Final = VmCounters(2, 0, 0)
STARTED_WITH_ALL: Final = BootRecord(1500000, 0, 1500000)
XE_DAEMON: Final = Processes(("xe-daemon",), 0.5)
NOT_BUILT: Final = KernelConfig(False, "/boot/config")


def may_have(kib: int, **more: int) -> Snapshot:
    return a_pv_guest(host={"static_max_kib": kib, **more})


def made_smaller(balloon: dict[str, Any]) -> Snapshot:
    host = {**MADE_SMALLER, "dynamic_min_kib": 262144}
    return changed(xapi_guest(), host=host, balloon=balloon)


def a_whole_dom0(boot_kib: int, now_kib: int) -> Snapshot:
    """dom0 on a host of 1500000 KiB, looked at some time after its boot."""
    return a_dom0(
        firmware_map=ram_map((0, 1500000 * 1024 - 1)),
        boot_record=STARTED_WITH_ALL._replace(current_kib=boot_kib),
        balloon={"current_kib": now_kib, "target_kib": now_kib},
    )


def an_unrecorded_dom0(most_kib: int) -> Snapshot:
    """dom0 that has given back a third of what it held, and whose boot nobody knows."""
    numbers = {"current_kib": 1048576, "target_kib": 1048576, "low_kib": 524288}
    return a_dom0(boot_log=None, balloon=numbers, host={"static_max_kib": most_kib})


def falling_to(*available_kib: int) -> Examination:
    looks = watch_of(*({"available_kib": kib} for kib in available_kib), every_s=60)
    return examined(short_of_memory("qubes"), watch=looks)


def busy_thread(to_s: float) -> Examination:
    looks = watch_of({"balloon_thread_s": 1.0}, {"balloon_thread_s": to_s}, every_s=10.0)
    return examined(watch=looks)


def counted(then: VmCounters, now: VmCounters, **complaints: Any) -> Examination:
    return examined(
        watch=watch_of({"counters": then}, {"counters": now}),
        counters=now,
        complaints=KernelComplaints(**complaints),
    )


# At the figure from which a rule speaks, and next to it.
EDGES: Final = (
    Case(
        "feature-balloon-missing", "warning",
        examined(changed(xapi_guest(), host={"dynamic_min_kib": 1048572}), keys=GuestKeys()),
        examined(changed(xapi_guest(), host={"dynamic_min_kib": 1048576}), keys=GuestKeys()),
    ),
    *(
        Case(
            "stale-meminfo-total", "info",
            examined(keys=GuestKeys(meminfo_total_kib=456048 + sign * (16 * MIB + 1))),
            examined(keys=GuestKeys(meminfo_total_kib=456048 + sign * 16 * MIB)),
        )
        for sign in (-1, 1)
    ),
    Case(
        "hotplug-not-built", "info",
        examined(may_have(1048576 + MIB + 4), config=NOT_BUILT),
        examined(may_have(1048576 + MIB), config=NOT_BUILT),
    ),
    Case(
        "less-than-configured", "info",
        examined(a_pv_guest(balloon=OF_15_PERCENT, memory={"total_kib": 446079})),
        examined(a_pv_guest(balloon=OF_15_PERCENT, memory={"total_kib": 446080})),
    ),
    Case(
        "less-than-configured", "info",
        examined(a_pv_guest(balloon={"current_kib": 4}, memory={"total_kib": 0})),
        examined(a_pv_guest(balloon={"current_kib": 0}, memory={"total_kib": 0})),
    ),
    *(
        Case(
            "feature-balloon-denied", "info",
            examined(processes=XE_DAEMON, keys=GuestKeys(control_writable=False)),
            examined(
                processes=agents, keys=GuestKeys(control_writable=writable, feature_balloon=there)
            ),
        )
        for agents, writable, there in (
            (XE_DAEMON, False, True), (QUIET, False, False), (XE_DAEMON, None, False),
        )
    ),
    Case("kthread-busy", "warning", busy_thread(1.51), busy_thread(1.5)),
    Case(
        "memory-stalls", "warning",
        examined(may_have(524288 + 8 * MIB), counters=KILLED),
        examined(may_have(524288 + 8 * MIB - 4), counters=KILLED),
    ),
    Case(  # those of groups are nobody's want of memory, also while one looks
        "memory-stalls", "critical",
        counted(CALM_COUNTERS, KILLED, kills=1, group_kills=1),
        counted(CALM_COUNTERS, KILLED, group_kills=2),
    ),
    Case(
        "memory-stalls", "critical",
        counted(CALM_COUNTERS, VmCounters(0, 1, 1)), counted(CALM_COUNTERS, VmCounters(0, 1, 0)),
    ),
    Case(
        "memory-stalls", "critical",
        counted(CALM_COUNTERS, VmCounters(0, 1, 1)), counted(CALM_COUNTERS, VmCounters(0, 0, 1)),
    ),
    Case(
        "memory-stalls", "info",
        examined(
            changed(xapi_guest(), host={**MADE_SMALLER, "dynamic_min_kib": 524288 - 8 * MIB}),
            counters=KILLED,
        ),
        examined(
            changed(xapi_guest(), host={**MADE_SMALLER, "dynamic_min_kib": 524288 - 8 * MIB + 4}),
            counters=KILLED,
        ),
    ),
    Case(
        "memory-stalls", "info",
        examined(made_smaller({}), counters=KILLED),
        examined(made_smaller({"target_kib": 524284}), counters=KILLED),
    ),
    Case("host-does-not-move", "warning", falling_to(60000, 41456), falling_to(41456, 60000)),
    *(
        Case("host-does-not-move", "warning", examined(short, watch=FALLING),
             examined(changed(short, **change), watch=FALLING))
        for short in (short_of_memory("xapi"), short_of_memory("qubes"))
        for change in (
            {"balloon": {"target_kib": 786432}}, {"host": {"static_max_kib": 524288}},
        )
    ),
    Case(  # thrice what has to stay available: 3 % of MemTotal
        "host-does-not-move", "warning", falling_to(60000, 41456), falling_to(60000, 41457),
    ),
    Case("host-does-not-move", "warning", falling_to(30004, 30000), falling_to(30000, 30000)),
    Case(
        "dom0-autoballoon", "info",
        examined(a_whole_dom0(1500000, 1349996)), examined(a_whole_dom0(1500000, 1350000)),
    ),
    Case(
        "dom0-autoballoon", "info",
        examined(a_whole_dom0(1350000, 900000)), examined(a_whole_dom0(1349996, 900000)),
    ),
    *(
        Case(
            "dom0-autoballoon", "info",
            examined(an_unrecorded_dom0(1572864 + sign * MIB)),
            examined(an_unrecorded_dom0(1572864 + sign * (MIB + 4))),
        )
        for sign in (-1, 1)
    ),
)  # fmt: skip


def codes_of(examination: Examination) -> dict[str, str]:
    return {finding.code: finding.severity for finding in diagnose(examination).findings}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}-{case.severity}")
def test_a_rule_finds_its_case_and_not_the_one_next_to_it(case: Case) -> None:
    assert codes_of(case.found_in).get(case.code) == case.severity
    assert case.code not in codes_of(case.not_in)


@pytest.mark.parametrize("case", EDGES, ids=lambda case: f"{case.code}-{case.severity}")
def test_a_rule_begins_to_speak_at_its_figure_and_not_a_page_before(case: Case) -> None:
    assert codes_of(case.found_in).get(case.code) == case.severity
    assert case.code not in codes_of(case.not_in)


@pytest.mark.parametrize(
    ("agents", "fix"),
    [
        (("balloon-agent", "xe-daemon", "xe-daemon"), "end one of the two processes called xe-d"),
        (("xe-daemon", "xe-daemon"), "end one of the two processes called xe-daemon"),
        (("xe-daemon", "xen-guest-agent"), "systemctl disable --now xe-linux-distribution"),
        (("xenballoond",), "systemctl disable --now xenballoond"),
    ],
)
def test_of_rivals_the_one_that_is_too_many_is_named(agents: tuple[str, ...], fix: str) -> None:
    found = diagnose(examined(processes=Processes(agents, 0.5, systemd=True))).findings
    assert next(f.fix for f in found if f.code == "rival-agents").startswith(fix)


@pytest.mark.parametrize(
    ("complaints", "forgotten"),
    [
        (KernelComplaints(), True),
        (KernelComplaints(kills=2), False),
        (KernelComplaints(kills=1, group_kills=1), False),
        (None, False),
    ],
)
def test_a_log_that_no_longer_holds_the_kills_is_said_to_have_forgotten_them(
    complaints: KernelComplaints | None, forgotten: bool
) -> None:
    found = diagnose(examined(counters=KILLED, complaints=complaints)).findings
    cause = next(f.cause for f in found if f.code == "memory-stalls")
    assert ("does not hold these kills any more" in cause) is forgotten


@pytest.mark.parametrize(
    ("toolstack", "note"),
    [
        ("qubes", "find the qube"),
        ("xapi", "find the VM that is marked"),
        ("libxl", "find what writes"),
        (None, "find what writes"),
    ],
)
def test_who_moves_a_target_up_and_down_is_looked_for_where_that_toolstack_tells(
    toolstack: str | None, note: str
) -> None:
    guest = a_pv_guest(domain={"toolstack": toolstack})
    found = diagnose(examined(guest, watch=targets(512, 600, 512, 600, 512, 600))).findings
    assert note in next(f.fix for f in found if f.code == "target-oscillation")


def test_looks_without_a_target_are_no_change_of_mind() -> None:
    told = [512, 600, None, 512, None, 600, 512]
    changes = [{"host_target_kib": mib and mib * MIB} for mib in told]
    found = codes_of(examined(watch=watch_of(*changes)))
    assert "target-oscillation" not in found


@pytest.mark.parametrize(
    ("toolstack", "words"),
    [
        ("libxl", "dom0_mem=SIZE,max:SIZE on Xen's command line"),
        ("qubes", "or dom0-mem-boost in /etc/qubes/qmemman.conf"),
    ],
)
def test_kills_in_dom0_are_prevented_where_its_size_is_set(toolstack: str, words: str) -> None:
    dom0 = a_dom0(
        domain={"toolstack": toolstack}, balloon={"current_kib": 900000, "target_kib": 900000}
    )
    found = diagnose(examined(dom0, counters=KILLED)).findings
    assert next(f.remark for f in found if f.code == "memory-stalls").endswith(words)


def test_what_dom0_was_started_with_is_told() -> None:
    found = diagnose(examined(a_whole_dom0(1500000, 900000))).findings
    summary = next(f.summary for f in found if f.code == "dom0-autoballoon")
    assert summary.startswith("dom0 was started with 1.43 GiB")


def test_an_agent_is_stopped_by_what_started_it() -> None:
    for systemd, fix in (
        (True, "systemctl disable --now xenballoond.service"),
        (False, "stop and disable xenballoond"),
    ):
        rival = Processes(("xenballoond",), 0.5, systemd=systemd)
        found = diagnose(examined(processes=rival)).findings
        assert next(f.fix for f in found if f.code == "rival-agents").startswith(fix)


def test_of_a_stale_figure_the_agents_that_may_have_written_it_are_named() -> None:
    for agents, named in ((("xe-daemon",), "xe-daemon"), (("meminfo-writer",), "not seen")):
        stale = examined(processes=Processes(agents, 0.5), keys=GuestKeys(meminfo_total_kib=980332))
        found = diagnose(stale).findings
        finding = next(f for f in found if f.code == "stale-meminfo-total")
        assert finding.evidence["agents"] == named


@pytest.mark.parametrize(
    ("complaints", "why"),
    [
        (KernelComplaints(), "this kernel cannot hot-add memory"),
        (KernelComplaints(refusals=("Cannot add additional memory (-17)",)), "has to hot-add"),
    ],
)
def test_a_log_that_tells_of_hot_adding_is_believed_before_the_switch_that_is_missing(
    complaints: KernelComplaints, why: str
) -> None:
    retrying = {"target_kib": 786432, "retry_count": 2}
    guest = an_unpopulated_guest(
        balloon=retrying, host={"target_kib": 786432}, hotplug_unpopulated=None
    )
    found = diagnose(examined(guest, complaints=complaints)).findings
    assert why in next(f.cause for f in found if f.code == "target-retrying")


@pytest.mark.parametrize(
    ("kernel", "known"), [((3, 19, 99), True), ((4, 0), False), ((4, 0, 1), False)]
)
def test_the_known_crash_of_old_kernels_is_one_of_before_linux_4_0(
    kernel: tuple[int, ...], known: bool
) -> None:
    crashed = examined(
        a_pv_guest(domain={"kernel": KernelRelease(*kernel)}),
        complaints=KernelComplaints(p2m_bug="arch/x86/xen/p2m.c:545"),
    )
    cause = next(f.cause for f in diagnose(crashed).findings if f.code == "p2m-bug")
    assert cause.startswith("A defect of old kernels") is known


def test_only_xapi_takes_a_guest_down_for_a_migration() -> None:
    for toolstack, told in (("xapi", True), ("libxl", False), (None, False)):
        guest = changed(made_smaller({}), domain={"toolstack": toolstack})
        assert ("memory-stalls" in codes_of(examined(guest, counters=KILLED))) is told


def test_of_the_kernels_options_those_that_reserve_memory_are_shown_beside_what_is_gone() -> None:
    reserving = ("crashkernel=256M", "swiotlb=65536", "hugepages=64", "cma=64M")
    numbers = {"current_kib": 204800, "target_kib": 204800}
    guest = a_pv_guest(
        balloon=numbers, memory={"total_kib": 104800}, kernel_options=("quiet", *reserving, "ro")
    )
    found = diagnose(examined(guest)).findings
    evidence = next(f.evidence for f in found if f.code == "less-than-configured")
    assert evidence["options"] == " ".join(reserving)


@pytest.mark.parametrize(("lost_kib", "told"), [(32768, False), (32764, True)])
def test_a_smaller_maximum_is_offered_where_page_structures_are_most_of_what_is_gone(
    lost_kib: int, told: bool
) -> None:
    """16 MiB of them."""
    numbers = {"current_kib": 204800, "target_kib": 204800}
    guest = a_pv_guest(balloon=numbers, memory={"total_kib": 204800 - lost_kib})
    found = diagnose(examined(guest)).findings
    remark = next(f.remark for f in found if f.code == "less-than-configured")
    assert ("a smaller maxmem=" in remark) is told


@pytest.mark.parametrize(
    ("toolstack", "maximum"),
    [
        ("libxl", "maxmem="),
        ("xapi", "static-max"),
        ("qubes", "maxmem of the qube"),
        (None, "maximum"),
    ],
)
def test_a_smaller_maximum_is_called_what_the_toolstack_calls_it(
    toolstack: str | None, maximum: str
) -> None:
    numbers = {"current_kib": 204800, "target_kib": 204800}
    guest = a_pv_guest(
        balloon=numbers, memory={"total_kib": 204800 - 32764}, domain={"toolstack": toolstack}
    )
    found = diagnose(examined(guest)).findings
    remark = next(f.remark for f in found if f.code == "less-than-configured")
    assert f"; a smaller {maximum} makes it less" in remark


def test_every_check_has_its_case() -> None:
    own = {module.__name__ for module in MODULES if module not in OF_A_SNAPSHOT}
    assert {case.code for case in CASES} == {
        check.code for check in CHECKS.values() if check.rule.__module__ in own
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}-{case.severity}")
def test_a_finding_has_evidence_a_cause_and_something_to_do(case: Case) -> None:
    finding = next(f for f in diagnose(case.found_in).findings if f.code == case.code)
    assert finding.evidence
    assert finding.cause.endswith(".")
    assert finding.summary.endswith(".")
    assert finding.fix
    assert "\n" not in finding.fix
    assert len({fix.where for fix in finding.fixes}) == len(finding.fixes)


def test_codes_are_never_used_twice() -> None:
    assert len(set(CODES)) == len(CODES)


def test_an_ordinary_guest_has_nothing_wrong_and_every_check_was_made() -> None:
    diagnosis = diagnose(examined())
    assert (diagnosis.findings, diagnosis.not_made, diagnosis.assessment.verdict) == ((), (), "ok")
    assert set(diagnosis.clear) == set(CODES)


def test_a_check_that_lacks_its_source_is_not_made_rather_than_clear() -> None:
    whole = examined()
    denied = whole._replace(sources={**whole.sources, "kernel-messages": "denied"}, complaints=None)
    diagnosis = diagnose(denied)
    lacking = {lack.code: lack for lack in diagnosis.not_made}
    assert set(lacking) == {"boot-waits-for-balloon", "hotplug-refused", "p2m-bug"}
    assert lacking["p2m-bug"].remedy == "sudo balloon-agent doctor"
    assert not set(lacking) & set(diagnosis.clear)


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        ("absent", "see that there is a /dev/xen/xenbus"),
        ("malformed: no answer within 2 s", "see that xenstored runs and answers, on the host"),
        ("denied", "sudo balloon-agent doctor"),
    ],
)
def test_without_xenstore_every_check_that_wants_it_says_what_would_help(
    status: str, remedy: str
) -> None:
    whole = examined()
    of_xenstore = ("xenstore", "xenstore.memory/target", "guest-keys")
    lost = whole._replace(
        sources={**whole.sources, **dict.fromkeys(of_xenstore, status)}, keys=None
    )
    lacking = [lack for lack in diagnose(lost).not_made if lack.source in of_xenstore]
    assert {lack.source for lack in lacking} == set(of_xenstore)
    assert all(lack.remedy.startswith(remedy) for lack in lacking)


def test_a_key_that_the_host_has_not_written_wants_no_remedy() -> None:
    whole = examined()
    sources = {**whole.sources, "guest-keys": "absent"}
    lacking = diagnose(whole._replace(sources=sources)).not_made
    assert {lack.remedy for lack in lacking} == {"nothing: this guest does not have it"}


def test_a_finding_stands_even_where_a_source_of_its_check_is_missing() -> None:
    diagnosis = diagnose(
        examined(
            watch=targets(512, 600, 512, 600, 512, 600),
            sources=dict.fromkeys(ALL_SOURCES, "ok") | {"minute-of-watching": "too short"},
        )
    )
    assert [finding.code for finding in diagnosis.findings] == ["target-oscillation"]
    assert "target-oscillation" not in {lack.code for lack in diagnosis.not_made}


def test_the_gravest_finding_comes_first_and_makes_the_verdict() -> None:
    diagnosis = diagnose(
        examined(
            a_pvh_guest(balloon=None),
            processes=Processes(("xenballoond",), None),
        )
    )
    assert diagnosis.findings[0].code == "pod-gap"
    assert diagnosis.assessment.verdict == "critical"


def test_a_guest_without_a_driver_lists_what_a_driver_would_have_told() -> None:
    sources = {name: "ok" for name in ALL_SOURCES if not name.startswith("balloon.")}
    diagnosis = diagnose(examined(a_pv_guest(balloon=None), sources=sources))
    assert [finding.code for finding in diagnosis.findings] == ["no-driver"]
    assert "target-cancelled" in {lack.code for lack in diagnosis.not_made}


@pytest.mark.parametrize(
    ("kills", "complaints", "of_groups", "forgotten"),
    [
        (0, KernelComplaints(), 0, False),  # there is nothing that the log could have forgotten
        (3, KernelComplaints(), "unknown", True),
        (3, None, "unknown", False),
        (3, KernelComplaints(kills=1), 0, False),
        (3, KernelComplaints(kills=1, group_kills=2), 2, False),
    ],
)
def test_whose_limit_it_was_is_said_where_the_log_tells_and_unknown_where_it_forgot(
    kills: int, complaints: KernelComplaints | None, of_groups: int | str, *, forgotten: bool
) -> None:
    counters = VmCounters(kills, 7, 9000)
    guest = examined(
        watch=watch_of({}, {"counters": counters}), counters=counters, complaints=complaints
    )
    stalls = next(one for one in diagnose(guest).findings if one.code == "memory-stalls")
    assert stalls.evidence["oom_kills_of_groups"] == of_groups
    assert ("does not hold these kills" in stalls.cause) is forgotten


@pytest.mark.parametrize(
    ("kills", "said"), [(1, "1 process was killed"), (2, "2 processes were killed")]
)
def test_how_many_processes_were_killed_is_said_in_words(kills: int, said: str) -> None:
    counters = VmCounters(kills, 7, 9000)
    guest = examined(
        watch=watch_of({"counters": counters}, {"counters": counters}),
        counters=counters,
        complaints=KernelComplaints(kills=kills),
    )
    stalls = next(one for one in diagnose(guest).findings if one.code == "memory-stalls")
    assert said in stalls.summary
