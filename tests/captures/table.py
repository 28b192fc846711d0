# SPDX-License-Identifier: GPL-2.0-or-later
"""What is made of every captured guest, as a table that a person can review.

`tests/captures/states.txt` holds it; BALLOON_AGENT_UPDATE_GOLDEN=1 with the tests writes it anew.
"""

from __future__ import annotations

from typing import Final

from agent.core.findings.assessment import Assessment
from tests import captures

TABLE: Final = captures.HERE / "states.txt"
HEAD: Final = (
    "# capture: verdict, state, proof; target offset; nr_pages; KiB beyond it; findings\n"
    "#   KiB by term (their sum is what is unexplained)\n"
)


def rows_of(name: str, assessment: Assessment) -> str:
    """Two lines about one capture."""
    situation = assessment.situation
    result, boot, offset = situation.reconciliation, situation.boot, situation.offset
    nr_pages = boot.nr_pages
    told = (
        f"nr_pages {nr_pages.pages} {nr_pages.method}{'' if nr_pages.exact else ' (estimate)'}"
        if nr_pages
        else "nr_pages unknown"
    )
    found = " ".join(f"{finding.code}:{finding.severity}" for finding in assessment.findings)
    terms = "  ".join(
        f"{term.name} {term.kib}{' (inferred)' if term.inferred else ''}" for term in result.terms
    )
    return (
        f"{name}: {assessment.verdict}, {situation.state}, {result.proof}; "
        f"offset {offset.kib if offset else None}; {told}; beyond {boot.beyond_kib}; "
        f"{found or 'no findings'}\n  {terms}\n"
    )
