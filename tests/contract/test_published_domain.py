# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent's own sources see the same domain in process and published, and may act on it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator

import pytest

from agent.core.facts.snapshot import Snapshot
from agent.sources.system_root import SystemRoot
from sim_backend.guest.config import MIB
from sim_backend.published.domain import PublishedDomain
from sim_backend.stories import catalogue
from tests.contract.publishing import BARELY_MOVING, ORIGIN, Published

TARGET = "sys/devices/system/xen_memory/xen_memory0/target_kb"


@pytest.fixture
def publish() -> Iterator[Callable[..., Published]]:
    made: list[Published] = []
    with tempfile.TemporaryDirectory(prefix="published-") as directory:

        def make(guest: str, speed: float = BARELY_MOVING) -> Published:
            made.append(Published(guest, directory, speed))
            return made[-1]

        yield make
        for published in made:
            published.close()


def comparable(snapshot: Snapshot) -> Snapshot:
    assert snapshot.balloon is not None
    return snapshot._replace(
        origin=ORIGIN,
        balloon=snapshot.balloon._replace(motion="unknown"),
        sources=dict(sorted(snapshot.sources.items())),
    )


@pytest.mark.parametrize("guest", ["pv-512-1024", "pv-512-1024-k510", "pvh-512-1024-k612"])
def test_a_published_guest_reads_as_the_same_guest_in_process(
    guest: str, publish: Callable[..., Published]
) -> None:
    published = publish(guest)
    assert comparable(published.snapshot()) == comparable(published.domain.snapshot())


def test_a_published_guest_follows_its_toolstack(publish: Callable[..., Published]) -> None:
    published = publish("pv-512-1024", speed=50.0)
    published.toolstack.mem_set(published.domain, 768 * MIB)
    published.until(lambda: published.domain.current_kib == 768 * MIB)
    snapshot = published.snapshot()
    assert snapshot.balloon is not None
    assert snapshot.balloon.current_kib == snapshot.host.target_kib == 768 * MIB


def test_what_the_agent_writes_moves_the_balloon(publish: Callable[..., Published]) -> None:
    published = publish("pv-512-1024", speed=50.0)
    published.do(lambda: published.root.write(TARGET, f"{400 * MIB}"))
    published.until(lambda: published.domain.current_kib == 400 * MIB)
    balloon = published.snapshot().balloon
    assert balloon is not None
    assert (balloon.target_kib, balloon.current_kib) == (400 * MIB, 400 * MIB)


@pytest.mark.parametrize("name", ["migration", "xenstored-restart", "dom0", "hotplug-offline"])
def test_a_story_with_more_than_a_target_can_be_published(name: str) -> None:
    stage = catalogue.load(name).build(0)
    end_s = stage.start_s + catalogue.load(name).duration_s
    with tempfile.TemporaryDirectory(prefix="published-") as directory:
        published = PublishedDomain(stage.domain, directory, speed=500.0)
        while stage.clock.now_s < end_s:
            published.step(0)
        store = published.server.store
        store.check()
        keys = {
            f"/local/domain/{stage.domain.domid}/{key}": text.encode()
            for key, text in stage.domain.store.items().items()
        }
        assert {path: store.peek(path) for path in keys} == keys
        assert SystemRoot(published.root).read(TARGET).value == f"{stage.domain.target_kib}\n"
        published.close()
