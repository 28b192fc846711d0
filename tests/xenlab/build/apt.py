# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian packages of any suite, without touching this machine's own package state.

Each suite gets an apt of its own below the lab's folder: lists, cache and an empty dpkg status.
That works as an ordinary user, and the suite need not be the one this machine runs. The mirror
is the one this machine's apt uses; BALLOON_AGENT_DEBIAN_MIRROR overrides it.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from tests.xenlab.build import requirements
from tests.xenlab.build.recipe import SECURITY_SUITES
from tests.xenlab.errors import LabError

MIRROR_VARIABLE: Final = "BALLOON_AGENT_DEBIAN_MIRROR"


class Mirrors(NamedTuple):
    """Base addresses of Debian's archive and, where known, of its security archive."""

    main: str
    security: str | None


class Package(NamedTuple):
    """One version of a package, as the archive's index describes it."""

    name: str
    version: str
    sha256: str
    depends: tuple[str, ...]


class Suite:
    """The packages of one Debian suite."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._folder = folder / name
        self._fresh = False

    def sources(self) -> list[str]:
        """Return the sources.list lines of this suite."""
        mirrors = find_mirrors()
        signed = f"[signed-by={requirements.KEYRING}]"
        lines = [f"deb {signed} {mirrors.main} {self.name} main"]
        if mirrors.security and self.name in SECURITY_SUITES:
            lines.append(f"deb {signed} {mirrors.security} {self.name}-security main")
        return lines

    def update(self) -> None:
        """Fetch the archive's indexes."""
        for sub in ("lists/partial", "cache/archives/partial"):
            (self._folder / sub).mkdir(parents=True, exist_ok=True)
        (self._folder / "status").touch()
        (self._folder / "sources.list").write_text(self._sources_text())
        self._run("apt-get", "--quiet", "update", "--error-on=any")
        shutil.rmtree(self._folder / "answers", ignore_errors=True)
        self._fresh = True

    def ensure_lists(self) -> None:
        """Fetch the indexes unless there are some, from the archives in use."""
        listed = self._folder / "sources.list"
        current = listed.exists() and listed.read_text() == self._sources_text()
        if not current or not any((self._folder / "lists").glob("*Packages*")):
            self.update()

    def package(self, name: str) -> Package:
        """Return the newest version of a package."""
        shown = self._answer("apt-cache", "--no-all-versions", "show", name)
        fields = dict(re.findall(r"^([\w-]+): (.*)$", shown, re.MULTILINE))
        if "SHA256" not in fields:
            raise LabError(f"Debian {self.name} has no package {name}")
        depends = [
            entry.strip().split()[0] for entry in fields.get("Depends", "").split(",") if entry
        ]
        return Package(name, fields["Version"], fields["SHA256"], tuple(depends))

    def closure(self, names: Iterable[str]) -> list[str]:
        """Return `name=version` of everything that installing NAMES on nothing would install."""
        shown = self._answer(
            "apt-get", "--simulate", "-o", "APT::Install-Recommends=false",
            "install", "?essential", *names,
        )  # fmt: skip
        found = re.findall(r"^Inst (\S+) \((\S+)", shown, re.MULTILINE)
        return sorted(f"{name}={version}" for name, version in found)

    def unpack(self, packages: Iterable[Package], into: Path) -> None:
        """Download packages and unpack their files into a folder."""
        downloads = into / "debs"
        downloads.mkdir(parents=True)
        self.download([f"{package.name}={package.version}" for package in packages], downloads)
        for deb in sorted(downloads.glob("*.deb")):
            _output(["dpkg-deb", "--extract", str(deb), str(into)])
            deb.unlink()

    def download(self, wanted: Iterable[str], into: Path) -> None:
        """Download packages given as `name=version` into a folder."""
        command = ["apt-get", "--quiet", "download", *wanted]
        try:
            self._run(*command, cwd=into)
        except LabError:
            if self._fresh:
                raise
            self.update()  # The archive drops superseded versions; our index may be older.
            self._run(*command, cwd=into)

    def _sources_text(self) -> str:
        return "".join(line + "\n" for line in self.sources())

    def _answer(self, *command: str) -> str:
        """Run a query; its answer is kept for as long as the indexes stay the same."""
        self.ensure_lists()
        answers = self._folder / "answers"
        answers.mkdir(exist_ok=True)
        kept = answers / hashlib.sha256("\0".join(command).encode()).hexdigest()[:16]
        if not kept.exists():
            kept.write_text(self._run(*command))
        return kept.read_text()

    def _run(self, tool: str, *arguments: str, cwd: Path | None = None) -> str:
        options = {
            "Dir::Etc::sourcelist": self._folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State": self._folder,
            "Dir::State::lists": self._folder / "lists",
            "Dir::State::status": self._folder / "status",
            "Dir::Cache": self._folder / "cache",
            "APT::Architecture": "amd64",
            "APT::Architectures": "amd64",
            "APT::Sandbox::User": "root",
            "Debug::NoLocking": "true",
        }
        settings = [f"-o{key}={value}" for key, value in options.items()]
        return _output([tool, *settings, *arguments], cwd)


@functools.cache
def find_mirrors() -> Mirrors:
    """Return the archive this machine's apt is configured for.

    Raises:
        LabError: this machine's apt knows no Debian archive and none was named.
    """
    listed = _output(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"])
    addresses = [line.rstrip("/") for line in listed.splitlines()]
    named = os.environ.get(MIRROR_VARIABLE)
    main = named or next((a for a in addresses if a.endswith("/debian")), None)
    if main is None:
        raise LabError(f"no Debian archive in this machine's apt sources; set {MIRROR_VARIABLE}")
    return Mirrors(main, next((a for a in addresses if a.endswith("/debian-security")), None))


def _output(command: list[str], cwd: Path | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=os.environ | {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
        check=False,
    )
    if done.returncode:
        raise LabError(f"{command[0]} failed: {' '.join(command)}\n{done.stderr.strip()}")
    return done.stdout
