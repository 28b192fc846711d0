# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon as a process, on Debian's real xenstored, as a true guest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.cli.install_service import take_back
from agent.cli.which_domain import WhichDomain
from tests.support.daemon_process import DaemonProcess
from tests.support.host_view import BALLOON, HOME, wait_until
from tests.support.xenstored.daemon import Xenstored
from tests.support.xenstored.guest import Guest
from tests.support.xenstored.libxl_tree import GuestConfig, write_guest
from tests.support.xenstored.raw_client import RawClient

pytestmark = pytest.mark.xenstored

STOP_S = 2.0


def test_a_start_is_reported_to_host_manager_and_files(
    daemon: DaemonProcess, dom0: RawClient, root: Path
) -> None:
    assert dom0.read(f"{BALLOON}/state") == b"settled"
    assert dom0.read(f"{BALLOON}/actual_kb") == b"524288"
    assert dom0.read(f"{BALLOON}/ballooned_kb") == b"524288"
    assert dom0.read(f"{BALLOON}/beyond_nr_pages_kb") == b"524288"
    assert not dom0.exists(f"{HOME}/control/feature-balloon")
    assert not dom0.exists(f"{HOME}/memory/meminfo")
    assert any(text.startswith("STATUS=The guest has 512 MiB") for text in daemon.messages)
    assert daemon.status()["daemon"]["decisions"][0]["rule"] == "settled"
    assert '"current_kib": 524288' in (root / "run/balloon-agent/boot.json").read_text()
    assert daemon.stderr.startswith("<6>mode follow")


def test_what_the_host_asks_is_published_again_at_once(
    daemon: DaemonProcess, dom0: RawClient
) -> None:
    dom0.write(f"{HOME}/memory/target", 393216)
    wait_until(dom0, f"{BALLOON}/host_target_kb", b"393216")
    dom0.write(f"{HOME}/memory/target", "nonsense")
    while dom0.exists(f"{BALLOON}/host_target_kb"):
        dom0.next_event()
    dom0.write(f"{HOME}/memory/target", 524288)
    wait_until(dom0, f"{BALLOON}/host_target_kb", b"524288")
    assert daemon.process.poll() is None


def test_a_target_that_the_kernel_ignores_is_written_after_the_grace(
    daemon: DaemonProcess, dom0: RawClient, root: Path
) -> None:
    dom0.write(f"{HOME}/memory/target", 786432)
    wait_until(dom0, f"{BALLOON}/target_kb", b"786432")

    target = root / "sys/devices/system/xen_memory/xen_memory0/target_kb"
    assert target.read_text().startswith("786432\n")


def keys_below(dom0: RawClient, key: str) -> dict[str, bytes]:
    return {name: dom0.read(f"{key}/{name}") for name in dom0.children(key)}


def forgotten(root: Path, guest: Guest) -> DaemonProcess:
    return DaemonProcess(root, guest.path, "--forget")


def test_after_a_stop_the_host_sees_that_it_stopped_and_no_figure_gone_stale(
    daemon: DaemonProcess, dom0: RawClient, guest: Guest, config: Path
) -> None:
    began = int(dom0.read(f"{BALLOON}/seq"))
    assert daemon.end() == 0
    left = keys_below(dom0, BALLOON)
    assert left.keys() == {"state", "profile", "version", "seq"}
    assert left["state"] == b"stopped"
    guest.wait_until_closed()
    with DaemonProcess(daemon.root, guest.path, "--config", str(config)) as again:
        again.ready()
        wait_until(dom0, f"{BALLOON}/state", b"settled")
        assert int(dom0.read(f"{BALLOON}/seq")) == began + 2


