# SPDX-License-Identifier: GPL-2.0-or-later
"""The text that every Prometheus reads, of families that others make."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def exposed(collect: Callable[[], Iterable[Metric]]) -> str:
    """What `collect` gives, asked once, in the text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(collect))
    return generate_latest(registry).decode("utf-8")


class _Collected(Collector):
    """One moment; a registry asks it once."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()
