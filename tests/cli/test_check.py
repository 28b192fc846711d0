# SPDX-License-Identifier: GPL-2.0-or-later
"""`check`: the line, the thresholds, and that every end is one of Nagios' four."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.cli.main import main
from agent.core.facts.snapshot import Snapshot
from agent.report.check_line import Threshold, Thresholds, check, parse_threshold
from agent.words import DOMAIN_OPTIONS, take_apart
from tests import captures
from tests.support.judged import assess
from tests.support.snapshots import a_pv_guest

Run = Callable[..., tuple[int, str, str]]
USUAL = Thresholds(*map(parse_threshold, ("10%", "5%", "0%", "25%")))
# The plugin guidelines' grammar of performance data.
_NUMBER = r"[0-9.]+"
PERFORMANCE = re.compile(
    rf"[a-z_]+={_NUMBER}(?:B|%|s|c)?;(?:{_NUMBER}:?)?;(?:{_NUMBER}:?)?;(?:{_NUMBER})?;(?:{_NUMBER})?"
)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run_command(*words: str) -> tuple[int, str, str]:
        status = main(words)
        return (status, *capsys.readouterr())

    return run_command


def stuck(target_kib: int) -> Snapshot:
    host = {"target_kib": target_kib}
    return a_pv_guest(balloon={"target_kib": target_kib, "motion": "still"}, host=host)


def on_its_way() -> Snapshot:
    return a_pv_guest(
        balloon={"target_kib": 786432, "motion": "moved"}, host={"target_kib": 786432}
    )


@pytest.mark.parametrize(
    ("snapshot", "level"),
    [
        (a_pv_guest(), "OK"),
        (on_its_way(), "OK"),
        (a_pv_guest(memory={"available_kib": 40000}), "WARNING"),
        (a_pv_guest(memory={"available_kib": 20000}), "CRITICAL"),
        (stuck(600000), "WARNING"),
        (stuck(786432), "CRITICAL"),
        (a_pv_guest(balloon=None), "WARNING"),
        (a_pv_guest(memory=None), "UNKNOWN"),
        (a_pv_guest(memory=None, balloon=None), "WARNING"),
        (a_pv_guest(balloon={"current_kib": None}), "UNKNOWN"),
    ],
)
def test_the_gravest_of_available_memory_and_balloon_decides(
    snapshot: Snapshot, level: str
) -> None:
    result = check(assess(snapshot), USUAL)
    assert result.level == level
    assert result.line.startswith(f"BALLOON {level} - ")


def test_it_says_why_nothing_is_known_of_a_host_that_does_not_answer() -> None:
    snapshot = a_pv_guest()._replace(sources={"xenstore": "malformed: no answer | yet"})
    level, line = check(assess(snapshot), USUAL)
    assert level == "UNKNOWN"
    assert line.startswith(
        "BALLOON UNKNOWN - what the host asks for is not known: no answer / yet, 371 MiB"
    )


def test_the_gravest_is_said_first() -> None:
    line = check(assess(stuck(786432)), USUAL).line
    words = "cancelled at 512 MiB, 256 MiB from its target, target-cancelled, 371 MiB"
    assert f"CRITICAL - {words}" in line


def test_without_thresholds_it_judges_what_status_finds_and_names_it() -> None:
    result = check(assess(stuck(786432)), Thresholds())
    assert result.level == "WARNING"
    assert "WARNING - target-cancelled, 371 MiB" in result.line
    assert check(assess(a_pv_guest(memory={"available_kib": 40000})), Thresholds()).level == "OK"


def test_performance_data_keeps_to_the_guidelines_and_counts_bytes() -> None:
    line = check(assess(a_pv_guest()), USUAL).line
    values = line.partition(" | ")[2].split(" ")
    assert all(PERFORMANCE.fullmatch(value) for value in values)
    assert values[0] == f"available={380268 * 1024}B;{45604 * 1024}:;{22802 * 1024}:;0;466993152"
    assert line.count("|") == 1
    assert "\n" not in line


@pytest.mark.parametrize(
    ("text", "threshold"),
    [
        ("10%", Threshold(percent=10.0)),
        ("2.5 %", Threshold(percent=2.5)),
        ("256", Threshold(256 * 1024)),
        ("1.5G", Threshold(1536 * 1024)),
    ],
)
def test_a_threshold_is_a_size_or_a_share(text: str, threshold: Threshold) -> None:
    assert parse_threshold(text) == threshold


@pytest.mark.parametrize("text", ["", "ten", "101%", "-5%", "5%%", "10:20"])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_threshold(text)


@pytest.mark.parametrize(
    "words",
    [
        ("check", "-w", "ten"),
        ("check", "--frobnicate"),
        ("--root", "/nonexistent", "check"),
        ("--sim", "no-such-scenario", "check"),
        ("check", "--sim", "no-such-scenario"),
        ("--frobnicate", "check"),
    ],
)
def test_wrong_usage_is_unknown_in_one_line_on_standard_output(
    words: tuple[str, ...], run: Run
) -> None:
    status, out, err = run(*words)
    assert (status, err) == (3, "")
    assert out.startswith("BALLOON UNKNOWN - ")
    assert out.count("\n") == 1


def test_no_xen_domain_is_unknown(run: Run, tmp_path: Path) -> None:
    status, out, _ = run("--root", str(tmp_path), "check")
    assert status == 3
    assert "is not a capture of a Xen domain" in out


def test_an_internal_error_is_unknown_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.cli.check.check", lambda *_: 1 / 0)
    status, out, _ = run("--sim", "balloon-up", "check")
    assert (status, out) == (3, "BALLOON UNKNOWN - ZeroDivisionError: division by zero\n")


def test_thresholds_can_be_moved(run: Run, tmp_path: Path) -> None:
    root = str(captures.load("pv-512-1024/boot").write_to(tmp_path))
    assert run("--root", root, "check")[0] == 0
    assert run("--root", root, "check", "-w", "400M")[0] == 1
    assert run("--root", root, "check", "-w", "400M", "-c", "99%")[0] == 2


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ((), None),
        (("--sim", "check"), None),
        (("--sim", "x", "check", "-w", "5%"), "check"),
        (("--sim=x", "check"), "check"),
        (("status", "check"), "status"),
    ],
)
def test_the_command_is_the_first_word_that_is_no_option(
    words: tuple[str, ...], command: str | None
) -> None:
    assert take_apart(words, DOMAIN_OPTIONS).command == command
