# SPDX-License-Identifier: GPL-2.0-or-later
"""What stands in typing's place in the daemon does what typing does, as far as anybody can tell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import lean

TOP = str(Path(__file__).parents[1])
NAMES = ("first", "second", "third", "fourth")
VALUES = st.one_of(st.none(), st.integers(), st.text(max_size=4), st.tuples(st.integers()))
BODY = """
class Pair(NamedTuple):
    '''Two.'''

    {fields}

    @property
    def both(self) -> int:
        return len(self)
"""


def made(base: Any, fields: str) -> Any:
    """A class of ours, and one of typing's, of the same words."""
    there: dict[str, Any] = {"NamedTuple": base, "__name__": "there"}
    body = BODY.format(fields=fields)
    exec(compile(f"from __future__ import annotations\n{body}", "there", "exec"), there)
    return there["Pair"]


def told(call: Any) -> Any:
    """What comes of it, as one can see it: a value's words, or an error's."""
    try:
        found = call()
    except (TypeError, ValueError, AttributeError) as error:
        return type(error), str(error).replace("<lambda>", "__new__")
    return repr(found), found


@given(
    st.integers(0, 4),
    st.integers(0, 4),
    st.lists(VALUES, max_size=5),
    st.dictionaries(st.sampled_from((*NAMES, "fifth")), VALUES, max_size=5),
    st.dictionaries(st.sampled_from((*NAMES, "fifth")), VALUES, max_size=3),
)
def test_a_value_is_made_changed_and_shown_as_typings_is(
    count: int, given_count: int, values: list[Any], named: dict[str, Any], changed: dict[str, Any]
) -> None:
    fields = [f"{name}: int" for name in NAMES[:count]]
    fields[given_count:] = [f"{field} = {at}" for at, field in enumerate(fields[given_count:])]
    ours, theirs = (made(base, "\n    ".join(fields)) for base in (lean.NamedTuple, NamedTuple))
    assert told(lambda: ours(*values, **named)) == told(lambda: theirs(*values, **named))
    assert told(lambda: ours._make(values)) == told(lambda: theirs._make(values))
    assert (ours._fields, ours._field_defaults) == (theirs._fields, theirs._field_defaults)
    assert (ours.__name__, ours.__module__, ours.__doc__) == ("Pair", "there", "Two.")
    if len(values) < count:
        return
    one, other = ours(*values[:count]), theirs(*values[:count])
    assert told(lambda: one._replace(**changed)) == told(lambda: other._replace(**changed))
    assert one._asdict() == other._asdict()
    assert one == other
    assert hash(ours._fields) == hash(theirs._fields)
    assert [getattr(one, name) for name in one._fields] == list(one)
    assert one.both == count
    assert told(lambda: setattr(one, "fifth", 1))[0] is AttributeError


def test_a_class_of_a_value_is_an_ordinary_one() -> None:
    class Situation(made(lean.NamedTuple, "first: int\n    second: int = 2")):  # type: ignore[misc]
        """With room for what is worked out later."""

    one = Situation(1)
    one.later = 3
    assert (one, one.later, one._replace(first=5)) == ((1, 2), 3, (5, 2))
    assert type(one._replace(first=5)) is Situation


@pytest.mark.parametrize("name", ["get_args", "TypedDict"])
def test_what_it_does_not_have_is_typings_own(name: str) -> None:
    code = (
        "import sys; from agent import lean; lean.stay_lean();"
        f"from typing import Final, {name} as there; assert Final is lean.Final;"
        f"import typing; print(typing is not lean and there is typing.{name})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_what_a_daemon_may_load_later_loads_behind_it() -> None:
    """Of Python's own, what asks typing or collections.abc for something."""
    names = ["importlib.util", "inspect", "json", "subprocess", "traceback"]
    names += ["tomllib"] if sys.version_info >= (3, 11) else []
    code = (
        "from agent import lean; lean.stay_lean(); import agent.daemon.main;"
        f"import {', '.join(names)}; assert inspect.signature(json.dumps).parameters"
    )
    code = f"import sys; sys.path[:0] = [{TOP!r}]; {code}"
    subprocess.run([sys.executable, "-I", "-c", code], check=True)


def test_a_word_is_said_of_anything() -> None:
    words: Any = lean
    assert words.Literal["one", "another"] is not None
    assert words.Optional[tuple[words.Optional[int], words.Union[int, str]]] is not None
    assert lean.cast("int", 5) == 5
