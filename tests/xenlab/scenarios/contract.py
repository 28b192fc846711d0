# SPDX-License-Identifier: GPL-2.0-or-later
"""The contract suite in a real guest: what tests/contract holds the simulation to.

pytest runs in the guest, over /dev/xen/xenbus and sysfs; a thread in dom0 does what its tests want
of the host. Tests that need a xenstored of their own are skipped there, each with its reason.
"""

from __future__ import annotations

import re
from typing import Final

from tests.support.xenstored.hand import Hand
from tests.xenlab.dom0.scene import Scene
from tests.xenlab.model import Case, GuestSpec, Kind, Scenario

XENSTORED: Final = "/run/xenstored/socket"
DEVICE: Final = "/dev/xen/xenbus"
FOLDER: Final = "/lab/tests/contract"
PYTEST: Final = (
    "env", f"BALLOON_AGENT_CONTRACT_DEVICE={DEVICE}",
    "PYTHONPATH=/lab:/lab/testing:/usr/lib/balloon-agent",
    "python3", "-m", "pytest", "-q", "-rs", "--tb=short", "--color=no", "-p", "no:cacheprovider",
    "--rootdir=/lab",
)  # fmt: skip
WITHIN_S: Final = 900.0
MODULES: Final = {
    "test_who_may_write": "the agent sees where it may write",
    "test_balloon_contract": "the balloon goes, reads and takes what is written as simulated",
    "test_xenstore_contract_of_events": "watches and transactions as in every xenstore",
    "test_xenstore_contract_of_domains": "who is told of domains, as in every xenstore",
    "test_xenstore_contract": "paths, permissions, values and requests as in every xenstore",
}


def holds(module: str, clause: str) -> Case:
    """A module of the contract suite."""

    def act(scene: Scene) -> None:
        with Hand(XENSTORED, scene.domain.domid):
            done = scene.domain.run([*PYTEST, f"{FOLDER}/{module}.py"], timeout_s=WITHIN_S)
        lines = done.text.splitlines() or [""]
        for count, what in re.findall(r"(\d+) (passed|failed|skipped|error)", lines[-1]):
            scene.measure(what, count)
        for count, why in re.findall(r"SKIPPED \[(\d+)\] [^ ]+ (.*)", done.text):
            scene.measure(f"skipped, because {why}", count)
        assert done.status == 0, str(done)

    return Case(module.removeprefix("test_"), clause, act)


def _scenario(kind: Kind, suite: str = "bookworm") -> Scenario:
    return Scenario(
        f"{kind}-contract" if suite == "bookworm" else f"{kind}-contract-{suite}",
        f"the contract suite in a {kind.upper()} guest",
        GuestSpec(kind, kernel=suite, tests=True),
        tuple(holds(module, clause) for module, clause in MODULES.items()),
    )


SCENARIOS: Final = (_scenario("pv"), _scenario("pvh"))
