# SPDX-License-Identifier: GPL-2.0-or-later
"""What a case of a scenario can do and ask: the stage on which it is played."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.xenlab.dom0 import toolstack
from tests.xenlab.dom0.guest import Domain, Guest
from tests.xenlab.dom0.judge import View, complaints
from tests.xenlab.dom0.settings import PATIENCE, deadline
from tests.xenlab.dom0.toolstack import Done
from tests.xenlab.guest.channel import NOBODY
from tests.xenlab.model import Scenario

REST_WITHIN_S: Final = 90.0
POLL_S: Final = 1.0
VERDICT_STATUSES: Final = (0, 1, 2, 4)
PYTHON: Final = ["python3", "-m"]


class Scene:
    """A scenario being played on a domain."""

    def __init__(self, scenario: Scenario, domain: Domain, folder: Path) -> None:
        """Set the scene.

        Args:
            scenario: what is played.
            domain: the domain it is played on, up and with the agent installed.
            folder: where timelines and captures go.
        """
        self.scenario = scenario
        self.domain = domain
        self.folder = folder
        self.others: dict[str, Guest] = {}
        """Guests that cases made beside it, by name."""
        self._measured: dict[str, str] = {}

    def measure(self, what: str, value: str) -> None:
        """Put a figure into the results of the case being played."""
        self._measured[what] = value

    def take_measured(self) -> dict[str, str]:
        """Return the figures of a case and forget them."""
        taken, self._measured = self._measured, {}
        return taken

    def end(self) -> None:
        """End the domain and all others."""
        for other in self.others.values():
            other.destroy()
        self.domain.destroy()

    def mem_set(self, mib: int) -> Done:
        """Let the host set a target."""
        return toolstack.run(["xl", "mem-set", str(self.domain.domid), str(mib)])

    def write_target(self, value: str) -> None:
        """Write `memory/target` behind the toolstack's back."""
        key = f"/local/domain/{self.domain.domid}/memory/target"
        toolstack.must(["xenstore-write", key, value])

    def truth(self, *, rest_within_s: float | None = REST_WITHIN_S) -> dict[str, Any]:
        """Read the kernel's files without the agent, by default once the balloon rests."""
        arguments = [] if rest_within_s is None else [str(rest_within_s * PATIENCE)]
        done = self.domain.run(
            [*PYTHON, "tests.xenlab.guest.truth", *arguments],
            timeout_s=(rest_within_s or 0) + 60,
        )
        assert done.status == 0, f"the guest cannot be read: {done}"
        found: dict[str, Any] = json.loads(done.out)
        assert found["rested"] is not False, f"the balloon still moves: {found}"
        return found

    def reaches(self, kib: int, within_s: float, otherwise: str) -> None:
        """Wait until the domain has so much memory, whatever its balloon does until then.

        Args:
            kib: what it is to have.
            within_s: how long that may take.
            otherwise: what to say if it does not.
        """
        end = deadline(within_s)
        while (truth := self.truth(rest_within_s=None))["current_kib"] != kib:
            assert time.monotonic() < end, f"{otherwise}: {truth}"
            time.sleep(POLL_S)

    def agent(self, *arguments: str, user: int | None = None) -> Done:
        """Run the agent as a user does."""
        return self.domain.run(["balloon-agent", *arguments], user=user)

    def status(self, *, user: int | None = None) -> dict[str, Any]:
        """Return what `balloon-agent status --json` says."""
        done = self.agent("status", "--json", user=user)
        assert done.status in VERDICT_STATUSES, f"balloon-agent status: {done}"
        found: dict[str, Any] = json.loads(done.out)
        return found

    def agreed(
        self, expected: Mapping[str, object] | None = None, *, user: int | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Judge what the agent says once the balloon rests.

        Args:
            expected: values that the independent reading must have.
            user: run the agent as the user with that number.

        Returns:
            what the agent says, and the independent reading.

        Raises:
            AssertionError: with everything that does not agree.
        """
        before = self.truth()
        status = self.status(user=user)
        after = self.truth(rest_within_s=None)
        view = View(
            domain_type=self.domain.domain_type,
            status=status,
            truth=before,
            listed_mib=toolstack.listed_mib(self.domain.domid),
            xenstore_target=toolstack.memory_key(self.domain.domid, "target"),
            xenstore_static_max=toolstack.memory_key(self.domain.domid, "static-max"),
            beside_kib=self.scenario.guest.beside_kib,
            xenstore_readable=user != NOBODY,
        )
        wrong = complaints(view)
        for name in ("current_kib", "target_kib"):
            if before[name] != after[name]:
                wrong.append(f"{name} moved from {before[name]} to {after[name]} meanwhile")
        wrong += [
            f"{name} is {before[name]!r}, expected {value!r}"
            for name, value in (expected or {}).items()
            if before[name] != value
        ]
        assert not wrong, "\n".join(wrong)
        return status, before

    def timeline(self, label: str, seconds: float, argv: list[str]) -> Done:
        """Run a command in dom0 while the guest samples its balloon; keep both."""
        sampler = [*PYTHON, "tests.xenlab.guest.timeline", str(seconds)]
        number = self.domain.start(sampler, timeout_s=seconds + 60)
        time.sleep(2)  # The sampler's start, so that the first line shows the state before.
        issued = time.time()
        done = toolstack.run(argv)
        took_s = time.time() - issued
        samples = self.domain.finish(number, seconds + 60)
        text = (
            f"cmd: {' '.join(argv)}\nissued: {issued:.3f}\n"
            f"returned after: {took_s:.3f}s rc={done.status}\n"
            f"output: {done.text} {done.err.decode(errors='replace').strip()}\n"
            f"--- guest\n{samples.text}\n"
        )
        folder = self.folder / "timelines"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{label}.txt").write_text(text)
        return done
