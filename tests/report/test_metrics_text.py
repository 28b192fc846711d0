# SPDX-License-Identifier: GPL-2.0-or-later
"""The metrics of an assessment: base units, nothing invented, every state named."""

from __future__ import annotations

from typing import get_args

import pytest

from agent.core.account.balloon_state import State
from agent.core.facts.snapshot import Snapshot
from tests.support.judged import assess
from tests.support.snapshots import STALLED, a_dom0, a_pv_guest, an_hvm_guest, an_unpopulated_guest

pytest.importorskip(
    "prometheus_client",
    reason="prometheus_client is not there: apt-get install python3-prometheus-client",
)
from prometheus_client.parser import text_string_to_metric_families

from agent.report.metrics_text import metrics_text


def values(snapshot: Snapshot) -> dict[tuple[str, tuple[str, ...]], float]:
    """Sample name and label values -> value."""
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(metrics_text(assess(snapshot)))
        for sample in family.samples
    }


def test_sizes_are_bytes() -> None:
    found = values(a_pv_guest())
    assert found["xen_balloon_current_bytes", ()] == 512 << 20
    assert found["xen_balloon_static_max_bytes", ()] == 1 << 30
    assert found["xen_balloon_memory_usable_bytes", ()] == 456048 << 10


def test_exactly_one_state_is_1_and_all_are_there() -> None:
    found = values(a_pv_guest(balloon={"target_kib": 786432, "motion": "moved"}))
    states = {key[1][0]: value for key, value in found.items() if key[0] == "xen_balloon_state"}
    assert set(states) == set(get_args(State))
    assert [state for state, value in states.items() if value] == ["moving"]


def test_what_was_not_read_is_left_out_and_never_zero() -> None:
    found = values(a_pv_guest(memory=None, pressure=None, host={"static_max_kib": None}))
    names = {name for name, _ in found}
    assert not names & {
        "xen_balloon_memory_usable_bytes",
        "xen_balloon_memory_available_bytes",
        "xen_balloon_static_max_bytes",
        "xen_balloon_floor_bytes",
        "xen_balloon_pressure_stalled_seconds_total",
    }


def test_a_guest_without_a_driver_has_a_state_and_a_finding() -> None:
    found = values(a_pv_guest(balloon=None))
    assert found["xen_balloon_state", ("absent",)] == 1
    assert found["xen_balloon_finding", ("no-driver", "warning")] == 1
    assert found["xen_balloon_findings", ("warning",)] == 1


def test_stalls_are_seconds_that_only_grow() -> None:
    snapshot = a_pv_guest(pressure=STALLED._replace(full_total_us=2_500_000))
    assert values(snapshot)["xen_balloon_pressure_stalled_seconds_total", ("full",)] == 2.5


@pytest.mark.parametrize(
    "snapshot", [a_pv_guest(), an_unpopulated_guest(), an_hvm_guest(), a_dom0()]
)
def test_the_terms_add_up_to_what_is_unexplained(snapshot: Snapshot) -> None:
    found = values(snapshot)
    terms = [value for (name, _), value in found.items() if "reconciliation_bytes" in name]
    assert sum(terms) == found["xen_balloon_unexplained_bytes", ()]


def test_names_of_people_and_machines_stay_inside() -> None:
    text = metrics_text(assess(a_pv_guest(domain={"name": "secret-vm", "uuid": "1-2-3"})))
    assert "secret-vm" not in text
    assert "1-2-3" not in text
