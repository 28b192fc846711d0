# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever state a host is in, `guests` and `mem-set` end in a sentence and the right status."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import xl
from agent.cli import guests as guests_command
from agent.cli.host import ThisHost
from agent.cli.main import main
from agent.core.host import mem_set
from agent.core.host.guests import Guest, Life
from tests.support.claims import HONEST
from tests.support.dom0 import AHost
from tests.support.simulated_xenstore import SimulatedXenstored

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AHost]:
    monkeypatch.setattr(guests_command, "_SECOND_LOOK_S", 0.01)
    monkeypatch.setattr(mem_set, "STAY_S", 0.1)
    with SimulatedXenstored() as xenstored, xenstored.connect() as client:
        yield AHost(xenstored, client, tmp_path, monkeypatch)


def honest(host: AHost) -> None:
    host.add(1, "db", **HONEST)
    host.lists("db                                           1   512     1     -b----       9.3")


def without_xl(host: AHost) -> None:
    honest(host)
    host.xl(None)


def xl_fails(host: AHost) -> None:
    honest(host)
    host.xl(
        "echo 'libxl: error: libxl.c:1:f: cannot open libxc handle: Permission denied' >&2; exit 1"
    )


def xl_hangs(host: AHost) -> None:
    honest(host)
    host.xl("exec sleep 60")
    host.patch.setattr(xl, "_ASK_S", 0.3)


def xl_hangs_at_a_change(host: AHost) -> None:
    honest(host)
    host.xl(f'[ "$1" = mem-set ] && sleep 60; cat {host.root}/"$1"')
    host.patch.setattr(xl, "_CHANGE_S", 0.3)


def xl_refuses_the_second(host: AHost) -> None:
    """A guest that does at once what it is asked for."""
    honest(host)
    after_a_step(host, has_mib=480, asked_mib=480, second="libxl: error: libxl.c:1:f: no more")


def the_host_has_no_more(host: AHost) -> None:
    honest(host)
    after_a_step(host, has_mib=512, asked_mib=600, state="retrying", finding="target-retrying")
    host.patch.setattr(mem_set, "STUCK_S", 0.1)


def a_mute_one_does_not_follow(host: AHost) -> None:
    host.add(1, "db")
    host.lists("db                                           1   512     1     -b----       9.3")
    after_a_step(host, has_mib=512, asked_mib=600)


def crashes(host: AHost) -> None:
    honest(host)
    after_a_step(host, has_mib=480, asked_mib=480, life="crashed")


def crashes_on_its_way_up(host: AHost) -> None:
    honest(host)
    after_a_step(host, has_mib=512, asked_mib=600, life="crashed")


def somebody_else_asks_it(host: AHost) -> None:
    honest(host)
    after_a_step(host, has_mib=512, asked_mib=700)


def its_agent_hears_nothing(host: AHost) -> None:
    honest(host)
    after_a_step(host, has_mib=512, asked_mib=600, host_target_kib=512 * 1024)


def after_a_step(
    host: AHost, *, has_mib: int, asked_mib: int, second: str = "", life: Life = "running",
    **claims: Any,
) -> None:  # fmt: skip
    """What dom0 sees of the guest once xl has asked it for something; the second time xl fails."""
    said = host.root / "said"
    host.xl(
        f'[ "$1" = mem-set ] || exec cat {host.root}/"$1"\n'
        f"[ -e {said} ] && echo '{second}' >&2 && exit 1\n"
        f"touch {said}"
    )
    look_at = ThisHost.look_at

    def seen(this: ThisHost, domid: int) -> Guest | None:
        guest = look_at(this, domid)
        if guest is None or not said.exists():
            return guest
        asked_kib = asked_mib * 1024
        said_now: dict[str, Any] = {"actual_kib": has_mib * 1024, "host_target_kib": asked_kib}
        if guest.claims.state is not None:
            guest = guest._replace(claims=guest.claims._replace(**{**said_now, **claims}))
        return guest._replace(target_kib=asked_kib, has_kib=has_mib * 1024, life=life)

    host.patch.setattr(ThisHost, "look_at", seen)


def xl_raves(host: AHost) -> None:
    honest(host)
    host.xl("head -c 300000 /dev/urandom")


def paused(host: AHost) -> None:
    honest(host)
    host.lists("db                                           1   512     1     --p---       9.3")


def a_zombie(host: AHost) -> None:
    honest(host)
    host.lists(
        "db                                           1   512     1     -b----       9.3",
        "(null)                                       4    16     1     --ps-d       9.3",
    )


def silent(host: AHost) -> None:
    honest(host)
    host.client.write("/local/domain/1/data/balloon/host_target_kb", 400000)


def stale(host: AHost) -> None:
    honest(host)
    host.lists("db                                           1   300     1     -b----       9.3")


def short(host: AHost) -> None:
    host.add(1, "db", **{**HONEST, "pressure": b"full"})
    host.lists("db                                           1   512     1     -b----       9.3")


def twins(host: AHost) -> None:
    honest(host)
    host.add(3, "db", **HONEST)


def called_by_a_number(host: AHost) -> None:
    honest(host)
    host.add(3, "1", **HONEST)


def on_the_wire(host: AHost) -> None:
    host.client.write("/local/domain/7/data", "")  # being made, or just gone


def nobody(host: AHost) -> None:
    host.client.write("/local/other", "")


