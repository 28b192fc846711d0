# SPDX-License-Identifier: GPL-2.0-or-later
"""What a failed case leaves behind, tested with a domain that only pretends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.xenlab.dom0 import main, toolstack
from tests.xenlab.dom0.console import GoneError
from tests.xenlab.dom0.keep import DOM0_VIEWS, GUEST_VIEWS, keep_failure
from tests.xenlab.dom0.scene import Scene
from tests.xenlab.dom0.toolstack import Done
from tests.xenlab.model import Case, GuestSpec, Kind, Scenario


class Pretender:
    """A guest whose commands print their names, until it is gone."""

    kind: Kind = "pv"
    domid = 7
    domain_type = "pv"

    def __init__(self, gone: bool = False) -> None:
        self._gone = gone

    def run(self, argv: list[str], *, user: int | None = None, timeout_s: float = 120) -> Done:
        if self._gone:
            raise GoneError("no answer")
        return Done(0, f"in the guest: {argv[0]}".encode(), b"")

    def start(self, argv: list[str], timeout_s: float = 120) -> int:
        raise NotImplementedError

    def finish(self, number: int, timeout_s: float = 120) -> Done:
        raise NotImplementedError

    def console_log(self) -> bytes:
        return b"the kernel's last words"

    def destroy(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _pretended_toolstack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        toolstack, "run", lambda argv, *_: Done(0, f"in dom0: {argv[0]}".encode(), b"")
    )


def kept(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_failure_keeps_console_journal_capture_and_what_dom0_sees(tmp_path: Path) -> None:
    keep_failure(Pretender(), tmp_path / "case", "current is 1, expected 2")
    found = kept(tmp_path / "case")
    assert found.pop("failure.txt") == "current is 1, expected 2\n"
    assert found.pop("console.log") == "the kernel's last words"
    assert found.pop("capture.tar.gz") == "in the guest: python3"
    assert found["journal.txt"] == "in the guest: journalctl"
    assert set(found) == {*DOM0_VIEWS, *GUEST_VIEWS}
    assert all(found[name] == "in dom0: " + argv[0] for name, argv in DOM0_VIEWS.items())


def test_a_guest_that_is_gone_still_leaves_its_console_and_what_dom0_sees(tmp_path: Path) -> None:
    keep_failure(Pretender(gone=True), tmp_path, "the guest crashed")
    assert set(kept(tmp_path)) == {"failure.txt", "console.log", *DOM0_VIEWS}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """What the player reports, with its evidence below the test's folder."""
    events: list[dict[str, Any]] = []
    monkeypatch.setattr(main, "KEPT", tmp_path)
    monkeypatch.setattr(
        main, "report", lambda event, **more: events.append({"event": event} | more)
    )
    return events


@pytest.mark.parametrize("error", [AssertionError("it is not so"), KeyError("it is not so")])
def test_a_case_that_fails_or_breaks_is_reported_with_its_evidence(
    told: list[dict[str, Any]], tmp_path: Path, error: Exception
) -> None:
    def act(_: Scene) -> None:
        raise error

    failing = Case("mem-set 1 failing", "nothing", act)
    scenario = Scenario("guest", "a guest", GuestSpec("pv"), (failing,))
    scene = Scene(scenario, Pretender(), tmp_path)
    main.Player(scenario).play_case(scene, failing)
    (event,) = told
    assert event["outcome"] == "failed"
    assert "it is not so" in event["detail"]
    assert "it is not so" in kept(tmp_path / "guest/mem-set-1-failing")["failure.txt"]


@pytest.mark.parametrize(("kind", "plays"), [("pv", 1), ("dom0", 1), ("pvh", 3), ("hvm", 3)])
def test_where_the_emulation_may_crash_a_guest_its_scenario_is_played_up_to_three_times(
    told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, kind: Any, plays: int
) -> None:
    played = []

    def crash(player: main.Player) -> None:
        played.append(player)
        raise GoneError("the guest crashed")

    monkeypatch.setattr(main.Player, "_attempt", crash)
    case = Case("boot", "nothing", lambda _: None)
    main.Player(Scenario("guest", "a guest", GuestSpec(kind), (case,))).play()
    again = [event["why"] for event in told if event["event"] == "again"]
    assert (len(played), again) == (plays, ["the guest crashed"] * (plays - 1))
    assert [event["outcome"] for event in told if event["event"] == "case"] == ["failed"]
