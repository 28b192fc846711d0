# SPDX-License-Identifier: GPL-2.0-or-later
"""Every reported guest is told what is right of it, on every screen, and nothing that is not.

What `right` may hold: `status`, `state` (or `not_state`), `codes` that are found (`only`: and no
others), `says` (text on the screens), figures, terms of sums, and the answer of `plan --target`.
"""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from agent.core.facts.units import parse_size_kib
from agent.core.findings.diagnosis import Diagnosis, diagnose
from agent.core.plan.target import advise
from agent.examine import examine
from agent.report.check_line import Thresholds, check
from agent.report.doctor_text import doctor_lines
from agent.report.memmap_text import memmap_lines
from agent.report.status_text import status_lines
from agent.report.styled import plain
from agent.sources.system_root import SystemRoot
from agent.sources.xenstore.key_store import CapturedKeys
from tests.captures import Capture
from tests.support.captured import QUICK, gathered

HERE: Final = Path(__file__).parent
NAMES: Final = sorted(path.stem for path in HERE.glob("*.json"))


class Case(NamedTuple):
    """One guest: what is expected, what was found, and every screen as one line of text."""

    expected: dict[str, Any]
    diagnosis: Diagnosis
    screens: dict[str, str]


@cache
def case(name: str) -> Case:
    document = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
    return judged(name, document["files"], document["expected"])


def judged(name: str, files: dict[str, str], expected: dict[str, Any]) -> Case:
    """What is found on a guest with these files, and said of it."""
    with tempfile.TemporaryDirectory(dir=QUICK) as directory:
        path = Capture(name, {}, files).write_to(Path(directory))
        root = SystemRoot(str(path))
        diagnosis = diagnose(examine(gathered(path, name), root, CapturedKeys(root), None))
    assessment = diagnosis.assessment
    lines = {
        "status": status_lines(assessment, 100),
        "doctor": doctor_lines(diagnosis, 100),
        "memmap": memmap_lines(assessment.situation, 100),
    }
    screens = {screen: " ".join(plain(found).split()) for screen, found in lines.items()}
    screens["check"] = check(assessment, Thresholds()).line
    return Case(expected, diagnosis, screens)


def right(name: str, key: str) -> Any:
    value = case(name).expected["right"].get(key)
    if value is None:
        pytest.skip("this case does not say")
    return value


def those_with(key: str) -> list[str]:
    documents = {name: (HERE / f"{name}.json").read_text(encoding="utf-8") for name in NAMES}
    return [n for n, text in documents.items() if key in json.loads(text)["expected"]["right"]]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_found_or_said_that_is_wrong(name: str) -> None:
    expected, diagnosis, screens = case(name)
    found = {finding.code for finding in diagnosis.findings}
    assert not found & set(expected["must_not"])
    said = [(t, s) for t in expected["must_not_say"] for s, text in screens.items() if t in text]
    assert said == []


@pytest.mark.parametrize("name", those_with("codes"))
def test_what_is_right_is_found(name: str) -> None:
    found = {finding.code for finding in case(name).diagnosis.findings}
    assert set(right(name, "codes")) <= found
    above = {f.code for f in case(name).diagnosis.findings if f.severity != "info"}
    assert above <= set(right(name, "codes"))
    if case(name).expected["right"].get("only"):
        assert found == set(right(name, "codes"))


@pytest.mark.parametrize("name", those_with("says"))
def test_it_is_said_in_words(name: str) -> None:
    text = " ".join(case(name).screens.values())
    assert [words for words in right(name, "says") if words not in text] == []


@pytest.mark.parametrize("name", those_with("status"))
def test_status_doctor_and_check_judge_it_alike(name: str) -> None:
    diagnosis = case(name).diagnosis
    assert diagnosis.assessment.verdict == right(name, "status")
    assert case(name).screens["check"].startswith(f"BALLOON {right(name, 'status').upper()} - ")


def figures(name: str) -> dict[str, Any]:
    situation = case(name).diagnosis.examination.situation
    nr_pages, boot = situation.boot.nr_pages, situation.boot
    up_kib, current_kib = situation.headroom.up_kib, situation.snapshot.balloon
    offset_kib = situation.offset.kib if situation.offset else 0
    most_kib = (current_kib.current_kib or 0) + (up_kib or 0) + offset_kib if current_kib else None
    return {
        "state": situation.state,
        "unexplained_kib": situation.reconciliation.unexplained_kib,
        "offset_kib": offset_kib,
        "nr_pages": nr_pages.pages if nr_pages else None,
        "beyond_kib": boot.beyond_kib,
        "populated_kib": situation.populated_kib,
        "up_kib": up_kib,
        "may_grow_to_kib": most_kib,
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_is_right(name: str) -> None:
    expected, found = case(name).expected["right"], figures(name)
    assert {key: found[key] for key in found if key in expected} == {
        key: value for key, value in expected.items() if key in found
    }
    assert found["state"] != expected.get("not_state")


@pytest.mark.parametrize("name", [*those_with("terms"), *those_with("overhead")])
def test_every_term_is_named(name: str) -> None:
    situation = case(name).diagnosis.examination.situation
    parts = situation.overhead.terms if situation.overhead else ()
    expected = case(name).expected["right"]
    for key, terms in (("terms", situation.reconciliation.terms), ("overhead", parts)):
        kib = {term.name: term.kib for term in terms}
        assert expected.get(key, {}).items() <= kib.items()


@pytest.mark.parametrize("name", those_with("no_commands"))
def test_where_a_balancer_owns_the_target_no_command_sets_it(name: str) -> None:
    fixes = [fix for finding in case(name).diagnosis.findings for fix in finding.fixes]
    assert fixes
    assert not [command for fix in fixes for command in fix.commands]


@pytest.mark.parametrize("name", those_with("plan"))
def test_plan_says_of_a_target_what_status_advises(name: str) -> None:
    wanted = right(name, "plan")
    situation = case(name).diagnosis.examination.situation
    advice = advise(situation, parse_size_kib(wanted["target"]))
    assert advice is not None
    assert advice.answer == wanted["answer"]
