# SPDX-License-Identifier: GPL-2.0-or-later
"""Every judgement has an answer for every snapshot, and every answer can be shown.

BALLOON_AGENT_TOTAL_EXAMPLES=100000 looks longer.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from itertools import cycle
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.cli.doctor import doctor_object
from agent.core.account.situation import understand
from agent.core.facts.snapshot import BootRecord, Snapshot
from agent.core.findings.assessment import judge
from agent.core.findings.diagnosis import diagnose
from agent.core.findings.examination import Examination
from agent.core.plan.target import advise
from agent.core.policy.decide import decide
from agent.core.policy.history import EMPTY
from agent.core.policy.settings import MODES, PolicySettings
from agent.report.check_line import Threshold, Thresholds, check
from agent.report.doctor_text import doctor_lines
from agent.report.memmap_json import memmap_object
from agent.report.memmap_text import memmap_lines
from agent.report.metrics_text import metrics_text
from agent.report.plan_json import advice_object
from agent.report.plan_text import advice_lines
from agent.report.status_json import status_object
from agent.report.status_text import status_lines
from agent.report.styled import plain
from tests.support.any_snapshot import ANY_SNAPSHOT, NUMBERS
from tests.support.lacking import snapshots_without_one
from tests.support.snapshots import (
    LINUX_2_6_32,
    STALLED,
    a_dom0,
    a_pv_guest,
    a_pvh_guest,
    an_hvm_guest,
    guest_map,
)

EXAMPLES = int(os.environ.get("BALLOON_AGENT_TOTAL_EXAMPLES", "60"))

SHARE, SIZE = Threshold(percent=10.0), Threshold(65536)
THRESHOLDS = Thresholds(SHARE, SIZE, SIZE, SHARE)


GROWING = {"target_kib": 786432, "motion": "unknown"}
STUCK = {"target_kib": 786432, "motion": "still", "low_kib": 0}
SHRINKING = {"target_kib": 262144, "motion": "moved"}
AT_BOOT = BootRecord(524288, 524288, 1048192, 524288, 1048576)
XAPI = {"dynamic_min_kib": 262144, "dynamic_max_kib": 786432, "initial_target_kib": 524288}
HOT_ADDED = {
    "firmware_map": guest_map(1048576, (0x40000000, 0x4FFFFFFF)),
    "blocks": {"offline": (8, 9)},
}


def _judged(snapshot: Snapshot, next_one: Snapshot, target_kib: int, mode: str) -> None:
    """Everything that is ever judged of a guest, and shown."""
    situation = understand(snapshot)
    assessment = judge(situation)
    diagnosis = diagnose(Examination(situation, snapshot.sources))
    check(assessment, THRESHOLDS)
    for shown in (status_object(assessment), memmap_object(situation), doctor_object(diagnosis)):
        json.dumps(shown, allow_nan=False)
    plain(status_lines(assessment, 80))
    plain(memmap_lines(situation, 80))
    plain(doctor_lines(diagnosis, 80))
    metrics_text(assessment)
    advice = advise(situation, target_kib)
    if advice is not None:
        json.dumps(advice_object(advice, situation), allow_nan=False)
        plain(advice_lines(advice, situation, 80))
    policy = PolicySettings(mode=mode)  # type: ignore[arg-type]
    history = EMPTY
    for moment_s, seen in ((1.0, situation), (30.0, understand(next_one)), (60.0, situation)):
        _, history = decide(seen, history, policy, moment_s)


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(ANY_SNAPSHOT, ANY_SNAPSHOT, NUMBERS, st.sampled_from(MODES))
def test_every_judgement_answers_for_every_snapshot(
    snapshot: Snapshot, next_one: Snapshot, target_kib: int, mode: str
) -> None:
    _judged(snapshot, next_one, target_kib, mode)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"balloon": GROWING},
        {"balloon": STUCK},
        {"balloon": SHRINKING, "pressure": STALLED},
        {"boot_record": AT_BOOT},
        {"boot_log": None, "uptime_s": 10.0, "host": XAPI, "domain": {"toolstack": "xapi"}},
        {**HOT_ADDED, "balloon": STUCK},
        {"domain": {"kernel": LINUX_2_6_32}},
        {"crash_kernel_kib": 65536, "kernel_options": ("elfcorehdr=1", "mem=1G")},
    ],
    ids=["settled", "grows", "stuck", "shrinks", "record", "XAPI", "hot-added", "old", "crash"],
)
@pytest.mark.parametrize("make", [a_pv_guest, a_pvh_guest, an_hvm_guest, a_dom0])
def test_a_guest_that_lacks_any_one_figure_is_judged(
    make: Callable[..., Snapshot], changes: dict[str, Any]
) -> None:
    if make is a_dom0:
        changes = {name: change for name, change in changes.items() if name != "blocks"}
    guest = make(**changes)
    for lacking, mode in zip(snapshots_without_one(guest), cycle(MODES)):
        _judged(lacking, guest, 786432, mode)
        _judged(guest, lacking, 262144, mode)
