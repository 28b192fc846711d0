# SPDX-License-Identifier: GPL-2.0-or-later
"""Every key (configuration, xenstore, JSON) is in its document, and the other way round."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

from agent.core.facts import host_keys
from agent.core.policy import decide, follow, guard, self_balloon
from agent.core.policy.decision import Reason
from agent.daemon import (
    forget,
    ownership,
    published_keys,
    publisher,
    reporter,
    use_report,
)
from agent.daemon.config.keys import KEYS
from agent.daemon.config.text import default_text
from agent.daemon.key_table import KEYS as KEYS_WRITTEN
from agent.daemon.key_table import Key
from agent.sources import guest_keys
from tests.support.documents import TOP, text_of
from tests.support.golden import check_reviewed

TABLE_HEAD: Final = (
    "| key | profile | holds | who reads it on the host, and what it means there | first written "
    "| when the daemon stops | `run --forget` | who else writes it |\n"
    "|---|---|---|---|---|---|---|---|"
)


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
    also = {"memory/uncooperative", ownership.OTHERS_SIGN, *guest_keys.KEYS}
    assert documented == read | also


def row_of(key: Key) -> str:
    """A key's line of the table in docs/xenstore.md."""
    profiles = "all but `none`" if len(key.profiles) == 3 else ", ".join(
        f"`{name}`" for name in key.profiles
    )  # fmt: skip
    at_stop = f"becomes `{key.last_word}`" if key.at_stop == "says so" else key.at_stop
    on_forget = f"becomes `{key.last_word}`" if key.on_forget == "says so" else key.on_forget
    cells = (
        f"`{key.name}`", profiles, key.holds, key.reader, key.first, at_stop, on_forget,
        key.others or "nobody",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def test_the_table_of_written_keys_is_that_of_the_code() -> None:
    path = TOP / "docs" / "xenstore.md"
    before, head, rest = text_of(path).partition(TABLE_HEAD)
    assert head, "docs/xenstore.md has lost the head of its table"
    _, blank, after = rest.partition("\n\n")
    wanted = before + head + "".join(f"\n{row_of(key)}" for key in KEYS_WRITTEN) + blank + after
    check_reviewed(path, wanted)


def test_every_key_that_the_publishing_names_is_in_the_table() -> None:
    """No module beside the table spells a key of its own."""
    for module in (forget, ownership, published_keys, publisher, reporter, use_report):
        spelt = {
            name for name in strings(module) if re.fullmatch(r"(data|memory|control)/.*", name)
        }
        assert not spelt, f"{module.__name__} spells {spelt}"


# --- reasons of decisions -------------------------------------------------------------------------


def test_every_reason_of_a_decision_is_documented_and_given_and_no_other() -> None:
    documented = {name for row in rows("modes.md", "Every reason") for name in names(row[0])}
    assert documented == set(get_args(Reason))
    files = [str(module.__file__) for module in (decide, follow, guard, self_balloon)]
    nodes = [n for file in files for n in ast.walk(ast.parse(Path(file).read_text("utf-8")))]
    said = {node.value for node in nodes if isinstance(node, ast.Constant)}
    assert documented <= said


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
