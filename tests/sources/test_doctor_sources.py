# SPDX-License-Identifier: GPL-2.0-or-later
"""What the doctor reads beyond a snapshot: each kernel interface, well and badly formed."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture import captured_files
from agent.core.facts.numbers import MalformedError
from agent.core.facts.snapshot import Snapshot
from agent.core.findings.examination import KernelComplaints, Processes, VmCounters
from agent.examine import watched
from agent.sources.daemon_status import parse_published_domid
from agent.sources.guest_keys import read_guest_keys
from agent.sources.kernel_complaints import parse_kernel_complaints
from agent.sources.kernel_config import read_kernel_config
from agent.sources.processes import parse_stat, process_files, read_processes
from agent.sources.system_root import SystemRoot
from agent.sources.vmstat import parse_vmstat
from agent.sources.xenstore.key_store import CapturedKeys, NoKeys, SessionKeys
from tests.support.snapshots import a_pv_guest, changed

STAT = "36 (xen-balloon) S 2 0 0 0 -1 2129984 0 0 0 0 10 240 0 0 20 0 1 0 231 0 0\n"
CONFIG = "CONFIG_64BIT=y\nCONFIG_XEN_BALLOON=y\n# CONFIG_XEN_UNPOPULATED_ALLOC is not set\n"


def root_with(directory: Path, files: dict[str, str | bytes]) -> SystemRoot:
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return SystemRoot(str(directory))


def test_the_time_of_a_kernel_thread_is_user_and_system_together() -> None:
    assert parse_stat(STAT) == ("xen-balloon", 2, 2.5)


def test_a_process_may_have_brackets_and_spaces_in_its_name() -> None:
    assert parse_stat(STAT.replace("xen-balloon", "a) S (b")) == ("a) S (b", 2, 2.5)


@given(st.text())
def test_no_stat_line_makes_an_exception(text: str) -> None:
    parse_stat(text)


def test_of_all_processes_only_agents_and_the_balloon_thread_are_kept(tmp_path: Path) -> None:
    root = root_with(
        tmp_path,
        {
            "proc/36/stat": STAT,
            "proc/400/stat": STAT.replace("xen-balloon", "xe-daemon"),
            "proc/401/stat": STAT.replace("xen-balloon", "bash"),
            "proc/402/stat": "",
            "proc/self/stat": STAT,
        },
    )
    assert read_processes(root).value == Processes(("xe-daemon",), 2.5)
    assert process_files(root) == ["proc/36/stat", "proc/400/stat"]


def agent_stat(name: str, parent: int = 1) -> str:
    return STAT.replace("xen-balloon", name).replace(" S 2 ", f" S {parent} ")


def test_our_own_commands_are_no_agents_but_the_daemon_is(tmp_path: Path) -> None:
    root = root_with(
        tmp_path,
        {
            "proc/50/stat": agent_stat("balloon-agent"),
            "proc/50/cmdline": "/usr/bin/python3\0-I\0/usr/bin/balloon-agent\0run\0",
            "proc/51/stat": agent_stat("balloon-agent"),
            "proc/51/cmdline": "/usr/bin/python3\0-I\0/usr/bin/balloon-agent\0doctor\0",
        },
    )
    assert read_processes(root).value == Processes(("balloon-agent",), None)


def test_a_child_that_is_about_to_become_another_program_is_no_second_agent(
    tmp_path: Path,
) -> None:
    root = root_with(
        tmp_path,
        {
            "proc/60/stat": agent_stat("xe-daemon"),
            "proc/61/stat": agent_stat("xe-daemon", parent=60),
        },
    )
    assert read_processes(root).value == Processes(("xe-daemon",), None)


def test_a_capture_without_processes_is_absent_not_empty(tmp_path: Path) -> None:
    assert read_processes(root_with(tmp_path, {"proc/meminfo": "x"})).status == "absent"


def test_stalls_are_summed_over_the_zones() -> None:
    text = "oom_kill 2\npswpout 30\nallocstall_dma 1\nallocstall_normal 4\nallocstall_movable 0\n"
    assert parse_vmstat(text) == VmCounters(2, 5, 30)


def test_a_vmstat_without_any_of_the_counters_is_malformed() -> None:
    with pytest.raises(MalformedError):
        parse_vmstat("nr_free_pages 12\n")


def test_the_boots_wait_for_the_balloon_is_timed() -> None:
    log = (
        "[    5.000000] xen:balloon: Waiting for initial ballooning down having finished.\n"
        "[   84.250000] xen:balloon: Initial ballooning down finished.\n"
    )
    assert parse_kernel_complaints(log) == KernelComplaints(boot_wait_s=79.25)


def test_every_complaint_is_found_once() -> None:
    log = (
        "[1.0] xen:balloon: Initial ballooning failed, 1234 pages need to be freed.\n"
        "[2.0] xen:balloon: Cannot add additional memory (-17)\n"
        "[3.0] xen:balloon: Cannot add additional memory (-17)\n"
        "[4.0] kernel BUG at arch/x86/xen/p2m.c:123!\n"
    )
    assert parse_kernel_complaints(log) == KernelComplaints(
        None, 1234, ("Cannot add additional memory (-17)",), p2m_bug="arch/x86/xen/p2m.c:123"
    )


def test_a_crash_is_found_by_the_path_of_the_machine_that_built_the_kernel() -> None:
    log = "[   37.348243] kernel BUG at /home/user/linux-3.7.6/arch/x86/xen/p2m.c:545!\n"
    assert parse_kernel_complaints(log).p2m_bug == "arch/x86/xen/p2m.c:545"
    other = "[    0.012400] kernel BUG at /home/user/linux-3.2.7/arch/x86/xen/smp.c:322!\n"
    assert parse_kernel_complaints(other).p2m_bug is None


def test_the_configuration_is_that_of_the_running_kernel(tmp_path: Path) -> None:
    root = root_with(
        tmp_path,
        {
            "proc/sys/kernel/osrelease": "6.1.0-56-amd64\n",
            "boot/config-6.1.0-56-amd64": CONFIG,
            "boot/config-6.12": "CONFIG_64BIT=y\n",
        },
    )
    assert read_kernel_config(root).value == (False, "/boot/config-6.1.0-56-amd64")


ALPINE = "#\n# Linux/x86_64 6.12.13 Kernel Configuration\n#\n" + CONFIG


@pytest.mark.parametrize(
    ("release", "file", "text"),
    [
        ("6.8.0-48-generic", "boot/config-6.8.0-48-generic", CONFIG),
        ("6.12.11-200.fc41.x86_64", "lib/modules/6.12.11-200.fc41.x86_64/config", CONFIG),
        ("6.12.9-arch1-1", "usr/lib/modules/6.12.9-arch1-1/config", CONFIG),
        ("6.12.13-0-lts", "boot/config-lts", ALPINE),
    ],
    ids=["ubuntu", "fedora", "arch", "alpine"],
)
def test_the_configuration_is_found_where_the_distribution_keeps_it(
    tmp_path: Path, release: str, file: str, text: str
) -> None:
    root = root_with(tmp_path, {"proc/sys/kernel/osrelease": f"{release}\n", file: text})
    config = read_kernel_config(root).value
    assert config is not None
    assert config.source == f"/{file}"


@pytest.mark.parametrize("head", ["# Linux/x86_64 6.12.14 Kernel Configuration\n", ""])
def test_the_configuration_of_a_kernel_that_does_not_run_is_not_taken(
    tmp_path: Path, head: str
) -> None:
    files: dict[str, str | bytes] = {
        "proc/sys/kernel/osrelease": "6.12.13-0-lts\n",
        "boot/config-lts": head + CONFIG,
    }
    assert read_kernel_config(root_with(tmp_path, files)).status == "absent"
    packed = files | {"proc/config.gz": gzip.compress(CONFIG.encode())}
    found = read_kernel_config(root_with(tmp_path, packed)).value
    assert found is not None
    assert found.source == "/proc/config.gz"


def test_a_packed_configuration_serves_where_there_is_no_other(tmp_path: Path) -> None:
    root = root_with(tmp_path, {"proc/config.gz": gzip.compress(CONFIG.encode())})
    config = read_kernel_config(root).value
    assert config is not None
    assert config.source == "/proc/config.gz"


@pytest.mark.parametrize(
    "packed", [b"no gzip", gzip.compress(b"\0" * (64 << 20))], ids=["none", "bomb"]
)
def test_a_packed_file_that_is_none_or_a_bomb_is_malformed(packed: bytes, tmp_path: Path) -> None:
    outcome = read_kernel_config(root_with(tmp_path, {"proc/config.gz": packed}))
    assert outcome.status.startswith("malformed")


def test_a_release_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    root = root_with(tmp_path, {"proc/sys/kernel/osrelease": "../../etc/passwd\n"})
    assert read_kernel_config(root).status == "absent"


def test_published_keys_are_read_as_numbers_only(tmp_path: Path) -> None:
    root_with(tmp_path, {"xenstore/domid": "5", "xenstore/data/meminfo_total": "456048 kB"})
    keys = read_guest_keys(CapturedKeys(SystemRoot(str(tmp_path)))).value
    assert keys is not None
    assert keys.meminfo_total_kib is None


def test_a_xenstore_that_refuses_is_said_to() -> None:
    assert read_guest_keys(NoKeys("denied")).status == "denied"
    assert NoKeys("denied").may_write("control").status == "absent"


class Permissions:
    """A session that knows one permission and the domid."""

    def __init__(self, *entries: str) -> None:
        self._entries = list(entries)

    def connect(self) -> None:
        pass

    def read(self, key: str) -> bytes:
        return b"5"

    def permissions(self, key: str) -> list[str]:
        return self._entries

    def list(self, key: str) -> list[str]:
        return []


@pytest.mark.parametrize(
    ("entries", "writable"),
    [
        (("n0", "r5"), False),
        (("n5",), True),
        (("n0", "b5"), True),
        (("w0",), True),
        (("r0", "n5"), False),
    ],
)
def test_who_may_write_follows_from_owner_and_entries(
    entries: tuple[str, ...], writable: bool
) -> None:
    assert SessionKeys(Permissions(*entries)).may_write("control").value is writable


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"domain": {"domid": "5"}}', '{"domain": 1}'])
def test_a_status_without_a_domid_is_malformed(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_published_domid(text)


def test_a_watch_takes_a_look_each_half_second_and_keeps_the_last_snapshot(tmp_path: Path) -> None:
    taken: list[Snapshot] = []
    waited: list[float] = []

    def take() -> Snapshot:
        taken.append(changed(a_pv_guest(), host={"target_kib": 524288 + len(taken)}))
        return taken[-1]

    snapshot, watch = watched(take, SystemRoot(str(tmp_path)), waited.append, 2.0)
    assert watch is not None
    assert [look.at_s for look in watch.looks] == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert waited == [0.5] * 4
    assert snapshot is taken[-1]
    assert watch.looks[-1].host_target_kib == 524292


def test_no_time_to_watch_is_one_look(tmp_path: Path) -> None:
    _, watch = watched(a_pv_guest, SystemRoot(str(tmp_path)), lambda _: None, 0.0)
    assert watch is None


def test_a_balloon_that_paused_at_the_last_look_is_still_seen_to_move(tmp_path: Path) -> None:
    sizes = iter([524288, 600000, 650000, 650000])
    off_target = a_pv_guest(balloon={"target_kib": 786432, "motion": "still"})

    def take() -> Snapshot:
        return changed(off_target, balloon={"current_kib": next(sizes)})

    snapshot, _ = watched(take, SystemRoot(str(tmp_path)), lambda _: None, 1.5)
    assert snapshot.balloon is not None
    assert snapshot.balloon.motion == "moved"


def test_a_capture_keeps_what_the_doctor_needs_and_no_more(tmp_path: Path) -> None:
    root = root_with(
        tmp_path,
        {
            "proc/36/stat": STAT,
            "proc/400/stat": agent_stat("bash"),
            "proc/vmstat": "oom_kill 0\n",
            "proc/sys/kernel/osrelease": "6.1.0\n",
            "boot/config-6.1.0": CONFIG + "CONFIG_DEFAULT_HOSTNAME=secret\n",
        },
    )
    files = captured_files(root, NoKeys())
    assert "proc/36/stat" in files
    assert "proc/400/stat" not in files
    assert files["proc/vmstat"] == "oom_kill 0\n"
    assert files["boot/config-6.1.0"] == CONFIG
