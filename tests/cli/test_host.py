# SPDX-License-Identifier: GPL-2.0-or-later
"""`guests` and `mem-set` in the dom0 of a published host, whose guests run the real daemon."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import shlex
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.cli.main import main
from agent.core.account.situation import understand
from agent.core.facts.snapshot import Origin
from agent.core.host import mem_set
from agent.gather import gather
from agent.sources.system_root import SystemRoot
from agent.sources.xenstore.key_store import SessionKeys
from agent.sources.xenstore.pyxs_client import StoreClient
from tests.support.claims import HONEST
from tests.support.published_host import APublishedHost, a_published_host, until
from tests.support.xenstored.raw_client import RawClient

ORIGIN = Origin("live", "published")
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[APublishedHost]:
    with a_published_host(tmp_path_factory.mktemp("host")) as host:
        until(lambda: os.path.exists(f"{host.paths['guests']['db']['root']}/run"))
        yield host


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a guest is stayed with is for the steps' own tests to ask."""
    monkeypatch.setattr(mem_set, "STAY_S", 0.1)


def seen(host: APublishedHost, capsys: Capture) -> dict[str, dict[str, Any]]:
    """Every guest by its name."""
    capsys.readouterr()
    host.run("guests", "--json")
    found = json.loads(capsys.readouterr().out)
    return {guest["name"]: guest for guest in found["guests"]}


def settled(host: APublishedHost, capsys: Capture) -> None:
    def both() -> bool:
        guests = seen(host, capsys)
        return all(guests[name]["state"] == "settled" for name in ("db", "web"))

    until(both)


def test_every_guest_has_a_row_as_xl_and_itself_say(host: APublishedHost, capsys: Capture) -> None:
    settled(host, capsys)
    guests = seen(host, capsys)
    assert [guest["kind"] for guest in guests.values()] == ["agent", "agent", "no agent"]
    for line in host.xl("list").splitlines()[2:]:
        name, domid, mib = line.split()[:3]
        assert guests[name]["domid"] == int(domid)
        assert guests[name]["has_kib"] == int(mib) * 1024
    for name in ("db", "web"):
        own = host.paths["guests"][name]
        with contextlib.closing(StoreClient(own["xenstore"])) as client:
            situation = understand(gather(SystemRoot(own["root"]), SessionKeys(client), ORIGIN))
        assert situation.snapshot.balloon is not None
        assert guests[name]["actual_kib"] == situation.snapshot.balloon.current_kib
        assert guests[name]["state"] == situation.state
    assert all(guest["trusted"] is False for guest in guests.values())


def test_the_screen_has_a_sentence_a_picture_and_a_row_each(
    host: APublishedHost, capsys: Capture
) -> None:
    settled(host, capsys)
    capsys.readouterr()
    assert host.run("guests", "db", "3") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("● OK: The 2 guests have ")
    assert "█ dom0 512 MiB" in shown
    assert [line.split()[1] for line in shown.splitlines() if line.split()[:1] in (["1"], ["3"])]
    assert "web" not in shown


def test_a_guest_keeps_what_it_needs_and_gets_more_again(
    host: APublishedHost, capsys: Capture
) -> None:
    """README's story, with a guest that only follows: `xl mem-set 200` would kill."""
    settled(host, capsys)
    assert host.run("mem-set", "db", "200", "--dry-run") == 0
    assert "xl mem-set 1 480m" in capsys.readouterr().out
    assert host.run("mem-set", "db", "200") == 1
    told = capsys.readouterr()
    assert told.out.startswith("stopped at ")
    assert told.out.endswith("MiB: the guest needs it.\n")
    assert told.err.splitlines()[0] == "asked for 480 MiB"
    kib = seen(host, capsys)["db"]["has_kib"]
    assert 380 * 1024 < kib < 440 * 1024
    assert host.run("mem-set", "db", "512", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["outcome"], found["asked_kib"]) == ("reached", [512 * 1024])


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("mem-set", "old", "200"), 2, "old has no agent that runs"),
        (("mem-set", "web", "100"), 2, "web holds "),
        (("mem-set", "db", "2G"), 2, "db may have 1 GiB at most"),
        (
            ("mem-set", "nobody", "200"),
            64,
            "There is no guest 'nobody'. There are: db, web and old.",
        ),
        (("mem-set", "db", "lots"), 64, "'lots' is not a size"),
        (("mem-set", "db", "0"), 64, "'0' is less than 1 MiB"),
        (("guests", "nobody"), 64, "There is no guest 'nobody'"),
    ],
)
def test_what_would_hurt_or_makes_no_sense_is_one_sentence(
    host: APublishedHost, capsys: Capture, words: tuple[str, ...], status: int, said: str
) -> None:
    settled(host, capsys)
    capsys.readouterr()
    assert host.run(*words) == status
    told = capsys.readouterr()
    assert said in told.out + told.err
    assert (told.out + told.err).count("\n") == 1


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("etc/xensource-inventory", "xe vm-memory-dynamic-range-set uuid=00000000-"),
        ("etc/qubes-release", "qvm-prefs QUBE maxmem 400"),
    ],
)
def test_where_a_balancer_owns_the_targets_its_own_command_is_named(
    host: APublishedHost, capsys: Capture, file: str, command: str
) -> None:
    path = Path(host.paths["root"], file)
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    try:
        assert host.run("mem-set", "db", "400") == 69
        assert command in capsys.readouterr().err
    finally:
        path.unlink()


