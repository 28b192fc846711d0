# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever a rule's own case lacks, it is judged all the same, and all the other rules with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import pytest

from agent.core.account.situation import understand
from agent.core.findings.assessment import judge
from agent.core.findings.diagnosis import diagnose
from agent.core.findings.examination import Examination, Watch
from tests.core.findings import test_diagnosis, test_rules
from tests.support.lacking import snapshots_without_one, without_one


class Case(NamedTuple):
    """An examination in which a finding is."""

    code: str
    examination: Examination


CASES: Final = (
    *(
        Case(case.code, test_diagnosis.examined(case.found_in))
        for case in (*test_rules.CASES, *test_rules.EDGES)
    ),
    *(Case(case.code, case.found_in) for case in (*test_diagnosis.CASES, *test_diagnosis.EDGES)),
)


def _examinations(whole: Examination) -> Iterator[Examination]:
    yield from without_one(whole)
    for name in ("complaints", "processes", "keys"):
        part = getattr(whole, name)
        for lacking in without_one(part) if part is not None else ():
            yield whole._replace(**{name: lacking})
    looks = whole.watch.looks if whole.watch is not None else ()
    for position, look in enumerate(looks):
        for lacking in without_one(look):
            changed = (*looks[:position], lacking, *looks[position + 1 :])
            yield whole._replace(watch=Watch(changed))
    for snapshot in snapshots_without_one(whole.snapshot):
        yield whole._replace(situation=understand(snapshot))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.code)
def test_a_case_that_lacks_any_one_figure_is_judged(case: Case) -> None:
    assert case.code in {finding.code for finding in diagnose(case.examination).findings}
    for lacking in _examinations(case.examination):
        assert judge(lacking.situation).headline.endswith(".")
        for finding in diagnose(lacking).findings:
            assert finding.summary.endswith(".")
            assert "None" not in f"{finding.summary}{finding.cause}{finding.fix}"
