# SPDX-License-Identifier: GPL-2.0-or-later
"""Help, manual page and completion say the same, for every command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from agent.cli.application import COMMANDS, application
from agent.cli.main import main
from tests.manual.page import manual

ROOT = Path(__file__).parents[2]
PAGE = "docs/balloon-agent.1"
SHELLS = ("bash", "zsh", "fish")


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_with_an_example_of_itself(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Example" in text
    assert f"balloon-agent {name}" in text or f" {name}" in text.partition("Example")[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_option_is_explained_in_a_sentence(name: str) -> None:
    command = application.get_command(click.Context(application), name)
    assert command is not None
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, option.name
            assert option.help.endswith("."), option.name


def test_the_manual_page_is_that_of_this_version() -> None:
    kept = (ROOT / PAGE).read_text(encoding="utf-8")
    assert manual() == kept, f"python3 -m tests.manual > {PAGE}"


def test_the_manual_page_renders_without_a_warning() -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not there: apt-get install groff-base")
    command = [groff, "-man", "-ww", "-Tascii", "-z", str(ROOT / PAGE)]
    rendered = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (rendered.returncode, rendered.stdout, rendered.stderr) == (0, "", "")


def test_the_manual_page_has_every_command() -> None:
    page = manual()
    for name in COMMANDS:
        assert f'.SS "{name}"'.replace("-", "\\-") in page


def completed(words: str, count: int) -> list[str]:
    """What bash is offered for the last of these words."""
    found = subprocess.run(
        [sys.executable, "-m", "agent"],
        env=os.environ
        | {
            "_BALLOON_AGENT_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(count),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stderr == ""
    return [line.partition(",")[2] for line in found.stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "count", "offered"),
    [
        ("balloon-agent sta", 1, ["status"]),
        ("balloon-agent status --wa", 2, ["--watch"]),
        ("balloon-agent --sim balloon-", 2, ["balloon-up", "balloon-down"]),
        ("balloon-agent simulate lea", 2, ["leak"]),
    ],
)
def test_a_tab_offers_commands_options_and_scenarios(
    words: str, count: int, offered: list[str]
) -> None:
    assert completed(words, count) == offered


def test_a_tab_behind_a_word_that_is_no_command_breaks_nothing() -> None:
    assert "status" in completed("balloon-agent nonsense ", 2)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_completion_is_a_script_its_shell_accepts(shell: str) -> None:
    path = shutil.which(shell)
    if path is None or shutil.which("bash") is None:
        pytest.skip(f"{shell} is not there: apt-get install {shell}")
    made = subprocess.run(
        [sys.executable, "-m", "agent"],
        env=os.environ | {"_BALLOON_AGENT_COMPLETE": f"{shell}_source"},
        capture_output=True,
        check=True,
    )
    assert b"balloon-agent" in made.stdout
    subprocess.run([path, "-n"], input=made.stdout, check=True)


def test_a_word_close_to_a_command_gets_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docter"]) == 64
    assert "Did you mean 'doctor'?" in capsys.readouterr().err
