# SPDX-License-Identifier: GPL-2.0-or-later
"""The documents and the program tell the same: commands, targets, keys, names."""

import ast
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import pytest

from agent.cli import command_of, domain_options_first, main
from agent.cli.application import COMMANDS, application
from agent.daemon import published_keys
from agent.daemon.config_keys import KEYS
from agent.daemon.config_text import default_text
from agent.daemon.options import parse_options
from agent.sources import guest_keys, host_wishes
from tests import captures

TOP: Final = Path(__file__).parents[1]
DOCUMENTS: Final = sorted([*TOP.glob("*.md"), *(TOP / "docs").glob("*.md")])
MAKEFILE: Final = (TOP / "Makefile").read_text(encoding="utf-8")
VERDICTS: Final = {0, 1, 2, 4}
# Shown about a simulated guest here, since the documents speak of the reader's.
SHOWN: Final = ("status", "memmap", "check", "plan", "config", "simulate")
# Words in capitals stand for something of the reader's.
EXAMPLES: Final = {"SIZE": "512M", "SCENARIO": "balloon-up", "SECONDS": "1"}


class Line(NamedTuple):
    """One command of a document."""

    where: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.where}: {' '.join(self.words)}"


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def code_of(document: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines of fenced and indented blocks, and what stands in backticks."""
    fenced = False
    for number, line in enumerate(text_of(document).splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield number, line
        else:
            for code in re.findall(r"`([^`]+)`", line):
                yield number, code


def commands(program: str) -> list[Line]:
    """Every use of a program: what is before a comment, a pipe or a redirection."""
    found = []
    for document in DOCUMENTS:
        for number, line in code_of(document):
            for part in re.split(r" && | \|\| |; ", re.split(r"\s#", line)[0]):
                shown = re.split(r"(?<=\S) {2,}| \| | > ", part.strip())[0]
                match = re.match(rf"(?:\S*/)?{program} (.+)", shown)
                if match and "..." not in match[1]:
                    name = document.relative_to(TOP)
                    found.append(Line(f"{name}:{number}", tuple(shlex.split(match[1]))))
    return found


OURS: Final = commands("balloon-agent")
MADE: Final = commands("make")


def example(word: str, directory: Path) -> str:
    """A word of a document, with what it stands for in it."""
    word = word.strip("[]")
    if re.fullmatch(r"DIR|CAPTURE", word):
        return str(directory)
    if re.fullmatch(r"[A-Z]+(\.[a-z.]+)?", word):
        return EXAMPLES.get(word, str(directory / word))
    return word


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
    words = domain_options_first([example(word, tmp_path) for word in line.words])
    if words[0] in COMMANDS and words[0] == "run":
        parse_options(words[1:])
        return
    context = application.make_context("balloon-agent", list(words))
    command: click.Command = application
    rest = words[words.index(command_of(words) or "") :]
    while isinstance(command, click.Group):
        found = command.get_command(context, rest[0])
        assert found is not None, f"no command {rest[0]}"
        command = found
        context = command.make_context(rest[0], rest[1:], parent=context)
        rest = rest[1:]


@pytest.mark.parametrize("line", [line for line in OURS if set(line.words) & set(SHOWN)], ids=str)
def test_every_command_line_that_shows_something_runs(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [example(word, tmp_path) for word in line.words]
    if {"--watch", "--root", "--config"} & set(words):
        pytest.skip("endless, or about files of the reader: only looked up")
    needs_guest = {"status", "memmap", "check", "--target"} & set(words) and "config" not in words
    if needs_guest and "--sim" not in words:
        words = ["--sim", "balloon-up", *words]
    assert main(words) in VERDICTS


def test_every_command_is_documented() -> None:
    everything = "\n".join(map(text_of, DOCUMENTS))
    missing = [name for name in COMMANDS if f"balloon-agent {name}" not in everything]
    assert not missing


# --- screens ----------------------------------------------------------------------------------


class Screen(NamedTuple):
    """A block that shows what a command prints; lines in between may be left out."""

    where: str
    columns: str
    words: tuple[str, ...]
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.where}: {' '.join(self.words)}"


# The command of a screen stands in a comment before it; @NAME is one of tests/captures.
MARK: Final = re.compile(r"<!-- screen(?: of (\d+) columns)?: (.+) -->")
DRAWN: Final = re.compile("[█▒░×━▲●╳]")


def blocks(document: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Every fenced block: its line, the line before it, what is in it."""
    before, start = "", 0
    inside: list[str] | None = None
    for number, line in enumerate(text_of(document).splitlines(), 1):
        if line.startswith("```"):
            if inside is None:
                inside, start = [], number
                continue
            yield start, before, inside
            inside = None
        elif inside is not None:
            inside.append(line)
        before = line if inside is None else before


def screens() -> list[Screen]:
    found = []
    for document in DOCUMENTS:
        for number, before, lines in blocks(document):
            if match := MARK.fullmatch(before):
                where = f"{document.relative_to(TOP)}:{number}"
                columns, words = match[1] or "80", tuple(match[2].split())
                found.append(Screen(where, columns, words, tuple(lines)))
    return found


def is_screen(lines: list[str]) -> bool:
    return any(DRAWN.search(line) for line in lines)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_screen_names_the_command_that_shows_it(document: Path) -> None:
    for number, before, lines in blocks(document):
        assert MARK.fullmatch(before) or not is_screen(lines), f"{document.name}:{number}"


@pytest.mark.parametrize("screen", screens(), ids=str)
def test_a_screen_is_what_the_program_shows(
    screen: Screen,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", screen.columns)
    words = []
    for word in screen.words:
        if word.startswith("@"):
            words.append(str(captures.load(word[1:]).write_to(tmp_path / "capture")))
        else:
            words.append(example(word, tmp_path))
    assert main(words) in VERDICTS
    shown = iter(capsys.readouterr().out.splitlines())
    missing = [line for line in screen.lines if line.strip() and line not in shown]
    assert missing == []


# --- configuration ----------------------------------------------------------------------------


def rows(document: str, heading: str = "") -> list[list[str]]:
    """The cells of the tables of a document, below a heading."""
    text = text_of(TOP / "docs" / document)
    if heading:
        text = text.partition(f"## {heading}")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_configuration_is_documented_key_by_key() -> None:
    documented = [(names(row[0])[0], names(row[1])[0], row[2]) for row in rows("configuration.md")]
    assert documented == [(key.name, key.default, key.meaning) for key in KEYS]


def test_the_shipped_configuration_is_the_programs() -> None:
    assert text_of(TOP / "systemd" / "config.toml") == default_text()


# --- xenstore -----------------------------------------------------------------------------------


def strings(module: Any) -> set[str]:
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {node.value for node in nodes if isinstance(node.value, str)}


def test_every_key_that_is_read_is_documented_and_no_other() -> None:
    documented = {name for row in rows("xenstore.md", "Read") for name in names(row[0])}
    read = {f"memory/{name}" for name in host_wishes._NUMBERS} | {"domid", "name", "vm"}
    also = {"memory/uncooperative", *guest_keys.KEYS}
    assert documented == read | also


def test_every_key_that_is_written_is_documented_and_no_other() -> None:
    documented = {name for row in rows("xenstore.md", "Written") for name in names(row[0])}
    balloon = {
        name.removeprefix("/")
        for name in strings(published_keys)
        if re.fullmatch(r"/?[a-z_]+_kb|/[a-z]+", name)
    }
    others = {
        name
        for name in strings(published_keys)
        if re.fullmatch(r"(data|control|memory)/[a-z_/-]+", name) and name != "data/balloon"
    }
    assert documented == {f"data/balloon/{name}" for name in balloon} | others


# --- JSON -----------------------------------------------------------------------------------------


def paths(schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, part in schema.get("properties", {}).items():
        yield f"{prefix}{name}"
        yield from paths(part, f"{prefix}{name}.")


def documented_paths() -> set[str]:
    """`a.b`, `.c` in one cell: a.b and a.c."""
    section = text_of(TOP / "docs" / "status-json.md").partition("\n# ")[0]
    found = set()
    for line in section.splitlines():
        if line.startswith("| `"):
            owner = ""
            for name in names(line.split(" | ")[0]):
                owner = name.rpartition(".")[0] if not name.startswith(".") else owner
                found.add(f"{owner}{name}" if name.startswith(".") else name)
    return found


def test_every_key_of_the_status_is_documented_and_no_other() -> None:
    schema = json.loads(text_of(TOP / "docs" / "status.schema.json"))
    top = set(schema["properties"])
    described = {path for path in paths(schema) if path.count(".") <= 1}
    parents = {path.partition(".")[0] for path in described if "." in path}
    documented = documented_paths()
    assert documented - described == set()
    whole = documented & top  # described as a whole, with its keys in the text
    missing = {p for p in described - documented if p.partition(".")[0] not in whole} - parents
    assert missing == set()


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