@pytest.mark.parametrize(
    "case",
    [
        (without_xl, "guests", 0, "xl could not be asked: xl is not on this host. What a guest"),
        (without_xl, "mem-set db 400", 72, "xl is not on this host; mem-set needs it."),
        (xl_fails, "guests", 0, "xl could not be asked: cannot open libxc handle: Permission"),
        (xl_fails, "mem-set db 600", 2, "xl refused: cannot open libxc handle: Permission denied."),
        (xl_hangs, "guests", 0, "xl could not be asked: xl list took longer than 0.3 s."),
        (
            xl_hangs_at_a_change,
            "mem-set db 600",
            1,
            "xl mem-set took longer than 0.3 s and was ended; db may have been asked for 600 MiB.",
        ),
        (
            xl_refuses_the_second,
            "mem-set db 400",
            1,
            "xl refused: no more; db was last asked for 480 MiB.",
        ),
        (
            the_host_has_no_more,
            "mem-set db 600",
            1,
            (
                "stopped at 512 MiB: the guest says its balloon is retrying (target-retrying); "
                "`balloon-agent doctor` there has the cure; this host has 20 MiB free."
            ),
        ),
        (
            a_mute_one_does_not_follow,
            "mem-set db 600 --timeout 1",
            1,
            (
                "stopped at 512 MiB: in 1 s it came no nearer to 600 MiB; it has no agent that "
                "could say why; this host has 20 MiB free."
            ),
        ),
        (crashes, "mem-set db 400", 1, "db is crashed now; it was last asked for 480 MiB."),
        (
            crashes_on_its_way_up,
            "mem-set db 600",
            1,
            "db is crashed now; it was last asked for 600 MiB.",
        ),
        (
            somebody_else_asks_it,
            "mem-set db 600",
            1,
            "stopped: somebody else asked db for 700 MiB meanwhile.",
        ),
        (
            its_agent_hears_nothing,
            "mem-set db 600 --timeout 1",
            1,
            "does it run in the guest? And this host has 20 MiB free.",
        ),
        (
            honest,
            "mem-set db 512 --dry-run",
            0,
            "db would have 512 MiB; nothing would be asked of it.",
        ),
        (honest, "mem-set db 200MiB --dry-run", 0, "xl mem-set 1 480m"),
        (honest, "mem-set db 200b", 64, "'200b' is not a size; write for example 512M, 1.5G or"),
        (honest, "mem-set db -5", 64, "No such option"),
        (honest, "mem-set db", 64, "Missing argument 'SIZE'. See balloon-agent mem-set --help."),
        (xl_raves, "guests", 0, "xl could not be asked: xl list says nothing that can be read."),
        (paused, "guests", 0, "  paused "),
        (paused, "mem-set db 400", 2, "db is paused and cannot follow before it runs again."),
        (a_zombie, "guests", 0, "domain 4: it is gone, but others still use 16 MiB of it."),
        (a_zombie, "mem-set 4 400", 2, "domain 4 cannot be read: it has no memory/target."),
        (silent, "guests", 1, "db: its agent has not heard of its target, 512 MiB: does it run?"),
        (stale, "guests", 1, "db: what it says cannot be: actual_kb is 512 MiB, the hypervisor"),
        (short, "guests", 1, "db lacks memory."),
        (short, "mem-set db 400", 2, "db lacks memory already; --force goes there all the same."),
        (twins, "guests db", 0, "The 2 guests have "),
        (twins, "mem-set db 400", 64, "'db' is 2 guests: 1, 3. Say which by its number."),
        (called_by_a_number, "mem-set 1 400 --dry-run", 0, "xl mem-set 1 480m"),
        (on_the_wire, "guests", 0, "There are no guests."),
        (nobody, "guests", 0, "There are no guests."),
        (nobody, "guests x", 64, "There is no guest 'x'. There is none at all."),
        (honest, "guests Domain-0", 64, "Domain-0 is this host's dom0 and none of its guests;"),
        (honest, "mem-set 0 400", 64, "Domain-0 is this host's dom0 and none of its guests;"),
        (honest, "mem-set db 9999999T", 2, "db may have 1 GiB at most"),
        (honest, "mem-set db 1.5", 64, "'1.5' would be in MiB; write for example 1.5G."),
        (honest, "mem-set db 2g --dry-run", 2, "db may have 1 GiB at most"),
        (honest, "mem-set db 524288K", 0, "db has 512 MiB."),
        (honest, "mem-set db 512 --timeout nan", 64, "'nan' is not a number of seconds."),
    ],
    ids=lambda case: f"{case[0].__name__}: {case[1]}",
)
def test_every_state_of_a_host_is_told_in_a_sentence(
    host: AHost, capsys: Capture, case: tuple[Callable[[AHost], None], str, int, str]
) -> None:
    state, words, status, said = case
    state(host)
    ended = main([*host.words, *words.split()])
    told = capsys.readouterr()
    shown = " ".join((told.out + told.err).split()) if not said.startswith(" ") else told.out
    assert said in shown
    assert ended == status, shown
    assert words.startswith("guests") or (told.out + told.err).count("\n") <= 5


def test_json_says_what_the_screen_does(host: AHost, capsys: Capture) -> None:
    silent(host)
    host.xl("exit 3")
    assert main([*host.words, "guests", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["host"]["problem"] == "xl list: exit 3"
    assert found["guests"][0]["silent"] is True


def test_a_plan_for_programs_has_its_steps_and_is_no_outcome(host: AHost, capsys: Capture) -> None:
    honest(host)
    assert main([*host.words, "mem-set", "db", "480", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "schema": 1,
        "domid": 1,
        "name": "db",
        "outcome": "planned",
        "sentence": "db would have 480 MiB; it is heard again after each step.",
        "asked_kib": [480 * 1024],
    }


def test_a_socket_that_nobody_listens_on_is_one_sentence(host: AHost, capsys: Capture) -> None:
    dead = str(host.root / "dead.sock")
    with socket.socket(socket.AF_UNIX) as nobody_listens:
        nobody_listens.bind(dead)
        assert main(["--root", str(host.root), "--xenstore", dead, "guests"]) == 69
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert "xenstore cannot be asked" in told.err
