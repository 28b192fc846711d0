# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent simulate`, from outside."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from agent.cli.main import main
from agent.report import whole_file
from sim_backend.stories.catalogue import scenario_names
from tests import captures


def test_the_list_names_every_scenario_with_its_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(scenario_names())
    assert all(len(line.split()) > 3 for line in lines)


def test_the_list_as_json_says_what_a_good_agent_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found] == list(scenario_names())
    assert all(one["good_agent"] and one["summary"] for one in found)


def test_a_run_says_that_it_is_simulated_and_what_happened(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["simulate", "balloon-up"]) == 0
    shown = capsys.readouterr().out
    assert "SIMULATED DOMAIN 'balloon-up'" in shown
    assert "xl mem-set 768" in shown
    assert "FAILED" not in shown


@pytest.mark.parametrize(("name", "mode"), [("leak", "follow"), ("burst", "guard")])
def test_the_agent_acts_in_the_mode_that_the_story_is_about_unless_told_otherwise(
    name: str, mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", name]) == 0
    assert f"the agent acts in mode {mode}" in capsys.readouterr().out
    assert main(["simulate", name, "--agent", "self"]) == 0
    assert "the agent acts in mode self" in capsys.readouterr().out


def test_a_failed_check_is_exit_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "down-below-working-set", "--agent", "none"]) == 1
    shown = capsys.readouterr().out
    assert "FAILED" in shown
    assert "OOM killer took the workload" in shown


def test_a_run_as_json_has_events_samples_and_checks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "burst", "--json", "--seed", "7"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["source"] == {"kind": "simulation", "detail": "burst"}
    assert report["seed"] == 7
    assert report["passed"] is True
    assert {"when_s", "current_kib", "target_kib", "available_kib", "pressure"} <= set(
        report["samples"][0]
    )


def test_the_decisions_of_a_mode_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "hotplug-offline", "--agent", "follow", "--explain"]) == 0
    decisions = capsys.readouterr().out.partition("\nDecisions\n")[2].splitlines()
    assert any("hotplug-offline: The target needs memory block" in line for line in decisions)
    assert [line for line in decisions if "settled: " in line] == [decisions[0], decisions[-1]]


def test_who_gives_no_reasons_cannot_explain(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "burst", "--agent", "none", "--explain"]) == 64
    assert "gives no reasons" in capsys.readouterr().err


def test_a_plot_is_written_as_svg(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "leak.svg"
    assert main(["simulate", "leak", "--plot", str(file)]) == 0
    assert file.read_text().startswith("<svg ")
    assert "kernel target" in file.read_text()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("planted", ["link", "fifo"])
def test_what_is_planted_where_a_plot_is_to_be_leads_nowhere_and_holds_nothing_up(
    tmp_path: Path, planted: str
) -> None:
    file, other = tmp_path / "leak.svg", tmp_path / "other"
    other.write_text("precious")
    if planted == "link":
        file.symlink_to(other)
    else:
        os.mkfifo(file)
    assert main(["simulate", "leak", "--plot", str(file)]) == 0
    assert stat.S_ISREG(file.lstat().st_mode)
    assert file.read_text().startswith("<svg ")
    assert other.read_text() == "precious"
    assert sorted(os.listdir(tmp_path)) == ["leak.svg", "other"]


def test_a_device_is_written_to_and_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For root `--plot /dev/stdout` would otherwise leave a file in the place of everybody's."""
    devices, out = tmp_path / "dev", tmp_path / "out"
    devices.mkdir()
    out.write_text("before\n")
    (devices / "stdout").symlink_to(out)
    monkeypatch.setattr(whole_file, "DEVICES", str(devices))
    assert main(["simulate", "leak", "--plot", str(devices / "stdout")]) == 0
    assert out.read_text().startswith("before\n<svg ")
    assert main(["simulate", "leak", "--plot", str(devices / "none")]) == 73
    guest = captures.load("pv-512-1024-k510/memset-768").write_to(tmp_path / "guest")
    assert main(["--root", str(guest), "capture", "--force", str(devices / "stdout")]) == 73
    assert "is a device; name a file." in capsys.readouterr().err
    assert os.listdir(devices) == ["stdout"]
    assert (devices / "stdout").is_symlink()


def test_what_a_shell_has_opened_is_written_to(tmp_path: Path) -> None:
    """As `--plot >(rsvg-convert -o leak.png)`."""
    out = tmp_path / "out"
    with out.open("w") as file:
        assert main(["simulate", "leak", "--plot", f"/dev/fd/{file.fileno()}"]) == 0
    assert out.read_text().startswith("<svg ")
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize(
    ("words", "status", "hint"),
    [
        (["simulate"], 64, "--list"),
        (["simulate", "ballon-up"], 64, "balloon-up"),
        (["simulate", "balloon-up", "--agent", "foo"], 64, "none, observe, follow, guard, self"),
        (["simulate", "balloon-up", "--seed", "x"], 64, "x"),
        (["simulate", "balloon-up", "--plot", "/no/such/folder/x.svg"], 73, "could not be written"),
        (["simulate", "balloon-up", "--plot", "x.png"], 64, "name the file x.svg"),
    ],
)
def test_a_mistake_is_one_sentence_with_a_hint(
    words: list[str], status: int, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == status
    complaint = capsys.readouterr().err
    assert hint in complaint
    assert len(complaint.splitlines()) == 1
