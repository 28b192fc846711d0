# SPDX-License-Identifier: GPL-2.0-or-later
"""What each check says of its cases, word for word and with every figure, kept in said/.

BALLOON_AGENT_UPDATE_GOLDEN=1 with these tests writes them anew; look at the difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from agent.core.findings.diagnosis import CODES, diagnose
from agent.core.findings.finding import Finding
from agent.core.findings.registry import CHECKS
from tests.core.findings import test_diagnosis, test_rules
from tests.support.golden import check_reviewed
from tests.support.judged import assess

SAID: Final = Path(__file__).parent / "said"


def found(code: str) -> Iterator[Finding]:
    """The finding in each of its cases, in the order of the tables."""
    for case in (*test_rules.CASES, *test_rules.EDGES):
        if case.code == code:
            yield from (one for one in assess(case.found_in).findings if one.code == code)
    for examined in (*test_diagnosis.CASES, *test_diagnosis.EDGES):
        if examined.code == code:
            yield from (one for one in diagnose(examined.found_in).findings if one.code == code)


def of_the_check(code: str) -> Iterator[str]:
    """What stands beside its rule."""
    check = CHECKS[code]
    yield f"{code} ({check.severity}): {check.do}"
    yield f"needs {', '.join(check.needs) or 'nothing'}"
    if check.unless:
        yield f"unless {', '.join(check.unless)}"
    if check.because:
        yield f"because {', '.join(check.because)}"
    yield ""


def lines(finding: Finding) -> Iterator[str]:
    yield f"{finding.severity}: {finding.summary}"
    yield f"  because {finding.cause}"
    yield from (f"  {name} = {value!r}" for name, value in finding.evidence.items())
    yield from (f"  {fix.where}, {fix.effect}: {fix.text}" for fix in finding.fixes)
    yield f"  else: {finding.remark}"
    if finding.because or finding.after:
        yield f"  follows from {finding.because}, comes after {finding.after}"


@pytest.mark.parametrize("code", sorted(CODES))
def test_what_a_check_says_is_as_reviewed(code: str) -> None:
    cases = (line for one in found(code) for line in (*lines(one), ""))
    said = "\n".join((*of_the_check(code), *cases))
    check_reviewed(SAID / f"{code}.txt", said)


def test_nothing_is_kept_of_a_check_that_is_gone() -> None:
    assert {path.stem for path in SAID.iterdir()} == set(CODES)
