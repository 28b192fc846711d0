# SPDX-License-Identifier: GPL-2.0-or-later
"""`guests` and `mem-set` in the dom0 of a published host, whose guests run the real daemon."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.cli.main import main
from agent.core.account.situation import understand
from agent.core.facts.snapshot import Origin
from agent.gather import gather
from agent.sources.system_root import SystemRoot
from agent.sources.xenstore.key_store import SessionKeys
from agent.sources.xenstore.pyxs_client import StoreClient
from tests.support.published_host import APublishedHost, a_published_host, until

ORIGIN = Origin("live", "published")
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[APublishedHost]:
    with a_published_host(tmp_path_factory.mktemp("host")) as host:
        until(lambda: os.path.exists(f"{host.paths['guests']['db']['root']}/run"))
        yield host


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
