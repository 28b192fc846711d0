# SPDX-License-Identifier: GPL-2.0-or-later
"""Document, dashboard, alerts and units speak of the metrics and files there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from agent.core.host.guests import Claims, Guest, Host, Hypervisor
from tests.support.judged import assess
from tests.support.snapshots import a_pv_guest

pytest.importorskip(
    "prometheus_client",
    reason="prometheus_client is not there: apt-get install python3-prometheus-client",
)
from agent.report.host_metrics_text import host_metrics_text
from agent.report.metrics_text import metrics_text

ROOT = Path(__file__).parents[2]
NAME = re.compile(r"\bxen_(?:balloon|guest|host)_[a-z0-9_]+\b")


def existing() -> set[str]:
    guest = Guest(1, "db", "", 1, 1, has_kib=1, claims=Claims("settled", floor_kib=1, spare_kib=1,
                  available_kib=1))  # fmt: skip
    text = metrics_text(assess(a_pv_guest()))
    text += host_metrics_text(Host(Hypervisor(1, 1, 1), (guest,)))
    return set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))


DASHBOARDS = ("grafana-dashboard.json", "grafana-dashboard-host.json")


def dashboard(file: str) -> dict[str, Any]:
    text = (ROOT / "packaging/monitoring" / file).read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


PANELS = [panel for file in DASHBOARDS for panel in dashboard(file)["panels"]]


def names_in(path: str) -> set[str]:
    return set(NAME.findall((ROOT / path).read_text(encoding="utf-8")))


def test_each_metric_is_documented_and_nothing_else() -> None:
    assert names_in("docs/metrics.md") == existing()


@pytest.mark.parametrize("file", [*DASHBOARDS, "alerts.yml"])
def test_dashboard_and_alerts_use_only_what_there_is(file: str) -> None:
    used = names_in(f"packaging/monitoring/{file}")
    assert used
    assert used <= existing()


@pytest.mark.parametrize("file", DASHBOARDS)
def test_panels_have_a_place_of_their_own_and_an_explanation(file: str) -> None:
    found = dashboard(file)
    cells: set[tuple[int, int]] = set()
    for panel in found["panels"]:
        at = panel["gridPos"]
        mine = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not cells & mine
        assert panel["description"].endswith(".")
        cells |= mine
    assert len({panel["id"] for panel in found["panels"]}) == len(found["panels"])


UNITS = {"bytes", "none", "percentunit", "short", "s"}  # of those Grafana knows
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize("file", DASHBOARDS)
def test_a_dashboard_has_what_grafana_imports_by(file: str) -> None:
    found = dashboard(file)
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", found["uid"])
    assert found["title"]
    assert found["schemaVersion"] >= 36
    assert found.get("id") is None, "an id belongs to one installation"
    assert found["time"]["from"].startswith("now-")
    assert re.fullmatch(r"[0-9]+[smh]", found["refresh"])
    variables = {entry["name"]: entry for entry in found["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    assert variables["instance"]["datasource"] == DATASOURCE
    assert variables["instance"]["includeAll"]
    assert variables["instance"]["allValue"] == ".+", "a guest without a value is shown too"


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_a_panel_has_a_unit_a_source_and_queries_of_the_chosen_guests(
    panel: dict[str, Any],
) -> None:
    assert panel["type"] in {"stat", "timeseries", "table"}
    assert panel["datasource"] == DATASOURCE
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel["targets"]
    letters = [target["refId"] for target in panel["targets"]]
    assert letters == sorted(set(letters))
    for target in panel["targets"]:
        assert target["datasource"] == DATASOURCE
        names = NAME.findall(target["expr"])
        assert target["expr"].count('instance=~"$instance"') == len(names), target["expr"]
        if panel["type"] == "table":
            assert target["format"] == "table"
            assert target["instant"] is True
            (organized,) = panel["transformations"]
            assert organized["options"]["excludeByName"]["Value"], "it is always 1"
        else:
            assert "{{instance}}" in target["legendFormat"]
    if panel["type"] == "stat":
        assert panel["options"]["reduceOptions"]["calcs"] == ["lastNotNull"]


def test_the_units_and_the_document_agree_on_port_and_file() -> None:
    document = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    listening = (ROOT / "systemd/balloon-agent-metrics.socket").read_text(encoding="utf-8")
    writing = (ROOT / "systemd/balloon-agent-textfile.service").read_text(encoding="utf-8")
    assert "ListenStream=127.0.0.1:9786\n" in listening
    assert "127.0.0.1:9786" in document
    match = re.search(r"metrics --output (\S+)", writing)
    assert match is not None
    assert match[1] in document
