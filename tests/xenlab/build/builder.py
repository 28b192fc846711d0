# SPDX-License-Identifier: GPL-2.0-or-later
"""Brings all artifacts that a run needs up to date."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.xenlab import paths
from tests.xenlab.build import recipe, requirements
from tests.xenlab.build.apt import Suite
from tests.xenlab.build.artifact import Artifact
from tests.xenlab.build.kernel import hypervisor, kernel
from tests.xenlab.build.rootfs import root_file_system, user_space
from tests.xenlab.build.testing import testing
from tests.xenlab.hosts import Release


class Artifacts(NamedTuple):
    """The folders that a run takes its files from."""

    hypervisors: dict[str, Path]
    """By release."""
    roots: dict[str, Path]
    """By release."""
    kernels: dict[str, Path]
    """By suite, as the other two."""
    user_spaces: dict[str, Path]
    testing: dict[str, Path]
    """pytest, where a guest wants it."""

    def kernel_versions(self) -> dict[str, str]:
        """Return what `uname -r` will say, by suite."""
        return {
            suite: (path / "version").read_text().strip() for suite, path in self.kernels.items()
        }


class Wanted(NamedTuple):
    """What is to be there."""

    releases: tuple[Release, ...]
    kernels: frozenset[str] = frozenset()
    """Suites whose kernels are wanted; those of dom0 always are."""
    user_spaces: frozenset[str] = frozenset()
    tests: bool = False
    """A guest runs tests itself."""


def build(wanted: Wanted, say: Callable[[str], None], *, update: bool = False) -> Artifacts:
    """Make what is missing or out of date.

    Args:
        wanted: what is to be there.
        say: takes a line of progress.
        update: ask Debian's archive for newer packages first.

    Raises:
        LabError: a tool, a package or disk space is missing.
    """
    root = paths.artifacts_root()
    requirements.require_for_build(root)
    root.mkdir(parents=True, exist_ok=True)
    releases = {release.name: release for release in wanted.releases}
    images = sorted({*wanted.kernels, *(release.suite for release in releases.values())})
    roots = {release.root for release in releases.values()}
    names = sorted({recipe.BASE_SUITE, *images, *roots, *wanted.user_spaces})
    suites = {name: Suite(name, paths.cache_root() / "apt") for name in names}
    for suite in suites.values():
        if update:
            say(f"asking for the packages of Debian {suite.name}")
            suite.update()

    def made(artifacts: dict[str, Artifact]) -> dict[str, Path]:
        for artifact in artifacts.values():
            _bring_up_to_date(artifact, say)
        return {name: artifact.folder for name, artifact in artifacts.items()}

    base = suites[recipe.BASE_SUITE]
    return Artifacts(
        made({n: hypervisor(root, suites[one.suite], one) for n, one in releases.items()}),
        made({n: root_file_system(root, one, suites) for n, one in releases.items()}),
        made({name: kernel(root, suites[name], base) for name in images}),
        made({name: user_space(root, suites[name]) for name in sorted(wanted.user_spaces)}),
        made({name: testing(root, suites[name]) for name in sorted(roots) if wanted.tests}),
    )


def _bring_up_to_date(artifact: Artifact, say: Callable[[str], None]) -> None:
    if artifact.is_made():
        return
    say(f"making {artifact.name}")
    started = time.monotonic()
    artifact.make()
    say(f"made {artifact.name} in {time.monotonic() - started:.0f} s")
