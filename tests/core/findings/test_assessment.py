# SPDX-License-Identifier: GPL-2.0-or-later
"""One verdict and one sentence about a moment."""

from __future__ import annotations

import pytest

from agent.core.facts.snapshot import Snapshot
from agent.core.findings.finding import RANK
from tests.support.judged import assess
from tests.support.snapshots import (
    MIB,
    STALLED,
    a_dom0,
    a_pv_guest,
    a_pvh_guest,
    an_hvm_guest,
)

STOPPED = {"target_kib": 786432, "motion": "still"}


@pytest.mark.parametrize(
    ("snapshot", "verdict"),
    [
        (a_pv_guest(), "ok"),
        (an_hvm_guest(), "ok"),
        (a_pv_guest(balloon=STOPPED), "warning"),
        (a_pv_guest(memory={"available_kib": 10 * MIB}, pressure=STALLED), "critical"),
        (a_pv_guest(firmware_map=None, iomem=None), "ok"),
        (a_pv_guest(domain={"domain_type": None}), "ok"),
        (a_pv_guest(balloon={"target_kib": None}), "unknown"),
        (a_pv_guest(sources={"xenstore": "malformed: no answer"}), "unknown"),
        (a_pv_guest(sources={"xenstore": "denied"}), "ok"),
        (a_pv_guest(balloon=None), "warning"),
    ],
)
def test_the_verdict_is_the_gravest_finding_or_that_nothing_can_be_said(
    snapshot: Snapshot, verdict: str
) -> None:
    assert assess(snapshot).verdict == verdict


def test_the_gravest_finding_comes_first() -> None:
    found = assess(
        a_pv_guest(
            memory={"available_kib": 10 * MIB},
            pressure=STALLED,
            host={"videoram_kib": -1, "target_kib": 786432, "static_max_kib": 786432},
            balloon=STOPPED,
        )
    ).findings
    ranks = [RANK[finding.severity] for finding in found]
    assert ranks == sorted(ranks, reverse=True)
    assert len(found) >= 3


HAS = "The guest has 512 MiB of the 1 GiB it may grow to; "


@pytest.mark.parametrize(
    ("snapshot", "sentence"),
    [
        (a_pv_guest(), HAS + "the balloon is settled and 371 MiB are available."),
        (a_pv_guest(memory=None), HAS + "the balloon is settled."),
        (
            a_pvh_guest(balloon={"target_kib": 786044, "motion": "moved"}),
            HAS + "the balloon is on its way to 768 MiB.",
        ),
        (
            a_pv_guest(balloon=STOPPED | {"retry_count": 3}),
            HAS + "it cannot get to 768 MiB yet, and the kernel keeps trying.",
        ),
        (
            a_pv_guest(balloon=STOPPED),
            HAS + "the kernel has given up on getting to 768 MiB.",
        ),
        (
            a_pv_guest(balloon={"target_kib": 2097152, "motion": "still"}),
            HAS + "its target of 2 GiB cannot be reached.",
        ),
        (a_pv_guest(balloon={"target_kib": None}), HAS + "its target could not be read."),
        (a_dom0(balloon={"low_kib": 0}, memory=None), "dom0 has 1 GiB; the balloon is settled."),
        (
            a_pv_guest(balloon=None),
            "This Xen domain has no balloon driver: the host cannot change its memory.",
        ),
    ],
    ids=range(9),
)
def test_the_headline_says_what_there_is_what_there_may_be_and_what_happens(
    snapshot: Snapshot, sentence: str
) -> None:
    assert assess(snapshot).headline == sentence
