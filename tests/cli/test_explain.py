# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent explain`: what the daemon decided, read from what it left."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from agent.cli.main import main
from agent.core.policy.decision import nothing, write_target
from agent.daemon.record import DecisionLog, Entry, Result
from agent.sources.daemon_status import FILE, parse_daemon_record
from tests.captures import load

ONLINE: dict[str, Any] = {
    "time": 1795376904,
    "monotonic_s": 12.5,
    "cause": "xenstore",
    "rule": "hotplug-offline",
    "sentence": "The target needs memory block 8, which is hot-added and offline.",
    "action": "online-block",
    "target_kib": None,
    "block": 8,
    "numbers": {},
    "outcome": "done",
    "count": 2,
}
SETTLED = ONLINE | {
    "rule": "settled",
    "sentence": "The guest has what the host asked for.",
    "action": "none",
    "block": None,
    "outcome": "nothing to do",
    "count": 1,
}


def left(tree: Path, **changes: Any) -> Path:
    """A guest whose daemon has left this record."""
    daemon = {
        "mode": "follow",
        "pid": 812,
        "written": int(time.time()),
        "stopped": False,
        "banner": None,
        "decisions": [ONLINE, SETTLED],
    }
    load("pv-512-1024-k510/memset-768").write_to(tree)
    path = tree / FILE
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"schema": 1, "daemon": daemon | changes}))
    return tree


def test_decisions_are_told_from_cause_to_outcome_oldest_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--root", str(left(tmp_path)), "explain"]) == 0
    shown = capsys.readouterr().out
    assert "runs in mode follow" in shown
    assert shown.index("hotplug-offline") < shown.index("settled")
    assert "(xenstore)" in shown
    assert "-> put memory block 8 online: done, 2 times" in shown
    assert "-> did nothing: nothing to do" in shown


def test_programs_get_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(left(tmp_path)), "explain", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [decision["rule"] for decision in found["decisions"]] == ["hotplug-offline", "settled"]
    assert found["stale"] is False


@pytest.mark.parametrize(
    "changes", [{"written": 1795376904 - 86400 * 365}, {"stopped": True}], ids=str
)
def test_what_a_dead_daemon_left_is_shown_and_called_that(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any]
) -> None:
    assert main(["--root", str(left(tmp_path, **changes)), "explain"]) == 4
    shown = capsys.readouterr().out
    assert "is it alive?" in shown or "has ended" in shown


def test_a_daemon_whose_host_does_not_answer_says_so_and_not_that_all_is_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = left(tmp_path, xenstore="host-silent: /dev/xen/xenbus: no answer within 1.5 s")
    assert main(["--root", str(silent), "explain"]) == 0
    shown = capsys.readouterr().out
    assert "OK" not in shown
    assert "The host does not answer: /dev/xen/xenbus: no answer within 1.5 s" in shown


def test_without_a_daemon_it_says_where_it_looked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load("pv-512-1024/boot").write_to(tmp_path)
    assert main(["--root", str(tmp_path), "explain"]) == 4
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"balloon-agent: No daemon has left a record in {tmp_path}/{FILE}.")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON: Expecting value"),
        ("[]", "not a JSON object"),
        ("{}", "daemon is absent"),
        ('{"daemon": 5}', "daemon is not an object"),
        ('{"daemon": {"mode": 1}}', "mode is not a text"),
        ('{"daemon": {"mode": "follow", "pid": true}}', "pid is not a number from 0 to"),
    ],
)
def test_a_damaged_record_is_one_sentence_that_names_the_attribute(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, why: str
) -> None:
    (left(tmp_path) / FILE).write_text(text)
    assert main(["--root", str(tmp_path), "explain"]) == 4
    assert f"malformed: {why}" in capsys.readouterr().err


def test_a_simulated_guest_has_no_daemon(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--sim", "balloon-up", "explain"]) == 64
    assert "simulate balloon-up" in capsys.readouterr().err


def test_what_the_real_daemon_writes_is_understood() -> None:
    log = DecisionLog()
    written = write_target(524288, "guard", "guard-step", "S.", {})
    log.add(Entry(1.5, 1795376904, "host", written, Result("done", "done")))
    daemon = {"mode": "follow", "pid": 1, "written": 5, "stopped": False, "banner": None}
    text = json.dumps({"daemon": daemon | {"decisions": log.as_objects()}})
    (decision,) = parse_daemon_record(text).decisions
    assert (decision.rule, decision.target_kib, decision.outcome) == ("guard-step", 524288, "done")


def test_another_request_of_the_host_is_another_entry(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = DecisionLog()
    for second, host_kib in enumerate((524288, 524288, 786432)):
        settled = nothing("settled", "All is well.", {"host_target_kib": host_kib})
        nothing_done = Result("none", "nothing to do")
        log.add(Entry(float(second), 1795376904 + second, "host", settled, nothing_done))
    assert [entry["count"] for entry in log.as_objects()] == [2, 1]
    assert main(["--root", str(left(tmp_path, decisions=log.as_objects())), "explain"]) == 0
    shown = capsys.readouterr().out
    assert shown.index("asks for 512 MiB") < shown.index("asks for 768 MiB")