@pytest.mark.parametrize("words", [["guests"], ["mem-set", "db", "200"]])
def test_a_guest_is_told_that_these_are_for_dom0(
    host: APublishedHost, capsys: Capture, words: list[str]
) -> None:
    own = host.paths["guests"]["db"]
    assert main(["--root", own["root"], "--xenstore", own["xenstore"], *words]) == 69
    assert "not the dom0 of a Xen host" in capsys.readouterr().err
    assert main(["--sim", "balloon-up", *words]) == 64


def test_metrics_of_the_guests_come_as_text_and_into_a_file(
    host: APublishedHost, capsys: Capture, tmp_path: Path
) -> None:
    pytest.importorskip("prometheus_client")
    settled(host, capsys)
    capsys.readouterr()
    assert host.run("metrics", "--guests", "--output", str(tmp_path / "guests.prom")) == 0
    assert host.run("metrics", "--guests") == 0
    text = capsys.readouterr().out
    for written in (text, (tmp_path / "guests.prom").read_text()):
        assert '\nxen_guest_static_max_bytes{domid="1",name="db"} 1.073741824e+09\n' in written
        assert "\nxen_host_xl_answers 1.0\n" in written
        assert '\nxen_host_guests{kind="no agent"} 1.0\n' in written


def commanded(host: APublishedHost, *words: str) -> subprocess.Popen[str]:
    """A command in dom0 as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "agent", *host.words, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # nohup may have this test's process ignore it, and the command would go on doing so.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # noqa: PLW1509
    )


def target_mib(host: APublishedHost, domid: int) -> int:
    with contextlib.closing(StoreClient(host.paths["xenstore"])) as dom0:
        dom0.connect()
        return int(dom0.read(f"/local/domain/{domid}/memory/target")) // 1024


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("after_s", [0.0, 0.4])
def test_an_interrupt_leaves_a_guest_at_a_whole_step(
    host: APublishedHost, capsys: Capture, after_s: float, number: signal.Signals
) -> None:
    """With an xl that takes its time, so that some come while it is about to ask."""
    settled(host, capsys)
    host.run("mem-set", "db", "512")
    with host.slow_xl(0.3), commanded(host, "mem-set", "db", "200") as command:
        assert command.stderr is not None
        first = command.stderr.readline()
        time.sleep(after_s)
        command.send_signal(number)
        out, err = command.communicate(timeout=60)
    assert first == "asked for 480 MiB\n"
    assert command.returncode == 130, (out, err)
    last = [first, *err.splitlines(keepends=True)][-1].removeprefix("asked for ").strip()
    assert out == f"interrupted: db was last asked for {last}.\n"
    assert last == f"{target_mib(host, 1)} MiB"


def test_a_second_interrupt_ends_it_at_once_and_lets_xl_finish_the_step(
    host: APublishedHost, capsys: Capture
) -> None:
    settled(host, capsys)
    host.run("mem-set", "db", "512")
    with host.slow_xl(4.0), commanded(host, "mem-set", "db", "400") as command:
        until(lambda: xl_runs(host))
        began_s = time.monotonic()
        command.send_signal(signal.SIGINT)
        time.sleep(0.2)
        command.send_signal(signal.SIGINT)
        out, err = command.communicate(timeout=60)
        took_s = time.monotonic() - began_s
        until(lambda: target_mib(host, 1) == 480)
    assert (command.returncode, out, err) == (130, "", "\n")
    assert took_s < 3.8


def xl_runs(host: APublishedHost) -> bool:
    """Whether a change of its xl is under way."""
    words = f"{host.paths['xl']}\0mem-set\0".encode()
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if words in process.read_bytes():
                return True
    return False


def test_what_ignores_interrupts_goes_on(host: APublishedHost, capsys: Capture) -> None:
    """As under nohup, and as a shell starts what is in the background of a script."""
    settled(host, capsys)
    host.run("mem-set", "db", "512")
    words = [sys.executable, "-m", "agent", *host.words, "mem-set", "db", "470"]
    ignoring = f"trap '' HUP INT; exec {shlex.join(words)}"
    with subprocess.Popen(
        ["/bin/sh", "-c", ignoring], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as command:
        assert command.stderr is not None
        command.stderr.readline()
        command.send_signal(signal.SIGHUP)
        command.send_signal(signal.SIGINT)
        out, _ = command.communicate(timeout=60)
    assert (command.returncode, out) == (0, "db has 470 MiB.\n")


def test_of_two_who_set_the_same_guest_one_gives_way(host: APublishedHost, capsys: Capture) -> None:
    settled(host, capsys)
    host.run("mem-set", "db", "512")
    with commanded(host, "mem-set", "db", "400") as first:
        assert first.stderr is not None
        first.stderr.readline()
        with commanded(host, "mem-set", "db", "600") as second:
            out, err = second.communicate(timeout=60)
        gave_way, _ = first.communicate(timeout=60)
    assert (second.returncode, out) == (0, "db has 600 MiB.\n"), err
    assert first.returncode == 1
    assert gave_way == "stopped: somebody else asked db for 600 MiB meanwhile.\n"
    host.run("mem-set", "db", "512")


def test_nobody_who_reads_how_it_goes_is_no_reason_to_stop(
    host: APublishedHost, capsys: Capture
) -> None:
    settled(host, capsys)
    host.run("mem-set", "db", "512")
    with commanded(host, "mem-set", "db", "490") as command:
        assert command.stderr is not None
        command.stderr.close()
        assert command.stdout is not None
        assert command.stdout.read() == "db has 490 MiB.\n"
    assert command.returncode == 0
    host.run("mem-set", "db", "512")


def test_a_screen_that_is_watched_is_drawn_again_and_ends_at_an_interrupt(
    host: APublishedHost, capsys: Capture
) -> None:
    settled(host, capsys)
    with commanded(host, "guests", "db", "--watch", "--interval", "0.1", "--json") as command:
        assert command.stdout is not None
        times = [json.loads(command.stdout.readline())["time"] for _ in range(3)]
        command.send_signal(signal.SIGINT)
        _, err = command.communicate(timeout=60)
    assert (command.returncode, err) == (0, "")
    assert times == sorted(times)


def test_a_report_that_stands_still_costs_its_guest_no_more_than_a_step_and_that_comes_back(
    host: APublishedHost, capsys: Capture
) -> None:
    """What an agent that was killed has left behind."""
    with contextlib.closing(RawClient(host.paths["xenstore"])) as dom0:
        for key, value in {**HONEST, "actual_kb": b"262144", "host_target_kb": b"262144"}.items():
            dom0.write(f"/local/domain/3/data/balloon/{key}", value)
    capsys.readouterr()
    assert host.run("mem-set", "old", "128", "--timeout", "1") == 1
    told = capsys.readouterr()
    assert "its agent does not answer" in told.out
    assert told.err.splitlines() == ["asked for 224 MiB", "asked for 256 MiB"]
    assert target_mib(host, 3) == 256


def test_a_guest_that_goes_on_the_way_is_said_to_be_gone(host: APublishedHost) -> None:
    with commanded(host, "mem-set", "old", "128", "--force") as command:
        assert command.stderr is not None
        command.stderr.readline()
        host.say("destroy old")
        out, err = command.communicate(timeout=60)
    assert (command.returncode, out) == (1, "old is gone.\n"), err
    assert "old" not in host.xl("list")
    assert host.run("guests", "old") == 64


TOO_MUCH = """\
libxl: error: libxl_mem.c:278:libxl_set_memory_target: Domain 1:memory_dynamic_max must be less \
than or equal to memory_static_max
cannot set domid 1 dynamic max memory to : 2048
"""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("mem-set 1 2048", TOO_MUCH),
        ("mem-set 1 -5", TOO_MUCH.replace("2048", "-5")),
        ("mem-set db lots", "invalid memory size: lots\n"),
        ("mem-set nobody 100", "nobody is an invalid domain identifier (rc=-6)\n"),
        ("mem-set ² 100", "² is an invalid domain identifier (rc=-6)\n"),
        ("mem-set db", "'xl mem-set' requires at least 2 arguments.\n"),
        ("mem-get db", "command not implemented\n"),
    ],
)
def test_its_xl_refuses_as_xl_does(host: APublishedHost, words: str, said: str) -> None:
    """As Xen 4.17's did in the lab, and its source says (tools/xl/xl_mem.c)."""
    command = [host.paths["xl"], *words.split()]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (1, said)


def test_q_leaves_the_watched_guests(host: APublishedHost, monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = pty.openpty()
    with os.fdopen(slave, "r+b", 0) as screen, io.TextIOWrapper(screen, newline="") as text:
        before = termios.tcgetattr(slave)
        for name in ("stdin", "stdout"):
            monkeypatch.setattr(sys, name, text)
        monkeypatch.setenv("TERM", "dumb")
        os.write(master, b"q")
        began_s = time.monotonic()
        assert host.run("guests", "db", "--watch", "--interval", "60") in (0, 1)
        assert time.monotonic() - began_s < 30
        assert termios.tcgetattr(slave) == before
    shown = b""
    while b"db" not in shown:  # the first piece may be the echo of q alone; the last one raises
        shown += os.read(master, 65536)
    os.close(master)
