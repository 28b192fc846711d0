# SPDX-License-Identifier: GPL-2.0-or-later
"""Every command line of the documents is one that runs; what they name is there."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import click
import pytest

from agent.cli.application import COMMANDS, application
from agent.cli.main import main
from agent.daemon.options import parse_options
from agent.words import DOMAIN_OPTIONS, take_apart
from tests import captures
from tests.support.documents import (
    DOCUMENTS,
    TOP,
    VERDICTS,
    Line,
    blocks,
    code_of,
    commands,
    example,
    text_of,
)

MAKEFILE: Final = (TOP / "Makefile").read_text(encoding="utf-8")
# Shown about a simulated guest here, since the documents speak of the reader's.
SHOWN: Final = (
    "status", "memmap", "check", "plan", "config", "simulate", "doctor", "metrics", "capture",
    "--into",
)  # fmt: skip
ONLY_LOOKED_UP: Final = {
    "--watch",
    "--root",
    "--config",
    "--http",
    "--guests",  # of a dom0: tests/cli/test_host.py
}  # endless, or of the reader's files
OF_A_GUEST: Final = {"status", "memmap", "check", "--target", "doctor", "metrics"}
OURS: Final = commands("balloon-agent")
SHOWING: Final = [
    line for line in OURS if set(line.words) & set(SHOWN) and not set(line.words) & ONLY_LOOKED_UP
]
MADE: Final = commands("make")


def test_there_is_something_to_check() -> None:
    assert len(OURS) > 10
    assert len(MADE) > 5


@pytest.mark.parametrize("line", MADE, ids=str)
def test_every_make_command_has_its_targets(line: Line) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
    wanted = {word for word in line.words if "=" not in word and not word.startswith("-")}
    assert wanted <= targets


@pytest.mark.parametrize("line", OURS, ids=str)
def test_every_command_line_is_one_the_program_takes(line: Line, tmp_path: Path) -> None:
    parts = take_apart([example(word, tmp_path) for word in line.words], DOMAIN_OPTIONS)
    words = parts.for_click()
    if words[0] in COMMANDS and words[0] == "run":
        parse_options(words[1:])
        return
    context = application.make_context("balloon-agent", list(words))
    command: click.Command = application
    rest = words[words.index(parts.command or "") :]
    while isinstance(command, click.Group):
        found = command.get_command(context, rest[0])
        assert found is not None, f"no command {rest[0]}"
        command = found
        context = command.make_context(rest[0], rest[1:], parent=context)
        rest = rest[1:]


@pytest.mark.parametrize(
    "line",
    [
        line
        for line in OURS
        if set(line.words) & set(SHOWN) and not ONLY_LOOKED_UP & set(line.words)
    ],
    ids=str,
)
def test_every_command_line_that_shows_something_runs(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [example(word, tmp_path) for word in line.words]
    if "capture" in words:
        words = ["--root", str(captures.load("pv-512-1024/boot").write_to(tmp_path / "at")), *words]
    elif OF_A_GUEST & set(words) and "config" not in words and "--sim" not in words:
        words = ["--sim", "balloon-up", *words]
    assert main(words) in VERDICTS


FOREIGN: Final = (
    "apt", "apt-get", "git", "man", "pip", "pytest", "python", "python3", "systemctl",
)  # fmt: skip


def foreign(program: str) -> list[tuple[str, list[str]]]:
    """Every use of another program that has something to do with this tree."""
    found = []
    for document in DOCUMENTS:
        for number, line in code_of(document):
            for part in re.split(r" && | \|\| |; ", re.split(r"\s#", line)[0]):
                match = re.match(rf"(?:[A-Z_]+=\S+ )?(?:[\w./-]+/)?{program} (.+)", part.strip())
                if match and "..." not in match[1]:
                    where = f"{document.relative_to(TOP)}:{number}"
                    found.append((where, re.split(r"(?<=\S) {2,}", match[1])[0].split()))
    return found


def test_a_module_that_a_document_runs_is_there() -> None:
    found = [(w, one[1]) for p in ("python", "python3") for w, one in foreign(p) if one[0] == "-m"]
    assert len(found) > 3
    missing = [(where, name) for where, name in found if find_spec(name) is None]
    assert not missing


def test_a_unit_that_a_document_manages_is_there() -> None:
    units = {path.name for path in (TOP / "systemd").iterdir()}
    managed = [
        (where, word if "." in word else f"{word}.service")
        for where, words in foreign("systemctl")
        for word in words
        if word.startswith("balloon-agent")
    ]
    assert len(managed) > 3
    assert not [one for one in managed if one[1] not in units]


def test_a_group_of_tests_that_a_document_runs_is_there() -> None:
    declared = text_of(TOP / "pyproject.toml")
    declared += "".join(map(text_of, (TOP / "tests").rglob("*.py")))
    for where, words in foreign("pytest"):
        for name in words[words.index("-m") + 1 :] if "-m" in words else []:
            assert re.search(rf'MARKER.* = "{name}"|"{name}: |mark\.{name}\b', declared), where


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_file_of_this_tree_that_is_named_is_there(document: Path) -> None:
    ours = "agent|docs|packaging|sim_backend|systemd|tests"
    for number, line in code_of(document):
        for name in re.findall(rf"(?<![\w/.-])(?:{ours})/[\w./*-]*\w", line):
            assert list(TOP.glob(name)), f"{document.name}:{number} {name}"


def test_no_command_line_is_of_a_program_that_nothing_checks() -> None:
    known = {
        *FOREIGN,
        "balloon-agent",
        "balloon-agent.pyz",
        "make",
        "cd",
        "dnf",
        "dpkg",
        "scp",
        "ssh",
    }
    for document in DOCUMENTS:
        fenced = {
            number + n for number, _, inside in blocks(document) for n in range(len(inside) + 2)
        }
        for number, line in enumerate(text_of(document).splitlines(), 1):
            if line.startswith("    ") and number not in fenced and line.strip()[0] not in "#-":
                program = re.sub(r"^([A-Z_]+=\S+ )*", "", line.strip()).split()[0]
                answer = program == "BALLOON"  # what `check` prints
                assert answer or program.rpartition("/")[2] in known, f"{document.name}:{number}"


def test_every_command_is_documented() -> None:
    everything = "\n".join(map(text_of, DOCUMENTS))
    missing = [name for name in COMMANDS if f"balloon-agent {name}" not in everything]
    assert not missing


# --- what a document must not say -----------------------------------------------------------------


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_names_no_place_of_one_machine(document: Path) -> None:
    text = text_of(document)
    assert not re.findall(r"/(?:work|root|home/[a-z]+|tmp)/\S+", text)
    assert not re.findall(r"(?:pypi|deb\.debian|npmjs|pythonhosted)\.[a-z.]+", text)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files_and_headings_that_exist(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(document)):
        file, _, heading = target.partition("#")
        if "://" in file:
            continue
        path = (document.parent / file).resolve() if file else document
        assert path.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.+)$", text_of(path), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}
            assert heading in slugs, target
