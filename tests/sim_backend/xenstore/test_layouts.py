# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from collections.abc import Callable

import pytest

from sim_backend.xenstore.layouts import (
    GuestConfig,
    fill_dom0,
    seed_libxl_domain,
    seed_qubes_domain,
    seed_xapi_domain,
)
from sim_backend.xenstore.session import Session
from sim_backend.xenstore.store import Store
from tests.sim_backend.xenstore.refusals import refusal

GUEST = GuestConfig(
    5,
    target_kib=524288,
    static_max_kib=1048576,
    dynamic_min_kib=262144,
    dynamic_max_kib=786432,
    hotplug_max_kib=2097152,
)
Seed = Callable[[Store, GuestConfig], None]


def may_write(store: Store, key: str) -> bool:
    refused = refusal(lambda: Session(store, 5).write(key, b"1"))
    assert refused in (None, "EACCES")
    return refused is None


@pytest.mark.parametrize(
    ("key", "libxl", "xapi", "qubes"),
    [
        ("memory/target", False, False, False),
        ("memory/static-max", False, False, False),
        ("memory/uncooperative", False, False, False),
        ("memory/meminfo", False, False, True),
        ("control/feature-balloon", False, True, False),
        ("control/feature-suspend", True, True, True),
        ("control/shutdown", True, True, True),
        ("data/meminfo_free", True, True, True),
        ("data/updated", True, True, True),
        ("attr/PVAddons/Installed", True, True, True),
        ("name", False, False, False),
        ("cpu/0/availability", False, False, False),
        ("/local/domain/0/x", False, False, False),
    ],
)
def test_what_a_guest_may_write_depends_on_its_toolstack(
    key: str, libxl: bool, xapi: bool, qubes: bool
) -> None:
    seeds: list[tuple[Seed, bool]] = [
        (seed_libxl_domain, libxl),
        (seed_xapi_domain, xapi),
        (seed_qubes_domain, qubes),
    ]
    for seed, expected in seeds:
        store = Store()
        seed(store, GUEST)
        assert may_write(store, key) is expected, seed


def test_the_keys_of_each_toolstack_are_there() -> None:
    found = {}
    for seed in (seed_libxl_domain, seed_xapi_domain, seed_qubes_domain):
        store = Store()
        seed(store, GUEST)
        keys = store.below_domain(5)
        found[seed] = {key: keys[key] for key in keys if key.startswith("memory/")}
        assert keys["memory/target"] == b"524288"
        assert keys["memory/static-max"] == b"1048576"
        store.check()
    assert found[seed_xapi_domain]["memory/initial-target"] == b"524288"
    assert found[seed_xapi_domain]["memory/dynamic-min"] == b"262144"
    assert found[seed_qubes_domain]["memory/hotplug-max"] == b"2097152"
    assert "memory/initial-target" not in found[seed_libxl_domain]


def test_an_hvm_guest_has_more_features() -> None:
    store = Store()
    seed_libxl_domain(store, GUEST._replace(is_hvm=True, vcpus=2))
    assert may_write(store, "control/feature-s3")
    assert store.peek("/local/domain/5/cpu/1/availability") == b"online"


def test_dom0s_memory_is_there_only_once_libxl_was_asked() -> None:
    store = Store()
    assert store.peek("/local/domain/0/memory/target") is None
    fill_dom0(store, 1048576, 1572864)
    assert Session(store).read("memory/target") == b"1048576"


def test_when_a_domain_ends_what_it_owned_is_gone_and_the_rest_stays() -> None:
    store = Store()
    seed_libxl_domain(store, GUEST)
    Session(store, 5).write("data/x/y", b"1")
    watcher = Session(store)
    watcher.watch("@releaseDomain", "r")
    watcher.take_events()
    store.remove_domain(5)
    keys = store.below_domain(5)
    assert "data" not in keys
    assert "control/shutdown" not in keys
    assert keys["memory/target"] == b"524288"
    assert watcher.take_events() == [("@releaseDomain", "r")]
    store.check()
