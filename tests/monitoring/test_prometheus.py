# SPDX-License-Identifier: GPL-2.0-or-later
"""A real Prometheus scrapes both ways, and dashboard and alerts live on what it stored."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.core.host.guests import Claims, Guest, Host, Hypervisor
from tests import captures
from tests.monitoring.programs import (
    Prometheus,
    eventually,
    free_port,
    get,
    program,
    running,
    socket_activated,
)

pytest.importorskip(
    "prometheus_client",
    reason="prometheus_client is not there: apt-get install python3-prometheus-client",
)
from agent.report.host_metrics_text import host_metrics_text

pytestmark = pytest.mark.prometheus
MONITORING = Path(__file__).parents[2] / "packaging" / "monitoring"
CONFIG = """\
global: {{scrape_interval: 500ms, evaluation_interval: 500ms}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: http  # starts a program for each scrape, on a machine that may be busy
    scrape_interval: 3s
    scrape_timeout: 3s
    static_configs: [{{targets: ["127.0.0.1:{http}"]}}]
  - job_name: textfile
    static_configs: [{{targets: ["127.0.0.1:{textfile}"]}}]
"""
WITH_FINDINGS = "pv-512-1024/guest-target_kb-655360"
SHORT = Claims("settled", "some", actual_kib=524288, spare_kib=0, available_kib=0)
FINE = Claims("settled", "none", actual_kib=524288, spare_kib=131072, available_kib=262144)
A_HOST = Host(
    Hypervisor(4194304, 1048576, 524288),
    tuple(
        Guest(domid, name, "", 524288, 1048576, has_kib=524288, claims=claims)
        for domid, name, claims in ((1, "db", SHORT), (2, "web", FINE))
    ),
)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A server that has scraped a simulated guest over HTTP and a captured one from a file."""
    server, exporter = program("prometheus"), program("prometheus-node-exporter")
    home = tmp_path_factory.mktemp("prometheus")
    textfiles = home / "textfiles"
    textfiles.mkdir()
    captured = captures.load(WITH_FINDINGS).write_to(home / "capture")
    command = [sys.executable, "-m", "agent", "--root", str(captured), "metrics"]
    subprocess.run([*command, "--output", str(textfiles / "balloon-agent.prom")], check=True)
    (textfiles / "balloon-guests.prom").write_text(host_metrics_text(A_HOST))
    exporter_port, port = free_port(), free_port()
    exporting = [
        exporter,
        "--collector.disable-defaults",
        "--collector.textfile",
        f"--collector.textfile.directory={textfiles}",
        f"--web.listen-address=127.0.0.1:{exporter_port}",
    ]
    with (
        socket_activated(["--sim", "balloon-up", "metrics", "--http"]) as http_port,
        running(exporting, home / "exporter.log"),
    ):
        config = home / "prometheus.yml"
        config.write_text(
            CONFIG.format(http=http_port, textfile=exporter_port, rules=MONITORING / "alerts.yml")
        )
        serving = [
            server,
            f"--config.file={config}",
            f"--storage.tsdb.path={home / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with running(serving, home / "prometheus.log"):
            found = Prometheus(port)
            eventually(
                lambda: len(found.query("count_over_time(xen_balloon_current_bytes[1m]) > 1")) == 2,
                "both guests were scraped twice",
            )
            yield found


def dashboard_queries() -> list[str]:
    return [
        target["expr"]
        for file in sorted(MONITORING.glob("*.json"))
        for panel in json.loads(file.read_text(encoding="utf-8"))["panels"]
        for target in panel["targets"]
    ]


def test_both_ways_bring_the_same_metrics(prometheus: Prometheus) -> None:
    names = {
        job: {
            series["metric"]["__name__"]
            for series in prometheus.query(f'{{__name__=~"xen_balloon_.+", job="{job}"}}')
        }
        for job in ("http", "textfile")
    }
    assert "xen_balloon_current_bytes" in names["textfile"]
    # The captured guest was read before Linux had PSI switched on for it; it has findings.
    assert names["http"] - names["textfile"] == {"xen_balloon_pressure_stalled_seconds_total"}
    assert names["textfile"] - names["http"] == {"xen_balloon_finding"}


def test_sizes_arrive_in_bytes(prometheus: Prometheus) -> None:
    (series,) = prometheus.query('xen_balloon_current_bytes{job="http"}')
    assert int(series["value"][1]) == 768 << 20
    (series,) = prometheus.query('xen_balloon_current_bytes{job="textfile"}')
    assert int(series["value"][1]) == 394240 << 10


@pytest.mark.parametrize("query", dashboard_queries())
def test_each_query_of_the_dashboard_has_data(query: str, prometheus: Prometheus) -> None:
    filled = query.replace("$instance", ".+").replace("$__rate_interval", "1m")
    assert "$" not in filled
    assert prometheus.query(filled)


def test_the_variable_of_the_dashboard_finds_both_guests(prometheus: Prometheus) -> None:
    dashboard = json.loads((MONITORING / "grafana-dashboard.json").read_text(encoding="utf-8"))
    asked = dashboard["templating"]["list"][1]["query"]["query"]
    match = re.fullmatch(r"label_values\((\w+), (\w+)\)", asked)
    assert match is not None
    values = prometheus.ask(f"label/{match[2]}/values", **{"match[]": match[1]})
    assert len(values) == 2


def test_every_alert_is_evaluated_and_the_stuck_guest_has_some(prometheus: Prometheus) -> None:
    def rules() -> list[Any]:
        return [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]

    eventually(lambda: all(rule["health"] == "ok" for rule in rules()), "all rules evaluated")
    firing = {rule["name"] for rule in rules() if rule["state"] != "inactive"}
    guests = {"BalloonStuck", "BalloonOffTarget", "BalloonFinding"}
    assert firing == guests | {"XenGuestShortOfMemory", "XenHostCouldHelp"}


def test_a_scrape_leaves_no_process_behind_and_speaks_http() -> None:
    with socket_activated(["--sim", "balloon-up", "metrics", "--http"]) as port:
        assert "xen_balloon_current_bytes" in get(f"http://127.0.0.1:{port}/metrics")
        assert "/metrics" in get(f"http://127.0.0.1:{port}/")


def test_promtool_finds_nothing_to_blame_in_the_metrics() -> None:
    command = [sys.executable, "-m", "agent", "--sim", "balloon-up", "metrics"]
    text = subprocess.run(command, check=True, capture_output=True).stdout
    promtool = [program("promtool"), "check", "metrics"]
    checked = subprocess.run(promtool, input=text, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_promtool_accepts_the_alert_rules() -> None:
    promtool = [program("promtool"), "check", "rules", str(MONITORING / "alerts.yml")]
    checked = subprocess.run(promtool, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "SUCCESS" in checked.stdout


def test_each_alert_fires_when_it_should_and_not_otherwise(tmp_path: Path) -> None:
    story = (Path(__file__).parent / "alerts_test.yml").read_text(encoding="utf-8")
    (tmp_path / "story.yml").write_text(
        story.replace("ALERTS_FILE", str(MONITORING / "alerts.yml"))
    )
    promtool = [program("promtool"), "test", "rules", str(tmp_path / "story.yml")]
    tested = subprocess.run(promtool, capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout + tested.stderr
