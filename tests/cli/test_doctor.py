# SPDX-License-Identifier: GPL-2.0-or-later
"""`doctor` on real captures and on the simulation: the right findings, and no others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.cli.main import main
from agent.core.findings.diagnosis import CODES
from agent.core.findings.registry import CHECKS
from agent.sources.xenstore.errors import XenstoreLost
from agent.sources.xenstore.pyxs_client import StoreClient
from tests import captures

Run = Callable[..., tuple[int, str]]

# What is above info, by capture; every other state of every guest has nothing to fix.
TO_FIX = {
    "pv-512-1024-hotplug/hotplugged-memset-1408": {"hotplug-offline"},
    "pv-512-1024-hotplug/memmax-1536-memset-1280": {"hotplug-offline"},
    "pv-512-1024-hotplug/static-max-1536-memset-1280": {"hotplug-offline"},
    "pv-512-1024-k510-onlined/memset-768": {"hotplug-offline"},
    "pv-512-1024-k510/memset-1024": {"hotplug-offline"},
    "pv-512-1024-k510/memset-768": {"hotplug-offline"},
    "pv-512-1024-units/target-garbled": {"host-target-garbage"},
    "pv-512-1024-units/target-in-bytes": {"units-trap"},
    "pv-512-1024-units/target-in-mib": {"units-trap", "target-retrying"},
    "pv-512-1024/guest-target_kb-655360": {"target-retrying", "target-overridden"},
    "pv-512-1024/xenstore-raw-beyond-maxmem": {"target-beyond-static-max"},
    "pvh-512-1024/xenstore-raw-beyond-maxmem": {"target-beyond-static-max"},
}
REMARKS = {
    "page-struct-overhead", "maxmem-unreachable", "less-than-configured", "hvm-below-configured",
    "hotplug-offline", "hotplug-will-stay-offline", "boot-waits-for-balloon",
}  # fmt: skip


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run_command(*words: str) -> tuple[int, str]:
        status = main(words)
        return status, capsys.readouterr().out

    return run_command


def diagnosed(run: Run, *words: str) -> tuple[int, dict[str, Any]]:
    status, text = run(*words, "doctor", "--json")
    return status, json.loads(text)


@pytest.mark.parametrize("name", captures.names())
def test_on_a_real_guest_the_findings_are_the_right_ones(
    name: str, run: Run, tmp_path: Path
) -> None:
    root = captures.load(name).write_to(tmp_path)
    status, diagnosis = diagnosed(run, "--root", str(root))
    to_fix = {f["code"] for f in diagnosis["findings"] if f["severity"] != "info"}
    remarks = {f["code"] for f in diagnosis["findings"]} - to_fix
    assert to_fix == TO_FIX.get(name, set())
    assert remarks <= REMARKS
    assert status == {"ok": 0, "warning": 1, "critical": 2}[diagnosis["verdict"]]


def test_a_boot_that_waited_two_minutes_for_the_balloon_is_told_of(
    run: Run, tmp_path: Path
) -> None:
    root = captures.load("pvh-1024-6144/boot").write_to(tmp_path)
    _, diagnosis = diagnosed(run, "--root", str(root))
    waited = {f["code"]: f["evidence"] for f in diagnosis["findings"]}["boot-waits-for-balloon"]
    assert waited == {"boot_wait_s": 108.9}


def test_every_check_is_found_clear_not_made_or_said_by_another(run: Run, tmp_path: Path) -> None:
    root = captures.load("pv-512-1024-k510/memset-768").write_to(tmp_path)
    _, diagnosis = diagnosed(run, "--root", str(root))
    found = {f["code"] for f in diagnosis["findings"]}
    told = [*found, *diagnosis["clear"], *(lack["code"] for lack in diagnosis["not_made"])]
    by_another = [code for code in CODES if found.intersection(CHECKS[code].unless)]
    assert sorted({*told, *by_another}) == sorted(CODES)
    assert len(told) == len(set(told))


def test_a_capture_with_more_in_it_answers_more(run: Run, tmp_path: Path) -> None:
    capture = captures.load("pv-512-1024/boot")
    stat = "{} ({}) S 2 0 0 0 -1 0 0 0 0 0 10 40 0 0 20 0 1 0 231 0 0\n"
    capture.files.update(
        {
            "proc/vmstat": "oom_kill 3\npswpout 0\n",
            "proc/300/stat": stat.format(300, "xe-daemon"),
            "proc/301/stat": stat.format(301, "xen-guest-agent"),
            "xenstore/data/meminfo_total": "980332",
            "run/balloon-agent/status.json": '{"domain": {"domid": 4711}}',
        }
    )
    status, diagnosis = diagnosed(run, "--root", str(capture.write_to(tmp_path)))
    found = {f["code"] for f in diagnosis["findings"]}
    assert found >= {"memory-stalls", "rival-agents", "stale-meminfo-total", "migrated"}
    assert status == 1


def test_a_critical_finding_ends_in_2(run: Run, tmp_path: Path) -> None:
    capture = captures.load("pvh-512-1024/boot")
    files = {path: text for path, text in capture.files.items() if "xen_memory" not in path}
    status, diagnosis = diagnosed(
        run, "--root", str(capture._replace(files=files).write_to(tmp_path))
    )
    assert status == 2
    assert diagnosis["findings"][0]["code"] == "pod-gap"
    assert diagnosis["findings"][0]["actor"] == "host"


def test_a_simulated_guest_is_watched_in_its_own_time(run: Run) -> None:
    status, diagnosis = diagnosed(run, "--sim", "balloon-up")
    assert status == 0
    assert diagnosis["watched_s"] == 4.0
    _, text = run("--sim", "balloon-up", "doctor", "--seconds", "60", "--json")
    watched = json.loads(text)
    assert {"target-oscillation", "host-does-not-move"} <= set(watched["clear"])


def test_the_screen_has_cause_evidence_and_a_fix_on_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    root = captures.load("pv-512-1024-k510/memset-768").write_to(tmp_path)
    status, text = run("--root", str(root), "doctor")
    lines = text.splitlines()
    assert status == 1
    fixes = [line.strip() for line in lines if line.strip().startswith("Fix")]
    assert len(fixes) == 1
    assert fixes[0].startswith(
        "Fix       for n in 8 9; do echo online > /sys/devices/system/memory/"
    )
    assert "for the guest to fix" in text
    assert all(len(line) <= 40 for line in lines if "Fix" not in line and str(tmp_path) not in line)


def test_ascii_means_ascii(run: Run, tmp_path: Path) -> None:
    root = captures.load("pv-512-1024-k510/memset-768").write_to(tmp_path)
    _, text = run("--root", str(root), "doctor", "--ascii")
    assert text.isascii()


def test_a_silent_xenstored_costs_the_doctor_its_deadline_once(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connects: list[str] = []

    def connect(session: StoreClient) -> None:
        connects.append("tried")
        raise XenstoreLost("no answer within 2 s")

    monkeypatch.setattr(StoreClient, "connect", connect)
    root = captures.load("pv-512-1024/boot").write_to(tmp_path)
    _, diagnosis = diagnosed(run, "--root", str(root), "--xenstore", str(tmp_path))
    assert connects == ["tried"]
    remedies = {lack["remedy"] for lack in diagnosis["not_made"] if lack["source"] == "xenstore"}
    assert remedies == {"see that xenstored runs and answers, on the host"}
    code, text = run("--root", str(root), "--xenstore", str(tmp_path), "doctor")
    assert code == 4
    assert "what the host asks for is not known: no answer within 2 s" in " ".join(text.split())
    assert "malformed" not in text