def test_what_was_published_can_be_taken_back_but_not_below_a_running_daemon(
    daemon: DaemonProcess, dom0: RawClient, guest: Guest
) -> None:
    with forgotten(daemon.root, guest) as refused:
        assert refused.process.wait(10) == 75
    assert dom0.read(f"{BALLOON}/state") == b"settled"
    assert daemon.end() == 0
    guest.wait_until_closed()
    with forgotten(daemon.root, guest) as forgets:
        assert forgets.process.wait(10) == 0, forgets.stderr
    assert not dom0.exists(BALLOON)
    assert dom0.exists(f"{HOME}/data")
    assert not (daemon.root / "run/balloon-agent").exists()


def test_the_removal_of_an_installed_service_takes_back_what_was_published(
    daemon: DaemonProcess, dom0: RawClient, guest: Guest
) -> None:
    assert daemon.end() == 0
    guest.wait_until_closed()
    take_back(WhichDomain(str(daemon.root), guest.path))
    assert not dom0.exists(BALLOON)


def test_a_target_of_its_own_is_given_up_when_it_is_taken_back(
    root: Path, config: Path, guest: Guest, dom0: RawClient
) -> None:
    """The kernel's files never change here, so the guard never gets below what there is."""
    config.write_text('mode = "guard"\n')
    target = root / "sys/devices/system/xen_memory/xen_memory0/target_kb"
    with DaemonProcess(root, guest.path, "--config", str(config)) as process:
        process.ready()
        dom0.write(f"{HOME}/memory/target", 65536)
        wait_until(dom0, f"{BALLOON}/host_target_kb", b"65536")
        process.end()
    held = target.read_text()
    assert keys_below(dom0, BALLOON)["follow_kb"] == b"65536"
    guest.wait_until_closed()
    with forgotten(root, guest) as forgets:
        assert forgets.process.wait(10) == 0, forgets.stderr
        assert "follows the host again" in forgets.stderr
    assert target.read_text().startswith("65536\n")
    assert held != target.read_text()


def test_a_target_the_host_has_set_since_is_not_touched(
    root: Path, guest: Guest, dom0: RawClient
) -> None:
    target = root / "sys/devices/system/xen_memory/xen_memory0/target_kb"
    before = target.read_text()
    dom0.write(f"{BALLOON}/target_kb", 400000)
    dom0.write(f"{BALLOON}/follow_kb", 65536)
    dom0.set_permissions(BALLOON, "n5")
    for name in dom0.children(BALLOON):
        dom0.set_permissions(f"{BALLOON}/{name}", "n5")
    with forgotten(root, guest) as forgets:
        assert forgets.process.wait(10) == 0, forgets.stderr
    assert target.read_text() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_soon_and_well(daemon: DaemonProcess, number: signal.Signals) -> None:
    began_s = time.monotonic()
    assert daemon.end(number) == 0
    assert time.monotonic() - began_s < STOP_S
    daemon.wait_for("STOPPING=1")
    assert daemon.status()["daemon"]["stopped"] is True


def test_it_ends_soon_while_xenstored_is_silent(
    daemon: DaemonProcess, xenstored: Xenstored, dom0: RawClient
) -> None:
    dom0.write(f"{HOME}/memory/target", 393216)
    xenstored.signal(signal.SIGSTOP)
    daemon.send(signal.SIGHUP)
    began_s = time.monotonic()
    assert daemon.end() == 0
    assert time.monotonic() - began_s < STOP_S
    xenstored.signal(signal.SIGCONT)


def test_a_second_daemon_says_so_and_ends(daemon: DaemonProcess, guest: Guest) -> None:
    with DaemonProcess(daemon.root, guest.path, "--config", "/dev/null") as second:
        assert second.process.wait(10) == 75
        assert f"another balloon-agent (pid {daemon.process.pid}) runs here" in second.stderr


