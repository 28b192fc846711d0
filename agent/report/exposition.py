# SPDX-License-Identifier: GPL-2.0-or-later
"""The text that every Prometheus reads, of families that others make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def exposed(families: Iterable[Metric]) -> str:
    """The families in the text format."""
    return generate_latest(_Collected(families)).decode("utf-8")


def gauge_by(label: str, name: str, about: str, figures: Mapping[str, float]) -> Metric:
    """A gauge with one label, and the figure for each of its values."""
    family = GaugeMetricFamily(name, about, labels=[label])
    for value, figure in figures.items():
        family.add_metric([value], figure)
    return family


class _Collected(Collector):
    """One moment, which is asked for once."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
