# SPDX-License-Identifier: GPL-2.0-or-later
"""The kept corpus of every fuzz target holds; each parser there is has a target."""

from __future__ import annotations

import ast
import random
from pathlib import Path

import pytest

from tests.fuzz.one import mutated
from tests.fuzz.targets import OTHERS, TARGETS
from tests.sources import parsers
from tests.sources.parsers import CORPUS

AGENT = Path(__file__).parents[2] / "agent"
# Parsers of what the administrator types; bad input ends there in a sentence, tested with the CLI.
TYPED = {"parse_size_kib", "parse_threshold", "parse_options"}
SEEDS = sorted(path for name in OTHERS for path in (CORPUS / name).iterdir())


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: str(seed.relative_to(CORPUS)))
def test_an_odd_input_of_the_corpus_holds(seed: Path) -> None:
    TARGETS[seed.parent.name](seed.read_bytes())


def test_every_target_has_a_corpus_and_every_corpus_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)


def test_every_parser_of_the_agent_is_a_target() -> None:
    defined = {
        node.name
        for path in AGENT.rglob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("parse_")
    }
    source = Path(parsers.__file__).read_text(encoding="utf-8")
    forgotten = {name for name in defined - TYPED if name not in source}
    assert not forgotten


@pytest.mark.parametrize("name", TARGETS)
def test_a_few_mutations_of_the_corpus_hold(name: str) -> None:
    rng = random.Random(name)
    seeds = [file.read_bytes() for file in sorted((CORPUS / name).iterdir())]
    for _ in range(20):
        TARGETS[name](mutated(rng, seeds))
