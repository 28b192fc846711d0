# SPDX-License-Identifier: GPL-2.0-or-later
"""The metrics of a host's guests: who lacks what, and no word that a guest chose."""

from __future__ import annotations

from typing import Any

import pytest

from agent.core.facts.units import MIB_KIB
from agent.core.host.guests import Claims, Guest, Host, Hypervisor

pytest.importorskip(
    "prometheus_client",
    reason="prometheus_client is not there: apt-get install python3-prometheus-client",
)
from prometheus_client.parser import text_string_to_metric_families

from agent.report.host_metrics_text import MOST_GUESTS, host_metrics_text

XL = Hypervisor(4096 * MIB_KIB, 1024 * MIB_KIB, 512 * MIB_KIB)


def guest(domid: int = 1, name: str | None = "db", **claims: Any) -> Guest:
    said = {"state": "settled", "pressure": "none", "spare_kib": 64 * MIB_KIB, **claims}
    return Guest(
        domid,
        name,
        target_kib=512 * MIB_KIB,
        static_max_kib=1024 * MIB_KIB,
        has_kib=512 * MIB_KIB,
        claims=Claims(**said),
    )


def values(*guests: Guest, hypervisor: Hypervisor = XL) -> dict[tuple[str, str], float]:
    """Sample and domid, or another single label -> value."""
    text = host_metrics_text(Host(hypervisor, guests))
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_sizes_are_bytes_and_what_nobody_knows_is_left_out() -> None:
    found = values(guest(), Guest(2, "mute"), hypervisor=Hypervisor())
    assert found["xen_guest_has_bytes", "1"] == 512 << 20
    assert found["xen_guest_asked_bytes", "1"] == 512 << 20
    assert found["xen_guest_static_max_bytes", "1"] == 1 << 30
    assert found["xen_guest_spare_bytes", "1"] == 64 << 20
    assert ("xen_guest_floor_bytes", "1") not in found
    assert not [name for name, domid in found if domid == "2" and name != "xen_guest_info"]
    assert not [name for name, _ in found if name in ("xen_host_free_bytes", "xen_host_dom0_bytes")]


def test_the_host_is_counted() -> None:
    found = values(guest(), Guest(2, "mute"))
    assert found["xen_host_free_bytes", ""] == 1 << 30
    assert found["xen_host_guests", "agent"] == 1
    assert found["xen_host_guests", "no agent"] == 1
    assert found["xen_host_guests", "unreadable"] == 0
    assert found["xen_host_xl_answers", ""] == 1


@pytest.mark.parametrize(
    ("claims", "sign"),
    [
        ({"pressure": "some"}, "short_of_memory"),
        ({"state": "retrying"}, "stuck"),
        ({"floor_kib": 600 * MIB_KIB, "host_target_kib": 512 * MIB_KIB}, "held"),
        ({"host_target_kib": 400 * MIB_KIB}, "silent"),
        ({"odd": ("seq: no number",)}, "doubted"),
        ({"actual_kib": 400 * MIB_KIB}, "doubted"),
    ],
)
def test_each_trouble_has_a_sign_of_its_own(claims: dict[str, Any], sign: str) -> None:
    found = values(guest(1, **claims), guest(2))
    signs = ("short_of_memory", "stuck", "held", "silent", "doubted")
    assert {one for one in signs if found[f"xen_guest_{one}", "1"]} == {sign}
    assert not any(found[f"xen_guest_{one}", "2"] for one in signs)


def test_no_label_holds_a_word_that_a_guest_may_choose() -> None:
    """Each new value of a label is a series that the server keeps."""
    text = host_metrics_text(
        Host(XL, (guest(version="6.6.6", finding="made-up", odd=("mode is 'x'",)),))
    )
    assert not [word for word in ("6.6.6", "made-up", "mode is") if word in text]


def test_a_name_is_escaped_and_one_of_two_guests_with_one_name_is_told_by_its_number() -> None:
    text = host_metrics_text(Host(XL, (guest(1, 'a "b"\\'), guest(2, 'a "b"\\'), guest(3, None))))
    families = list(text_string_to_metric_families(text))
    labels = [
        (sample.labels["domid"], sample.labels["name"])
        for family in families
        for sample in family.samples
        if sample.name == "xen_guest_has_bytes"
    ]
    assert labels == [("1", 'a "b"\\'), ("2", 'a "b"\\'), ("3", "domain 3")]


def test_more_guests_than_anybody_has_are_counted_and_not_listed() -> None:
    many = tuple(guest(n) for n in range(1, MOST_GUESTS + 3))
    found = values(*many)
    assert found["xen_host_guests", "agent"] == MOST_GUESTS + 2
    assert len([1 for name, _ in found if name == "xen_guest_has_bytes"]) == MOST_GUESTS
