# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian packages: what is in them, and their life in a Debian root (`make test-deb`)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from agent import __version__
from tests.deb.conftest import ELSEWHERE, LIVES, TREE, mmdebstrap

pytestmark = pytest.mark.deb

STORY: Final = Path(__file__).parent / "life-of-a-package.sh"
LISTING: Final = STORY.with_name("what-is-there.sh")
# What a small Debian has (netbase and tzdata by their priority: where Python brings them, apt does
# not take them away again), and what its administrator would look at the agent with.
ROOT_PACKAGES: Final = "systemd,man-db,netbase,tzdata"
# Said by Debian 12's lintian, for information, of every service without an init script; Debian 13's
# knows it no longer, and takes an override of it for an error.  The daemon lives by what systemd
# gives it: notification, watchdog, sandbox.  Under another init the commands work.
WITHOUT_SYSTEMD: Final = "package-supports-alternative-init-but-no-init.d-script"


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def package(folder: Path, name: str) -> Path:
    (found,) = folder.glob(f"{name}_*.deb")
    return found


def contents(deb: Path) -> list[str]:
    return [line.split()[5].lstrip(".") for line in run("dpkg-deb", "--contents", deb).splitlines()]


def test_the_package_carries_the_version_of_the_program(debs: Path) -> None:
    version = run("dpkg-deb", "--field", package(debs, "balloon-agent"), "Version").strip()
    assert re.fullmatch(rf"{re.escape(__version__)}-\d+", version)


def test_no_file_is_in_both_packages(debs: Path) -> None:
    both = [contents(package(debs, name)) for name in ("balloon-agent", "balloon-agent-metrics")]
    files = [{path for path in paths if not path.endswith("/")} for paths in both]
    assert not files[0] & files[1]


def test_no_file_is_outside_the_places_of_a_package(debs: Path) -> None:
    places = (
        "/usr/bin/balloon-agent",
        "/usr/share/",
        "/usr/lib/systemd/",
        "/lib/systemd/",
        "/etc/balloon-agent/",
    )
    for deb in debs.glob("*.deb"):
        for path in contents(deb):
            assert path.endswith("/") or path.startswith(places), path


def test_lintian_has_nothing_to_say(debs: Path) -> None:
    if ELSEWHERE:
        said = (debs / "lintian").read_text()
    else:
        if shutil.which("lintian") is None:
            pytest.skip("lintian is not there: apt-get install lintian")
        (changes,) = debs.glob("*.changes")
        as_root = ["--allow-root"] if os.geteuid() == 0 else []
        said = run("lintian", "--fail-on=none", "--display-info", *as_root, changes)
    assert [line for line in said.splitlines() if WITHOUT_SYSTEMD not in line] == []


def test_every_lintian_override_says_why() -> None:
    for file in (TREE / "packaging" / "debian").glob("*.lintian-overrides"):
        above = ""
        for line in file.read_text().splitlines():
            assert line.startswith("#") or above.startswith("#"), f"{file.name}: {line}"
            above = line


@pytest.mark.parametrize("release", LIVES)
def test_installed_upgraded_removed_and_purged_a_debian_is_as_it_was(
    release: str, debs: Path, newer_debs: Path, guests: Path
) -> None:
    """In a fresh Debian of its own; what the packages need comes from Debian's archive."""
    said = mmdebstrap(
        release,
        ROOT_PACKAGES,
        f"copy-in {STORY} {LISTING} {debs} {newer_debs} {guests} /",
        f'chroot "$1" sh /{STORY.name} /{debs.name} /{newer_debs.name} /{guests.name}',
    )
    assert "guests, the same JSON" in said
    assert "ok: purged: packages and files are as they were" in said
