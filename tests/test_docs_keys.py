# SPDX-License-Identifier: GPL-2.0-or-later
"""Every key (configuration, xenstore, JSON) is in its document, and the other way round."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.core.facts import host_keys
from agent.core.policy import decide, follow, guard, self_balloon
from agent.daemon import published_keys
from agent.daemon.config.keys import KEYS
from agent.daemon.config.text import default_text
from agent.sources import guest_keys
from tests.support.documents import TOP, text_of


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
    read = {f"memory/{name}" for name in host_keys.NUMBERS} | {"domid", "name", "vm"}
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


# --- reasons of decisions -------------------------------------------------------------------------

# Which argument of a call is the code; `on_its_way` gives the balloon's state as its code.
REASON_AT = {"nothing": 0, "write_target": 1, "Decision": 1}
STATES_ON_THE_WAY = {"moving", "retrying", "absent"}


def reasons(module: Any) -> set[str]:
    """The codes that a module of the policy gives its decisions."""
    found = set()
    for node in ast.walk(ast.parse(Path(module.__file__).read_text(encoding="utf-8"))):
        given: ast.expr | None = None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            at = REASON_AT.get(node.func.id)
            given = node.args[at] if at is not None else None
        elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
            first = node.value.elts[0]
            given = first if isinstance(first, ast.Constant) else None
        for part in ast.walk(given) if given is not None else ():
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                found.add(part.value)
    return found


def test_every_reason_of_a_decision_is_documented_and_no_other() -> None:
    documented = {name for row in rows("modes.md", "Every reason") for name in names(row[0])}
    given = set.union(*(reasons(module) for module in (decide, follow, guard, self_balloon)))
    assert documented == given | STATES_ON_THE_WAY


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
