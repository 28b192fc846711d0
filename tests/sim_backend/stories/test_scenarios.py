# SPDX-License-Identifier: GPL-2.0-or-later
"""Every scenario can be told, has something to show, and fails the agents it is meant to fail."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

import pytest

from sim_backend.guest.domain import SimulatedDomain
from sim_backend.stories.agents import agent
from sim_backend.stories.catalogue import load, scenario_names
from sim_backend.stories.plot import plot_svg
from sim_backend.stories.policy_agent import Cause
from sim_backend.stories.report_text import answer, report_object, report_rows
from tests.sim_backend.guests import LAB

ASKED_FOR = {
    "balloon-up", "balloon-down", "down-below-working-set", "flapping-host", "leak", "burst",
    "host-exhausted", "cancelled-driver", "stuck", "slow", "offset", "maxmem-many-times-memory",
    "maxmem-ignored", "released-pages", "pci-hole", "dom0", "32-bit", "hotplug-offline",
    "xapi-uncooperative", "qubes-static-max-moves", "migration", "xenstored-restart",
    "garbage-target", "no-driver", "dom0-grants", "dom0-refused",
}  # fmt: skip
FAILS_WHEN_LEFT_ALONE = {
    "down-below-working-set", "leak", "burst", "garbage-target", "host-exhausted",
    "cancelled-driver", "hotplug-offline", "maxmem-many-times-memory", "xapi-uncooperative",
    "sudden-allocation", "dom0-refused", "target-in-mib",
}  # fmt: skip


class Meddler:
    """Writes what the host wrote, as it stands, again and again: the agent nobody wants."""

    name = "meddler"

    def turn(self, domain: SimulatedDomain, cause: Cause) -> float:
        snapshot = domain.snapshot()
        wanted_kib = snapshot.host.target_kib or snapshot.memory.total_kib  # type: ignore[union-attr]
        with suppress(OSError):
            domain.set_target_kib(wanted_kib)
        return 1.0


def test_every_story_that_was_asked_for_is_there() -> None:
    assert set(scenario_names()) >= ASKED_FOR
    assert scenario_names()[0] == "balloon-up"


def test_an_unknown_name_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        load("no-such-scenario")


@pytest.mark.parametrize("name", sorted(FAILS_WHEN_LEFT_ALONE))
@pytest.mark.parametrize("who", ["none", "observe"])
def test_an_agent_that_only_looks_fails_where_there_is_something_to_do(name: str, who: str) -> None:
    assert not load(name).run(0, agent(who)).passed


@pytest.mark.parametrize("name", sorted(set(scenario_names()) - FAILS_WHEN_LEFT_ALONE))
def test_where_there_is_nothing_to_do_looking_is_enough(name: str) -> None:
    assert load(name).run(0, agent("observe")).passed


def test_the_documentation_tells_every_story_and_what_a_good_agent_does() -> None:
    page = (Path(__file__).parents[3] / "docs" / "simulation.md").read_text()
    told = [(load(name).summary, load(name).good_agent) for name in scenario_names()]
    rows = {
        f"| `{name}` | {summary} | {good_agent} |"
        for name, (summary, good_agent) in zip(scenario_names(), told)
    }
    assert rows - set(page.splitlines()) == set()


@pytest.mark.parametrize("name", sorted(set(scenario_names()) - FAILS_WHEN_LEFT_ALONE))
def test_an_agent_that_cannot_keep_its_hands_still_fails(name: str) -> None:
    assert not load(name).run(0, Meddler()).passed


@pytest.mark.parametrize("name", scenario_names())
def test_a_report_can_be_read_drawn_and_parsed(name: str) -> None:
    scenario = load(name)
    report = scenario.run(0, agent(scenario.mode))
    for width in (40, 80):
        assert all(row.text for row in report_rows(scenario, report, width) if row.lead)
    assert answer(report).startswith(f"the agent in mode {scenario.mode} passed all ")
    shown = report_object(scenario, report)
    assert shown["source"] == {"kind": "simulation", "detail": name}
    assert len(shown["samples"]) >= 200
    drawing = ElementTree.fromstring(plot_svg(report))
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"


@pytest.mark.parametrize("name", scenario_names())
def test_the_telling_moment_is_live(name: str) -> None:
    """`status --sim` shows it; its clock goes on when somebody waits."""
    domain = load(name).domain()
    before_s = domain.now_s()
    assert domain.snapshot().origin == ("simulation", name)
    domain.advance_to(before_s + 5.0)
    assert domain.now_s() == before_s + 5.0


def test_every_lab_guest_has_a_name_of_its_own() -> None:
    assert len(LAB) == len(set(LAB))
