# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/status.schema.json describes what `status --json` says: all of it, and nothing else."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, Final

import pytest

from agent.report.status_json import status_object
from sim_backend.stories import catalogue
from tests import captures
from tests.support.captured import assessed
from tests.support.judged import assess
from tests.support.snapshots import a_pv_guest

jsonschema = pytest.importorskip("jsonschema", reason="wanted: apt-get install python3-jsonschema")

SCHEMA: Final = json.loads(
    (Path(__file__).parents[2] / "docs" / "status.schema.json").read_text(encoding="utf-8")
)


def strict(schema: Any) -> Any:
    """The same schema without a place for a key it does not name."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: strict(part) for name, part in schema.items()}
    if isinstance(schema.get("properties"), dict) and "type" in schema:
        closed["additionalProperties"] = False
    return closed


VALIDATOR: Final = jsonschema.Draft202012Validator(strict(SCHEMA))


def complaints(found: object) -> list[str]:
    plain = json.loads(json.dumps(found))
    return [f"{error.json_path}: {error.message[:200]}" for error in VALIDATOR.iter_errors(plain)]


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", captures.names())
def test_the_status_of_every_capture_is_as_described(name: str) -> None:
    assert complaints(status_object(assessed(name))) == []


@pytest.mark.parametrize("name", catalogue.scenario_names())
def test_the_status_of_every_simulated_guest_is_as_described(name: str) -> None:
    snapshot = catalogue.load(name).domain().snapshot()
    assert complaints(status_object(assess(snapshot))) == []


def test_what_could_not_be_read_is_null_as_described() -> None:
    blind = a_pv_guest(
        balloon=None, firmware_map=None, iomem=None, memory=None, zones=None, blocks=None,
        pressure=None, sources={"balloon": "absent"},
    )  # fmt: skip
    assert complaints(status_object(assess(blind))) == []


def test_the_strict_schema_notices_a_key_too_many_and_one_too_few() -> None:
    status = status_object(assessed(captures.names()[0]))
    more = copy.deepcopy(status)
    more["balloon"]["colour"] = "red"
    assert complaints(more)
    less = copy.deepcopy(status)
    del less["host"]["target_kib"]
    assert complaints(less)
