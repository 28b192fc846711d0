# SPDX-License-Identifier: GPL-2.0-or-later
"""One run: build what is missing, boot, have dom0 play the scenarios, collect what it found."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.xenlab import dispatch, packages, paths, share
from tests.xenlab.build import requirements
from tests.xenlab.build.builder import Artifacts, Wanted, build
from tests.xenlab.dispatch import Dispatcher
from tests.xenlab.errors import LabError
from tests.xenlab.hosts import HOSTS, MAIN, RELEASES, Host
from tests.xenlab.machine import Machine, disks
from tests.xenlab.model import GuestSpec, Scenario
from tests.xenlab.results import FILE, Results

RUNS_KEPT: Final = 5
BOOT_S: Final = 60.0
"""As seen on one core of a machine of 2023, until dom0 asks what to play."""
FORGOTTEN_AFTER_S: Final = 86400.0
"""A run without results that is older than this goes on no more."""


class Stage(NamedTuple):
    """What is played on one host, by machines side by side."""

    host: Host
    scenarios: Sequence[Scenario]
    machines: Sequence[Machine]
    first: int
    """The number of its first machine."""


class Run(NamedTuple):
    """A prepared run."""

    folder: Path
    stages: Sequence[Stage]
    results: Results
    about: Mapping[str, Any]
    """What is under test, and on how many machines."""
    until: float | None = None
    """When all should have ended, on the monotonic clock."""

    def follow(self) -> Iterator[dict[str, Any]]:
        """Boot, yield every event as it comes, write the results at the end in any case."""
        lost: LabError | None = None
        try:
            for stage in self.stages:
                if self.until and time.monotonic() + BOOT_S > self.until:
                    yield from self._left_out(stage)
                    continue
                try:
                    yield from self._follow(stage)
                except LabError as error:  # What the other hosts show is worth having.
                    lost = error
        finally:
            self.results.write(self.folder, about=self.about)
        if lost:
            raise lost

    def _left_out(self, stage: Stage) -> Iterator[dict[str, Any]]:
        for scenario in stage.scenarios:
            told = {"event": "left-out", "scenario": scenario.name, "host": stage.host.name}
            self.results.take(told)
            yield told

    def _follow(self, stage: Stage) -> Iterator[dict[str, Any]]:
        took_s = dispatch.seconds_of(paths.LAST_RUN)
        with contextlib.ExitStack() as stack:
            for machine in stage.machines:
                stack.enter_context(machine)
            dispatcher = Dispatcher(stage.scenarios, stage.machines, took_s, self.until)
            for event in dispatcher.events():
                told = event | {"host": stage.host.name}
                if "machine" in told:
                    told["machine"] += stage.first - 1
                self.results.take(told)
                yield told

    def kept(self) -> list[Path]:
        """Return the folders with evidence and captures, one folder per scenario in each."""
        return [m.share / share.KEPT for stage in self.stages for m in stage.machines]


def prepare(
    scenarios: Sequence[Scenario],
    say: Callable[[str], None],
    *,
    wheel: Path | None = None,
    bundled: Path | None = None,
    captures: bool = False,
    machines: int | None = None,
    minutes: int | None = None,
) -> Run:
    """Build what is missing and lay out a run.

    Args:
        scenarios: what to play.
        say: takes a line of progress.
        wheel: the agent to test; by default one is built from this repository.
        bundled: its package with libraries inside, for guests with another user space; likewise.
        captures: the scenarios are those that refresh the fixtures.
        machines: how many play side by side; by default what this computer bears.
        minutes: how long all of it may take, building included; what does not fit is left out.
            By default what the environment says, without a limit if nothing.

    Raises:
        LabError: this machine lacks something, or the wheel cannot be built.
    """
    minutes = minutes or requirements.minutes()
    until = time.monotonic() + 60 * minutes if minutes else None
    count = min(machines or requirements.bearable_machines(), max(len(scenarios), 1))
    requirements.require_for_run(paths.cache_root(), count)
    by_host = {
        name: [scenario for scenario in scenarios if scenario.host == name]
        for name in HOSTS
        if any(scenario.host == name for scenario in scenarios)
    }
    artifacts = build(wanted_by(scenarios), say)
    folder = _new_folder()
    about = {"agent": (wheel or build_wheel(folder)).name, "commit": commit(), "machines": count}
    side_by_side = f" on {count} machines side by side" if count > 1 else ""
    say(f"testing {about['agent']}{side_by_side}; everything of this run is in {folder}")
    plan = {"captures": captures}
    wheel = wheel or folder / str(about["agent"])
    stages: list[Stage] = []
    number = 1
    # The shortest first: where the time is limited, each Xen shows its main line.
    expected_s = dispatch.expected_s(scenarios, dispatch.seconds_of(paths.LAST_RUN))
    by_length = sorted(by_host, key=lambda name: sum(expected_s[one.name] for one in by_host[name]))
    for name in by_length:
        played = by_host[name]
        made = [
            _machine(artifacts, HOSTS[name], folder / f"machine-{number + one}", wheel, plan)
            for one in range(min(count, len(played)))
        ]
        stages.append(Stage(HOSTS[name], played, made, number))
        number += len(made)
    if shares := _shares(stages, lambda guest: guest.debs and guest.user_space is None):
        say("building the Debian packages")
        packages.prepare(shares, artifacts.roots[MAIN], folder)
    if shares := _shares(stages, lambda guest: guest.user_space is not None):
        if bundled is None:
            say("building the Debian package with its libraries inside")
        packages.prepare_bundled(shares, bundled or packages.build_bundled(folder))
    results = Results(scenarios, artifacts.kernel_versions())
    return Run(folder, stages, results, about, until)


def wanted_by(scenarios: Sequence[Scenario]) -> Wanted:
    """Return what has to be built for some scenarios."""
    guests = [guest for scenario in scenarios for guest in scenario.guests]
    releases = {HOSTS[scenario.host].release.name for scenario in scenarios}
    return Wanted(
        tuple(release for name, release in RELEASES.items() if name in releases),
        frozenset(guest.kernel for guest in guests),
        frozenset(guest.user_space for guest in guests if guest.user_space),
        tests=any(guest.tests for guest in guests),
    )


def _shares(stages: Sequence[Stage], wanted: Callable[[GuestSpec], bool]) -> list[Path]:
    """Return the shares of all machines that play a guest which is wanted."""
    return [
        machine.share
        for stage in stages
        if any(wanted(guest) for scenario in stage.scenarios for guest in scenario.guests)
        for machine in stage.machines
    ]


def shell(
    host: Host, suites: Sequence[str], say: Callable[[str], None], wheel: Path | None = None
) -> int:
    """Boot for a person; return QEMU's exit status."""
    requirements.require_for_run(paths.cache_root(), 1)
    artifacts = build(Wanted((host.release,), frozenset(suites)), say)
    folder = _new_folder()
    machine = _machine(artifacts, host, folder / "machine-1", wheel or build_wheel(folder), {})
    return machine.interactive()


