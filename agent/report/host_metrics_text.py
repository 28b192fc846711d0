# SPDX-License-Identifier: GPL-2.0-or-later
"""A host's guests, as its dom0 sees them, as Prometheus metrics.

    # HELP xen_guest_spare_bytes What it says it could give and go on as it does.
    # TYPE xen_guest_spare_bytes gauge
    xen_guest_spare_bytes{domid="1",name="db"} 9.5420416e+07

Labels hold what the toolstack wrote, and words of which there are few: one that a guest may choose
freely would let it make as many series as it likes.  Names and meanings: docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, get_args

from prometheus_client.core import GaugeMetricFamily, Metric

from agent.core.facts.units import KIB
from agent.core.host.guests import Guest, Host, Kind, label
from agent.report.exposition import exposed, gauge_by

MOST_GUESTS: Final = 1000
_SIZES: Final[tuple[tuple[str, str, Callable[[Guest], int | None]], ...]] = (
    ("has", "What it has: the hypervisor's count, or its own.", lambda guest: guest.actual_kib),
    ("asked", "What it was asked to have, as xl mem-set counts.", lambda guest: guest.asked_kib),
    ("static_max", "The most it may have: memory/static-max.", lambda guest: guest.static_max_kib),
    ("floor", "What it holds and does not give.", lambda guest: guest.claims.floor_kib),
    ("spare", "What it says it could give and go on as it does.", lambda guest: guest.spare_kib),
    ("available", "MemAvailable, as it says.", lambda guest: guest.available_kib),
)
_SIGNS: Final[tuple[tuple[str, str, Callable[[Guest], bool]], ...]] = (
    ("short_of_memory", "1 when it says it has next to nothing left.", lambda g: g.is_short),
    ("stuck", "1 when its balloon does not get where the host wants it.", lambda g: g.is_stuck),
    ("held", "1 when it keeps more than it is asked to have.", lambda g: g.is_held),
    ("silent", "1 when its agent has not heard what it was last asked for.", lambda g: g.is_silent),
    ("doubted", "1 when it says what cannot be.", lambda g: bool(g.doubts)),
)


def host_metrics_text(host: Host) -> str:
    """The exposition, in the text format that every Prometheus reads."""
    return exposed(_families(host))


def _families(host: Host) -> Iterator[Metric]:
    """Of the host first, then one sample a guest, of the first `MOST_GUESTS` by number."""
    yield from _host(host)
    shown = host.guests[:MOST_GUESTS]
    yield _kinds(shown)
    for name, about, size_kib in _SIZES:
        sizes = [(guest, size_kib(guest)) for guest in shown]
        yield _family(
            name + "_bytes", about, [(g, kib * KIB) for g, kib in sizes if kib is not None]
        )
    speak = [guest for guest in shown if guest.kind in ("agent", "old agent")]
    for name, about, is_so in _SIGNS:
        yield _family(name, about, [(guest, float(is_so(guest))) for guest in speak])


def _host(host: Host) -> Iterator[Metric]:
    hypervisor = host.hypervisor
    for name, kib, about in (
        ("total", hypervisor.total_kib, "Memory of the whole machine."),
        ("free", hypervisor.free_kib, "Memory that no domain has."),
        ("dom0", hypervisor.dom0_kib, "What dom0 has."),
    ):
        if kib is not None:
            yield GaugeMetricFamily(f"xen_host_{name}_bytes", about, value=kib * KIB)
    yield GaugeMetricFamily(
        "xen_host_xl_answers", "1 when xl could be asked.", value=float(host.problem is None)
    )
    kinds = [guest.kind for guest in host.guests]
    counts = {kind: kinds.count(kind) for kind in get_args(Kind)}
    about = "How many guests there are, by what is known of them."
    yield gauge_by("kind", "xen_host_guests", about, counts)


def _kinds(guests: tuple[Guest, ...]) -> Metric:
    family = GaugeMetricFamily(
        "xen_guest_info",
        "What is known of it, and from whom; always 1.",
        labels=["domid", "name", "kind", "life", "state", "pressure"],
    )
    for guest in guests:
        claims = guest.claims
        words = [guest.kind, guest.life, claims.state or "", claims.pressure or ""]
        family.add_metric([str(guest.domid), label(guest), *words], 1.0)
    return family


def _family(name: str, about: str, samples: list[tuple[Guest, float]]) -> Metric:
    family = GaugeMetricFamily(f"xen_guest_{name}", about, labels=["domid", "name"])
    for guest, value in samples:
        family.add_metric([str(guest.domid), label(guest)], value)
    return family
