# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the packages once; leaves these tests out of a run that does not ask for them."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.deb.newer import make_newer

MARKER: Final = "deb"
TREE: Final = Path(__file__).parents[2]
TOOLS: Final = ("dpkg-buildpackage", "dh_python3", "mmdebstrap")
INSTALL: Final = "apt-get install dpkg-dev dh-python mmdebstrap"


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


@pytest.fixture(scope="session")
def debs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages of this tree; the build's own tests are left out here."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not there: {', '.join(missing)}; {INSTALL}")
    folder = tmp_path_factory.mktemp("debs")
    # Readable for an ordinary user's mmdebstrap, which is somebody else in its namespace.
    for above in (folder, *folder.parents[:2]):
        above.chmod(0o755)
    subprocess.run(
        [TREE / "packaging" / "make-deb.sh", folder],
        check=True,
        env=os.environ | {"DEB_BUILD_OPTIONS": "nocheck"},
    )
    return folder


@pytest.fixture(scope="session")
def newer_debs(debs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same packages with a higher version and another default configuration."""
    folder = tmp_path_factory.mktemp("newer")
    folder.chmod(0o755)
    for deb in sorted(debs.glob("*.deb")):
        make_newer(deb, folder)
    return folder
