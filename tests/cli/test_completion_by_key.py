# SPDX-License-Identifier: GPL-2.0-or-later
"""Completion as users have it: a shell on a terminal, keys typed, and the command that it runs."""

from __future__ import annotations

import os
import pty
import select
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

import agent
from tests.support.simulated_xenstore import SimulatedXenstored

TIMEOUT_S: Final = 60.0
PROMPT: Final = "it-is-your-turn"
# A command that completes as the installed one does, and otherwise tells which words it was given.
STAND_IN: Final = """#!/bin/sh
if [ -n "$_BALLOON_AGENT_COMPLETE" ]; then PYTHONPATH={top} exec {python} -m agent; fi
printf '%s\\n' "$*" >{told}
"""
# The prompt is put together by the shell, so that no echo of these lines is taken for it.
BEGINNINGS: Final = {
    "bash": "PS1='it-is-'your-turn\n. {home}/balloon-agent\n",
    "zsh": "PS1='it-is-'your-turn\nfpath=({home} $fpath)\nautoload -U compinit\ncompinit -u\n",
    "fish": "function fish_prompt; echo it-is-'your-turn'; end\nset -g fish_greeting\n",
}
DOM0: Final = "--root dom0 --xenstore dom0-xenstored"
GUESTS: Final = (b"db", b"web", b"two words", b"\x1b[2Jescape")
# Where each shell looks for the completion of a command, as the Debian package has it.
SCRIPTS: Final = {
    "bash": "balloon-agent",
    "zsh": "_balloon-agent",
    "fish": ".config/fish/completions/balloon-agent.fish",
}
STARTS: Final = {
    "bash": ("--noprofile", "--rcfile", ".rc", "-i"),
    "zsh": ("-d", "-i"),
    "fish": ("-i",),
}
READS: Final = {"bash": ".rc", "zsh": ".zshrc", "fish": ".config/fish/config.fish"}


class Shell:
    """A shell at its prompt, with a home of its own."""

    def __init__(self, name: str, path: str, home: Path) -> None:
        self._told = home / "told"
        os.mkfifo(self._told)
        self._answers = os.open(self._told, os.O_RDWR | os.O_NONBLOCK)
        self._ours, theirs = pty.openpty()
        self.shown = b""
        self.process = subprocess.Popen(
            ["setsid", "--ctty", path, *STARTS[name]],
            stdin=theirs, stdout=theirs, stderr=theirs, cwd=home,
            env={"HOME": str(home), "PATH": f"{home}/bin:/usr/bin:/bin", "TERM": "xterm",
                 "LC_ALL": "C.UTF-8", "ZDOTDIR": str(home)},
        )  # fmt: skip
        os.close(theirs)
        self._await(lambda: PROMPT.encode() in self.shown)

    def runs(self, keys: str) -> str:
        """Type KEYS and Enter; the words that the command was given."""
        before = len(self.shown)
        os.write(self._ours, keys.encode() + b"\r")
        answer = b""

        def answered() -> bool:
            nonlocal answer
            if select.select([self._answers], [], [], 0)[0]:
                answer += os.read(self._answers, 4096)
            return answer.endswith(b"\n")

        self._await(answered)
        # What is typed before the next prompt need not be a key to the shell's line editor.
        self._await(lambda: PROMPT.encode() in self.shown[before:])
        return answer.decode().strip()

    def end(self) -> None:
        """Hang up; the shell need not agree."""
        self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self._answers)

    def _await(self, done: Callable[[], bool]) -> None:
        until = time.monotonic() + TIMEOUT_S
        while not done():
            left = until - time.monotonic()
            assert left > 0, self.shown.decode(errors="replace")
            ready, _, _ = select.select([self._ours, self._answers], [], [], left)
            if self._ours in ready:
                try:
                    self.shown += os.read(self._ours, 4096)
                except OSError as error:
                    raise AssertionError(self.shown.decode(errors="replace")) from error


@pytest.fixture(scope="module")
def xenstored() -> Iterator[SimulatedXenstored]:
    """Of a host with guests."""
    with SimulatedXenstored() as simulated, simulated.connect() as dom0:
        for domid, name in enumerate(GUESTS, 1):
            dom0.write(f"/local/domain/{domid}/name", name)
        yield simulated


@pytest.fixture(scope="module", params=sorted(SCRIPTS))
def shell(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    xenstored: SimulatedXenstored,
) -> Iterator[Shell]:
    name = str(request.param)
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not there: apt-get install {name}")
    home = tmp_path_factory.mktemp(name)
    command = home / "bin" / "balloon-agent"
    command.parent.mkdir()
    words = {
        "top": Path(agent.__file__).parents[1],
        "python": sys.executable,
        "told": home / "told",
    }
    command.write_text(
        STAND_IN.format(**{key: shlex.quote(str(word)) for key, word in words.items()})
    )
    command.chmod(0o755)
    (home / "captured-guest").mkdir()
    capabilities = home / "dom0/proc/xen/capabilities"
    capabilities.parent.mkdir(parents=True)
    capabilities.write_text("control_d\n")
    (home / "dom0-xenstored").symlink_to(xenstored.path)
    script = subprocess.run(
        [sys.executable, "-m", "agent"],
        env=os.environ | {"_BALLOON_AGENT_COMPLETE": f"{name}_source"},
        capture_output=True,
        check=True,
    ).stdout
    for file, text in (
        (SCRIPTS[name], script),
        (READS[name], BEGINNINGS[name].format(home=home).encode()),
    ):
        (home / file).parent.mkdir(parents=True, exist_ok=True)
        (home / file).write_bytes(text)
    found = Shell(name, path, home)
    yield found
    found.end()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("balloon-agent stat\t", "status"),
        ("balloon-agent status --js\t", "status --json"),
        ("balloon-agent --sim balloon-u\tstat\t--sh\t", "--sim balloon-up status --short"),
        ("balloon-agent simulate lea\t", "simulate leak"),
        ("balloon-agent --root captured-g\t", "--root captured-guest"),
        (f"balloon-agent {DOM0} guests we\t", f"{DOM0} guests web"),
        (f"balloon-agent {DOM0} guests d\tw\t--wa\t", f"{DOM0} guests db web --watch"),
        (f"balloon-agent {DOM0} mem-set d\t200", f"{DOM0} mem-set db 200"),
        (f"balloon-agent {DOM0} guests tw\t", f"{DOM0} guests tw"),
        ("balloon-agent mem-set d\t 200", "mem-set d 200"),
    ],
)
def test_tab_ends_the_word(shell: Shell, keys: str, words: str) -> None:
    assert shell.runs(keys).removesuffix("/") == words  # zsh takes the slash off again
