# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the packages once; leaves these tests out of a run that does not ask for them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.deb.newer import make_newer

MARKER: Final = "deb"
TREE: Final = Path(__file__).parents[2]
TOOLS: Final = ("dpkg-buildpackage", "dh_python3", "mmdebstrap")
INSTALL: Final = "apt-get install dpkg-dev dh-python mmdebstrap"
# The release whose root the packages are built in, and live in; without it they are built here.
ELSEWHERE: Final = os.environ.get("BALLOON_AGENT_DEBIAN_RELEASE")
RELEASE: Final = ELSEWHERE or "bookworm"
# Where they are installed: `make test-deb RELEASES="bookworm trixie"`.
LIVES: Final = (os.environ.get("BALLOON_AGENT_RELEASES") or RELEASE).split()
# A folder where `make deb onefile` was just done: nothing is built twice.
BUILT: Final = os.environ.get("BALLOON_AGENT_BUILT")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker of tests that build and install the Debian packages."""
    config.addinivalue_line("markers", f"{MARKER}: builds and installs the Debian packages")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave these tests out of every run that does not ask for them with -m."""
    if MARKER in (config.getoption("markexpr") or ""):
        return
    left_out = [item for item in items if item.get_closest_marker(MARKER)]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def mmdebstrap(release: str, packages: str, *hooks: str) -> str:
    """Make a Debian root, do the HOOKS there, throw it away; what was said meanwhile.

    A release may be looked at after its index has run out, and then has not changed.
    """
    mode = "root" if os.geteuid() == 0 else "unshare"
    done = subprocess.run(
        ["mmdebstrap", f"--mode={mode}", "--variant=apt", "--format=null", "--quiet",
         '--aptopt=Acquire::Check-Valid-Until "false"', f"--include={packages}",
         *(f"--customize-hook={hook}" for hook in hooks),
         release, "/dev/null"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8000:]
    return done.stdout


def build_here(folder: Path) -> None:
    """Build with this machine's tools, without the build's own tests; or take what is built."""
    if BUILT:
        for kind in ("deb", "changes", "buildinfo"):
            for made in Path(BUILT).glob(f"balloon-agent*.{kind}"):
                if "bundled" not in made.name:
                    shutil.copy(made, folder)
        return
    subprocess.run(
        [TREE / "packaging" / "make-deb.sh", folder],
        check=True,
        env=os.environ | {"DEB_BUILD_OPTIONS": "nocheck"},
    )


def build_in_a_root(folder: Path, scratch: Path) -> None:
    """Build, with the build's own tests, in a fresh root of the release asked for."""
    archive = scratch / "tree.tar"
    left_out = [f"--exclude=./{name}" for name in (".git", ".venv", ".cache", "dist")]
    subprocess.run(
        ["tar", "-C", TREE, *left_out, "--exclude=__pycache__", "-cf", archive, "."], check=True
    )
    said = mmdebstrap(
        RELEASE,
        "ca-certificates",
        'mkdir "$1/tree"',
        f"tar-in {archive} /tree",
        'chroot "$1" /tree/tests/deb/build-in-a-root.sh /tree /debs',
        f"sync-out /debs {folder}",
    )
    print(*(line for line in said.splitlines() if " passed" in line), sep="\n")


@pytest.fixture(scope="session")
def debs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages of this tree."""
    tools = ("mmdebstrap",) if ELSEWHERE else TOOLS
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not there: {', '.join(missing)}; {INSTALL}")
    folder = tmp_path_factory.mktemp("debs")
    # Readable for an ordinary user's mmdebstrap, which is somebody else in its namespace.
    for above in (folder, *folder.parents[:2]):
        above.chmod(0o755)
    if ELSEWHERE:
        scratch = tmp_path_factory.mktemp("scratch")
        scratch.chmod(0o755)
        build_in_a_root(folder, scratch)
    else:
        build_here(folder)
    return folder


@pytest.fixture(scope="session")
def newer_debs(debs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same packages with a higher version and another default configuration."""
    folder = tmp_path_factory.mktemp("newer")
    folder.chmod(0o755)
    for deb in sorted(debs.glob("*.deb")):
        make_newer(deb, folder)
    return folder


@pytest.fixture(scope="session")
def guests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guests that are held, and what this tree's `status --json` says of each."""
    held = tmp_path_factory.mktemp("held") / "held"
    for name in ("forms", "captures", "cases"):
        shutil.copytree(
            TREE / "tests" / name, held / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    program = Path(sys.executable).with_name("balloon-agent")
    words = (sys.executable, "-I", held / "forms" / "every_capture.py", program)
    said = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
    (held / "every-capture").write_text(said)
    return held
