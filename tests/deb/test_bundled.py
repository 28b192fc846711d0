# SPDX-License-Identifier: GPL-2.0-or-later
"""What is made around the one file: the package for Debian 11, the RPM, OpenRC's service."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.deb.conftest import BUILT, TREE, mmdebstrap
from tests.deb.newer import make_newer

pytestmark = pytest.mark.deb

HERE: Final = Path(__file__).parent


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the one file and the packages around it."""
    missing = [tool for tool in ("dpkg-buildpackage", "rpmbuild", "mmdebstrap", "rpm")
               if shutil.which(tool) is None]  # fmt: skip
    if missing:
        pytest.skip(f"not there: {', '.join(missing)}; apt-get install dpkg-dev rpm mmdebstrap")
    folder = tmp_path_factory.mktemp("made")
    for above in (folder, *folder.parents[:2]):
        above.chmod(0o755)
    environment = os.environ | {"BUILD_PYTHON": sys.executable}
    if BUILT:
        shutil.copy(Path(BUILT) / "balloon-agent.pyz", folder)
    for script in ("make-onefile.sh", "make-deb.sh", "make-rpm.sh")[1 if BUILT else 0 :]:
        words = ["bundled"] if script == "make-deb.sh" else []
        subprocess.run([TREE / "packaging" / script, folder, *words], check=True, env=environment)
    newer = folder / "newer"
    newer.mkdir()
    (deb,) = folder.glob("*bundled*.deb")
    make_newer(deb, newer)
    return folder


def test_on_debian_11_the_package_is_installed_upgraded_and_purged(
    made: Path, guests: Path
) -> None:
    scripts = f"{HERE}/life-of-the-bundled.sh {HERE}/what-is-there.sh"
    said = mmdebstrap(
        "bullseye",
        "python3,systemd",
        f"copy-in {scripts} {made} {guests} /",
        f'chroot "$1" sh /life-of-the-bundled.sh /{made.name} /{made.name}/newer /{guests.name}',
    )
    assert "guests, the same JSON" in said
    assert "ok: purged: packages and files are as they were" in said


def test_rpm_installs_upgrades_and_removes_its_package_below_a_root(made: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("rpm --root and chroot are root's")
    (rpm,) = made.glob("*.rpm")
    said = mmdebstrap("bullseye", "python3", f'sh {HERE}/life-of-an-rpm.sh {rpm} "$1"')
    assert "ok: removed: files are as they were" in said


def test_openrc_itself_starts_reloads_and_stops_the_installed_one_file(made: Path) -> None:
    before_it_goes = "balloon-agent.pre-deinstall"
    said = mmdebstrap(
        "bookworm",
        "python3,openrc,procps,busybox",
        f"copy-in {HERE}/life-of-openrc.sh {made}/balloon-agent.pyz "
        f"{TREE}/packaging/alpine/{before_it_goes} /",
        'chroot "$1" rm -f /bin/bash',
        'ln -sf busybox "$1/bin/sh"',  # every script there is busybox's to run, as on Alpine
        f'chroot "$1" /bin/sh /life-of-openrc.sh /balloon-agent.pyz /{before_it_goes}',
    )
    assert "ok: stopped" in said
    assert "ok: ended, and its keys taken back, before Alpine's package goes" in said
    assert "ok: removed: files are as they were" in said


def test_rpmlint_has_nothing_to_say(made: Path) -> None:
    if shutil.which("rpmlint") is None:
        pytest.skip("rpmlint is not there: apt-get install rpmlint")
    (rpm,) = made.glob("*.rpm")
    settings = TREE / "packaging" / "rpm" / "rpmlint.toml"
    done = subprocess.run(
        ["rpmlint", "-c", settings, rpm], capture_output=True, text=True, check=False
    )
    assert "0 errors, 0 warnings" in done.stdout, done.stdout
