# SPDX-License-Identifier: GPL-2.0-or-later
"""Nothing that the daemon remembers is lost over a rest, and a rest changes nothing it does."""

from __future__ import annotations

from typing import Any, Final

import pytest

from agent.core.policy.settings import Mode, PolicySettings
from sim_backend.host.libxl import simple_guest
from tests.support.virtual_daemon import VirtualDaemon

# What each constructor makes anew, and why nothing is lost by it: parts of the outside, which are
# handed on as descriptors or read again, and what counts seconds: a rest comes only after those.
MADE_ANEW: Final = {
    "Daemon": {"_parts", "config", "_stopping", "_settled"},
    "Turn": {"_parts", "_log", "situation", "decision"},
    "Observer": {"_root"},
    "Reporter": {"_runtime", "_say", "_root", "_use", "_assessment"},
    "Publisher": {"_bucket"},
    "Link": {"session", "news", "_bucket"},
    "Lines": {"_descriptor", "_prefixed", "_domain", "lines"},
    "Sleep": {"has_pressure_trigger", "_domain", "_session", "_listens", "_stalled"},
    "Ownership": set(),
    "Denial": set(),
    "DecisionLog": set(),
}


def a_daemon(mode: Mode = "follow") -> VirtualDaemon:
    _, domain = simple_guest()
    virtual = VirtualDaemon(domain, PolicySettings(mode=mode))
    virtual.start()
    return virtual


def test_every_attribute_survives_or_is_made_anew() -> None:
    waiting: list[Any] = [a_daemon().daemon]
    seen = set()
    while waiting:
        one = waiting.pop()
        name = type(one).__name__
        seen.add(name)
        survive = set(one.SURVIVES_REST)
        assert survive | MADE_ANEW[name] == set(vars(one)), name
        assert not survive & MADE_ANEW[name], name
        inner = [getattr(one, attribute) for attribute in survive]
        waiting += [there for there in inner if hasattr(there, "SURVIVES_REST")]
    assert seen == set(MADE_ANEW)


@pytest.mark.parametrize("mode", ["observe", "follow"])
def test_with_rests_or_without_the_daemon_does_and_says_the_same(mode: Mode) -> None:
    told = {}
    for may_rest in (True, False):
        virtual = a_daemon(mode)
        virtual.may_rest = may_rest
        _an_afternoon(virtual)
        told[may_rest] = (
            virtual.lines.lines,
            [(one.when_s, one.target_kib) for one in virtual.root.writes],
            virtual.domain.store.items(),
            virtual.manager.pings,
            virtual.daemon._reporter.log.as_objects(),
            virtual.daemon._turn.history,
            virtual.daemon._turns,
        )
        assert (virtual.rests > 10) is may_rest
    assert told[True] == told[False]


def _an_afternoon(virtual: VirtualDaemon) -> None:
    domain = virtual.domain
    virtual.run(150.0)
    for number, target_kib in enumerate((400_000, 400_000, 524_288, 300_000)):
        domain.store.write("memory/target", str(target_kib))
        virtual.run(400.0 + 200.0 * number)
    virtual.session.hang_up()
    virtual.run(1250.0)
    virtual.session.refusal = "EACCES"
    domain.store.write("memory/target", "524288")
    virtual.run(1450.0)
    virtual.session.refusal = None
    virtual.sleep_gap_s = 100.0  # the machine was suspended
    domain.store.write("memory/target", "450000")
    virtual.run(1800.0)


@pytest.mark.parametrize("mode", ["guard", "self"])
def test_a_guard_never_rests(mode: Mode) -> None:
    virtual = a_daemon(mode)
    virtual.run(60.0)
    assert virtual.rests == 0