def _machine(
    artifacts: Artifacts, host: Host, folder: Path, wheel: Path, plan: dict[str, Any]
) -> Machine:
    machine = Machine(artifacts, host, folder)
    found = disks(artifacts)
    told = plan | {"boot_disks": found.boot, "user_spaces": found.user_spaces}
    share.prepare(machine.share, wheel, told, artifacts.testing.get(host.release.root))
    return machine


def commit() -> str | None:
    """Return what `git describe` calls the sources, None outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    with contextlib.suppress(OSError):
        done = subprocess.run(
            command, cwd=paths.REPOSITORY, capture_output=True, text=True, check=False
        )
        return done.stdout.strip() or None
    return None


def build_wheel(into: Path) -> Path:
    """Build the agent's wheel from this repository.

    Raises:
        LabError: pip could not.
    """
    command = [
        sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(into),
        str(paths.REPOSITORY),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(into.glob("balloon_agent-*.whl"))
    if done.returncode or not wheels:
        raise LabError(f"the agent's wheel cannot be built (or pass one):\n{done.stderr.strip()}")
    return wheels[-1]


def _new_folder() -> Path:
    root = paths.runs_root()
    root.mkdir(parents=True, exist_ok=True)
    for old in outdated(root, time.time()):
        shutil.rmtree(old)
    folder = root / time.strftime("%Y%m%d-%H%M%S")
    folder.mkdir()
    return folder


def outdated(root: Path, now: float) -> list[Path]:
    """Return the runs to remove before another one: the oldest that are finished or forgotten."""
    runs = sorted(root.iterdir())
    done = [
        run
        for run in runs
        if (run / FILE).exists() or now - run.stat().st_mtime > FORGOTTEN_AFTER_S
    ]
    return done[: max(0, len(done) - (RUNS_KEPT - 1))]
