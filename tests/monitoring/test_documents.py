# SPDX-License-Identifier: GPL-2.0-or-later
"""Document, dashboard, alerts and units speak of the metrics and files there are."""

import json
import re
from pathlib import Path

import pytest

from agent.core.assessment import assess
from tests.support.snapshots import a_pv_guest

pytest.importorskip("prometheus_client", reason="the extra 'metrics' is not installed")
from agent.report.metrics_text import metrics_text

ROOT = Path(__file__).parents[2]
NAME = re.compile(r"\bxen_balloon_[a-z0-9_]+\b")


def existing() -> set[str]:
    text = metrics_text(assess(a_pv_guest()))
    return set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))


def names_in(path: str) -> set[str]:
    return set(NAME.findall((ROOT / path).read_text(encoding="utf-8")))


def test_each_metric_is_documented_and_nothing_else() -> None:
    assert names_in("docs/metrics.md") == existing()


@pytest.mark.parametrize("file", ["grafana-dashboard.json", "alerts.yml"])
def test_dashboard_and_alerts_use_only_what_there_is(file: str) -> None:
    used = names_in(f"packaging/monitoring/{file}")
    assert used
    assert used <= existing()


def test_panels_have_a_place_of_their_own_and_an_explanation() -> None:
    dashboard = json.loads((ROOT / "packaging/monitoring/grafana-dashboard.json").read_text())
    cells: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
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
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_the_units_and_the_document_agree_on_port_and_file() -> None:
    document = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    listening = (ROOT / "systemd/balloon-agent-metrics.socket").read_text(encoding="utf-8")
    writing = (ROOT / "systemd/balloon-agent-textfile.service").read_text(encoding="utf-8")
    assert "ListenStream=127.0.0.1:9786\n" in listening
    assert "127.0.0.1:9786" in document
    match = re.search(r"metrics --output (\S+)", writing)
    assert match is not None
    assert match[1] in document