def test_a_changed_configuration_is_taken_and_a_broken_one_is_not(
    daemon: DaemonProcess, config: Path
) -> None:
    config.write_text('mode = "guard"\n')
    daemon.send(signal.SIGHUP)
    daemon.wait_for("RELOADING=1\nMONOTONIC_USEC=")
    daemon.ready()
    assert daemon.wait_for_status(mode="guard")

    config.write_text('mod = "observe"\n')
    daemon.send(signal.SIGHUP)
    daemon.wait_for("RELOADING=1")
    daemon.ready()
    assert daemon.wait_for_status(mode="guard")
    assert "stays as it was" in daemon.stderr
    assert "did you mean mode?" in daemon.stderr


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [('mod = "x"', 78, "did you mean mode?"), ("= =", 78, "not TOML")],
)
def test_a_bad_configuration_ends_the_start(
    root: Path, config: Path, text: str, status: int, words: str
) -> None:
    config.write_text(text)
    with DaemonProcess(root, "/nowhere", "--config", str(config)) as process:
        assert process.process.wait(10) == status
        assert words in process.stderr


@pytest.mark.parametrize("words", [["--colour"], ["--config"], ["--mode", "bold"], ["now"]])
def test_wrong_words_are_a_usage_error(root: Path, words: list[str]) -> None:
    with DaemonProcess(root, "/nowhere", *words) as process:
        assert process.process.wait(10) == 64
        assert "Try balloon-agent run --help" in process.stderr


def test_without_xen_or_xenstore_it_ends_with_69(root: Path, tmp_path: Path) -> None:
    for where in (tmp_path / "nothing", root):
        with DaemonProcess(where, "/nowhere", "--config", "/dev/null") as process:
            assert process.process.wait(10) == 69
            assert "Traceback" not in process.stderr


def test_a_restart_of_xenstored_is_noticed_and_nothing_is_missed(
    daemon: DaemonProcess, xenstored: Xenstored
) -> None:
    xenstored.kill()
    assert daemon.wait_for_status(connections=1)
    daemon.wait_for("STATUS=")
    assert "xenstore is lost" in daemon.stderr
    xenstored.start()
    xenstored.introduce(5)
    with xenstored.connect() as dom0:
        write_guest(dom0, GuestConfig(5, target_kib=393216))
        wait_until(dom0, f"{BALLOON}/host_target_kb", b"393216")
        wait_until(dom0, f"{BALLOON}/seq")
        assert dom0.read(f"{BALLOON}/version")
    daemon.wait_for_status(connections=2)


def test_killed_at_any_moment_it_leaves_a_whole_status(
    root: Path, guest: Guest, dom0: RawClient
) -> None:
    for round_number in range(5):
        with DaemonProcess(root, guest.path, "--config", "/dev/null") as process:
            process.ready()
            for step in range(round_number):
                dom0.write(f"{HOME}/memory/target", 524288 + 4 * step)
            assert process.end(signal.SIGKILL) == -signal.SIGKILL
            assert process.status()["schema"] == 1
        guest.wait_until_closed()


def test_a_full_disk_is_told_once_and_survived(root: Path, guest: Guest, dom0: RawClient) -> None:
    with DaemonProcess(
        root, guest.path, "--config", "/dev/null", prefix=("prlimit", "--fsize=400")
    ) as process:
        process.ready()
        dom0.write(f"{HOME}/memory/target", 393216)
        wait_until(dom0, f"{BALLOON}/host_target_kb", b"393216")
        assert process.stderr.count("the status cannot be kept") == 1
        assert process.end() == 0


def test_a_runtime_directory_that_others_may_write_is_not_used(root: Path, guest: Guest) -> None:
    runtime = root / "run/balloon-agent"
    runtime.mkdir(parents=True)
    runtime.chmod(0o777)
    with DaemonProcess(root, guest.path, "--config", "/dev/null") as process:
        process.ready()
        assert "others than its owner can write" in process.stderr
        assert process.end() == 0
    assert list(runtime.iterdir()) == []


