# SPDX-License-Identifier: GPL-2.0-or-later
"""Plays the scenarios of the selected tests, on emulated machines side by side."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.xenlab import runner, scenarios
from tests.xenlab.__main__ import describe
from tests.xenlab.errors import LabError
from tests.xenlab.results import Outcome

MARKER: Final = "xen"
NOT_RUN: Final = "NOT RUN on a real Xen: "


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers of tests that boot the emulated machine."""
    config.addinivalue_line("markers", f"{MARKER}: boots a real Xen hypervisor, takes minutes")
    config.addinivalue_line("markers", "quick: among these, what every change is tested with")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave these tests out of every run that does not ask for them with -m."""
    if MARKER in (config.getoption("markexpr") or ""):
        return
    left_out = [item for item in items if item.get_closest_marker(MARKER)]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


class Playback:
    """Outcomes, case by case, waited for in the order of the tests, whatever order they come in."""

    def __init__(self, run: runner.Run, config: pytest.Config) -> None:
        self._run = run
        self._config = config
        self._events: Iterator[dict[str, Any]] = run.follow()
        self._broken: str | None = None

    def outcome(self, scenario: str, case: str) -> Outcome:
        """Wait for the outcome of a case; what was never played has failed."""
        while (found := self._run.results.outcome(scenario, case)) is None:
            if not self._advance():
                if self._run.results.left_out(scenario):
                    pytest.skip(f"{NOT_RUN}the time that was given would not have sufficed")
                why = self._broken or "the machines ended without playing this case"
                return Outcome(False, why, 0.0)
        return found

    def finish(self) -> None:
        """Let the machines come to their end."""
        while self._advance():
            pass
        passed, total = self._run.results.counts()
        say(self._config, f"{passed} of {total} cases passed, everything in {self._run.folder}")

    def _advance(self) -> bool:
        try:
            event = next(self._events)
        except StopIteration:
            return False
        except LabError as error:
            self._broken = str(error)
            return False
        if event["event"] not in {"case", "next"}:
            say(self._config, describe(event))
        return True


def say(config: pytest.Config, line: str) -> None:
    """Show progress to whoever runs pytest -v."""
    if config.get_verbosity() > 0:
        capture = config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            print(f"\n    {line}", end=" ", flush=True)


@pytest.fixture(scope="session")
def playback(request: pytest.FixtureRequest) -> Iterator[Playback]:
    """The machines, playing the scenarios of all selected tests."""
    items = (item for item in request.session.items if isinstance(item, pytest.Function))
    parameters = (getattr(item, "callspec", None) for item in items)
    wanted = {spec.params["scenario"] for spec in parameters if spec and "scenario" in spec.params}
    try:
        run = runner.prepare(
            scenarios.select(sorted(wanted)), lambda line: say(request.config, line)
        )
    except LabError as error:
        if os.environ.get("CI"):
            pytest.fail(f"{NOT_RUN}{error}", pytrace=False)
        pytest.skip(f"{NOT_RUN}{error}")
    played = Playback(run, request.config)
    yield played
    played.finish()
