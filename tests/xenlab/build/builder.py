# SPDX-License-Identifier: GPL-2.0-or-later
"""Brings all artifacts that a run needs up to date."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from tests.xenlab import paths
from tests.xenlab.build import recipe, requirements
from tests.xenlab.build.apt import Suite
from tests.xenlab.build.artifact import Artifact
from tests.xenlab.build.kernel import hypervisor, kernel
from tests.xenlab.build.rootfs import root_file_system
from tests.xenlab.build.testing import testing


class Artifacts(NamedTuple):
    """The folders that a run takes its files from."""

    hypervisor: Path
    rootfs: Path
    kernels: dict[str, Path]
    """By suite."""
    testing: Path | None = None
    """pytest, if a guest wants it."""

    def kernel_versions(self) -> dict[str, str]:
        """Return what `uname -r` will say, by suite."""
        return {
            suite: (path / "version").read_text().strip() for suite, path in self.kernels.items()
        }


def build(
    kernels: Iterable[str],
    say: Callable[[str], None],
    *,
    update: bool = False,
    tests: bool = False,
) -> Artifacts:
    """Make what is missing or out of date.

    Args:
        kernels: the suites whose kernels are wanted; dom0's is always among them.
        say: takes a line of progress.
        update: ask Debian's archive for newer packages first.
        tests: a guest runs tests itself.

    Raises:
        LabError: a tool, a package or disk space is missing.
    """
    root = paths.artifacts_root()
    requirements.require_for_build(root)
    root.mkdir(parents=True, exist_ok=True)
    names = sorted({recipe.BASE_SUITE, *kernels})
    suites = {name: Suite(name, paths.cache_root() / "apt") for name in names}
    for suite in suites.values():
        if update:
            say(f"asking for the packages of Debian {suite.name}")
            suite.update()
    base = suites[recipe.BASE_SUITE]
    xen = hypervisor(root, base)
    rootfs = root_file_system(root, base)
    images = {name: kernel(root, suite, base) for name, suite in suites.items()}
    pytest = testing(root, base) if tests else None
    for artifact in (xen, *images.values(), rootfs, *([pytest] if pytest else ())):
        _bring_up_to_date(artifact, say)
    return Artifacts(
        xen.folder,
        rootfs.folder,
        {name: image.folder for name, image in images.items()},
        pytest.folder if pytest else None,
    )


def _bring_up_to_date(artifact: Artifact, say: Callable[[str], None]) -> None:
    if artifact.is_made():
        return
    say(f"making {artifact.name}")
    started = time.monotonic()
    artifact.make()
    say(f"made {artifact.name} in {time.monotonic() - started:.0f} s")
