# SPDX-License-Identifier: GPL-2.0-or-later
"""One run: build what is missing, boot, let dom0 play the scenarios, collect what it found."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.xenlab import paths, share
from tests.xenlab.build import requirements
from tests.xenlab.build.builder import Artifacts, build
from tests.xenlab.errors import LabError
from tests.xenlab.machine import Machine, boot_disks
from tests.xenlab.model import Scenario
from tests.xenlab.results import Results

RUNS_KEPT: Final = 5


class Run(NamedTuple):
    """A prepared run."""

    folder: Path
    share: Path
    machine: Machine
    results: Results
    agent: str
    """The file name of the wheel under test."""

    def follow(self) -> Iterator[dict[str, Any]]:
        """Boot, yield every event as it comes, write the results at the end in any case."""
        try:
            with self.machine:
                for event in self.machine.events():
                    self.results.take(event)
                    yield event
        finally:
            self.results.write(self.folder, agent=self.agent)


def prepare(
    scenarios: Sequence[Scenario],
    say: Callable[[str], None],
    *,
    wheel: Path | None = None,
    captures: bool = False,
) -> Run:
    """Build what is missing and lay out a run.

    Args:
        scenarios: what to play.
        say: takes a line of progress.
        wheel: the agent to test; by default one is built from this repository.
        captures: the scenarios are those that refresh the fixtures.

    Raises:
        LabError: this machine lacks something, or the wheel cannot be built.
    """
    requirements.require_for_run(paths.cache_root())
    artifacts = build({scenario.guest.kernel for scenario in scenarios}, say)
    folder = _new_folder()
    wheel = wheel or build_wheel(folder)
    say(f"testing {wheel.name}; everything of this run is in {folder}")
    plan = {
        "scenarios": [scenario.name for scenario in scenarios],
        "boot_disks": boot_disks(artifacts),
        "captures": captures,
    }
    shared = folder / "share"
    share.prepare(shared, wheel, plan)
    machine = Machine(artifacts, shared, folder / "serial.log")
    return Run(folder, shared, machine, Results(scenarios, artifacts.kernel_versions()), wheel.name)


def shell(suites: Sequence[str], say: Callable[[str], None], wheel: Path | None = None) -> int:
    """Boot for a person; return QEMU's exit status."""
    requirements.require_for_run(paths.cache_root())
    artifacts: Artifacts = build(suites, say)
    folder = _new_folder()
    shared = folder / "share"
    plan = {"scenarios": [], "boot_disks": boot_disks(artifacts)}
    share.prepare(shared, wheel or build_wheel(folder), plan)
    return Machine(artifacts, shared, folder / "serial.log").interactive()


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
    for old in sorted(root.iterdir())[: -(RUNS_KEPT - 1)]:
        shutil.rmtree(old)
    folder = root / time.strftime("%Y%m%d-%H%M%S")
    folder.mkdir()
    return folder