def test_a_planted_symlink_is_replaced_not_followed(
    root: Path, guest: Guest, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    runtime = root / "run/balloon-agent"
    runtime.mkdir(parents=True)
    for name in ("status.json", ".status.json.new"):
        (runtime / name).symlink_to(victim)
    with DaemonProcess(root, guest.path, "--config", "/dev/null") as process:
        process.ready()
        assert process.status()["schema"] == 1
    assert victim.read_text() == "precious"
    assert not (runtime / "status.json").is_symlink()


def test_a_target_that_cannot_be_written_does_not_end_it(
    root: Path, guest: Guest, dom0: RawClient
) -> None:
    target = root / "sys/devices/system/xen_memory/xen_memory0/target_kb"
    target.unlink()
    target.symlink_to("info/current_kb")  # O_NOFOLLOW: ELOOP, the kernel's refusal
    with DaemonProcess(root, guest.path, "--config", "/dev/null") as process:
        process.ready()
        dom0.write(f"{HOME}/memory/target", 786432)
        wait_until(dom0, f"{BALLOON}/host_target_kb", b"786432")
        process.wait_for("STATUS=")
        assert process.process.poll() is None


def test_the_watchdog_is_fed_only_by_good_looks(root: Path, guest: Guest) -> None:
    environment = {"WATCHDOG_USEC": "400000"}
    with DaemonProcess(
        root, guest.path, "--config", "/dev/null", environment=environment
    ) as process:
        process.ready()
        process.wait_for("WATCHDOG=1")
        process.send(signal.SIGSTOP)
        while process.message(1.0) is not None:
            pass
        process.send(signal.SIGCONT)
        process.wait_for("WATCHDOG=1")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody: run it as root")
def test_a_user_without_rights_is_told_so(root: Path, guest: Guest) -> None:
    nobody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    reach = subprocess.run(
        [*nobody, sys.executable, "-c", "import agent"], capture_output=True, check=False
    )
    if reach.returncode != 0:
        pytest.skip("an ordinary user cannot reach this interpreter or the program")
    with DaemonProcess(root, guest.path, "--config", "/dev/null", prefix=nobody) as process:
        assert process.process.wait(10) == 77
        assert "the daemon has to run as root" in process.stderr


def test_what_xenstore_refuses_is_told_once(
    root: Path, config: Path, guest: Guest, dom0: RawClient
) -> None:
    config.write_text('[publish]\nprofile = "xapi"\n[timing]\ngrace = "100ms"\n')
    with DaemonProcess(root, guest.path, "--config", str(config)) as process:
        process.ready()
        wait_until(dom0, f"{BALLOON}/version", dom0.read(f"{BALLOON}/version"))
        assert dom0.read(f"{HOME}/data/meminfo_total").isdigit()
        process.wait_for_status(denied_keys=["control/balloon-active", "control/feature-balloon"])
        for target_kib in (393216, 524288):
            dom0.write(f"{HOME}/memory/target", target_kib)
            wait_until(dom0, f"{BALLOON}/host_target_kb", b"%d" % target_kib)
        assert process.stderr.count("control/feature-balloon") == 1


def test_squeezed_hears_of_the_balloon_once_it_rests(
    root: Path, config: Path, guest: Guest, dom0: RawClient
) -> None:
    dom0.set_permissions(f"{HOME}/control", "n5")
    config.write_text('[publish]\nprofile = "xapi"\n[timing]\ngrace = "100ms"\n')
    with DaemonProcess(root, guest.path, "--config", str(config)) as process:
        process.ready()
        wait_until(dom0, f"{HOME}/control/feature-balloon", b"1")


def test_a_storm_of_events_is_heard_a_few_times_a_second_and_nothing_is_missed(
    daemon: DaemonProcess, dom0: RawClient
) -> None:
    before = daemon.status()["daemon"]["ticks"]
    began_s = time.monotonic()
    for number in range(5000):
        dom0.write(f"{HOME}/memory/target", 524288 - 4 * (number % 2))
    dom0.write(f"{HOME}/memory/target", 393216)
    wait_until(dom0, f"{BALLOON}/host_target_kb", b"393216")
    daemon.end()
    looks = daemon.status()["daemon"]["ticks"] - before
    assert looks < 40 + 40 * (time.monotonic() - began_s)
