# SPDX-License-Identifier: GPL-2.0-or-later
"""The layers, held by reading the imports of every source file."""

from __future__ import annotations

import ast
import re
import sysconfig
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

import pytest

TOP: Final = Path(__file__).parents[1]
SPDX: Final = "# SPDX-License-Identifier: GPL-2.0-or-later\n"
OURS: Final = ("agent", "sim_backend", "tests")
LONGEST_LINES: Final = 400

# What the core may use of the standard library: nothing that can do input or output.
PURE: Final = {
    "__future__", "bisect", "collections", "enum", "fnmatch", "functools", "heapq", "itertools",
    "math", "re", "statistics", "string", "types", "typing",
}  # fmt: skip
# What the daemon's resident memory does not allow.
HEAVY: Final = {
    "asyncio", "click", "dataclasses", "http", "logging", "pathlib", "rich", "subprocess",
    "tempfile",
}  # fmt: skip

# The only files that know the optional package.
METRICS_ALONE: Final = {
    "agent/report/exposition.py", "agent/report/metrics_text.py",
    "agent/report/host_metrics_text.py",
}  # fmt: skip

# What the simulation may know beyond the core and the seam: (file, module). A simulated domain
# that is read in place of this machine answers as the sources do.
SIMULATION_MAY: Final = {
    ("sim_backend/published/in_process.py", "agent.sources.outcome"),
    ("sim_backend/published/in_process.py", "agent.sources.system_root"),
}

# A room may import itself and the rooms of the floors below its own, never beside it or above.
FLOORS: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "agent.core": (("facts",), ("boot",), ("account",), ("findings", "policy", "host"), ("plan",)),
    "sim_backend": (
        ("clock", "hypervisor", "inotify"),
        ("xenstore",),
        ("guest",),
        ("host",),
        ("stories",),
        ("published",),
    ),
}


class Import(NamedTuple):
    """One module that a file imports.

    `inside`: within a function, so only when it runs; `for_types`: below `if TYPE_CHECKING`, so
    never.
    """

    file: str
    line: int
    module: str
    inside: bool
    for_types: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"

    @property
    def package(self) -> str:
        """`agent.core` of `agent.core.facts.units`, `os` of `os.path`."""
        parts = self.module.split(".")
        return ".".join(parts[:2]) if parts[0] == "agent" else parts[0]


class _Imports(ast.NodeVisitor):
    """Collects the imports of a file, wherever they stand."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.found: list[Import] = []
        self._depth = 0
        self._for_types = False

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1

    def visit_If(self, node: ast.If) -> None:
        before = self._for_types
        self._for_types |= isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        self.generic_visit(node)
        self._for_types = before

    def visit_Import(self, node: ast.Import) -> None:
        self._add(node, [alias.name for alias in node.names])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.level == 0, f"{self.file}:{node.lineno}: a relative import hides the layer"
        assert node.module is not None
        below = [f"{node.module}.{alias.name}" for alias in node.names]
        files = [name for name in below if _is_module(name)]
        self._add(node, files or [node.module])

    def _add(self, node: ast.stmt, modules: list[str]) -> None:
        inside, for_types = self._depth > 0, self._for_types
        self.found += [Import(self.file, node.lineno, name, inside, for_types) for name in modules]


def _is_module(name: str) -> bool:
    """Whether `a.b.c` is a file of this project."""
    path = TOP.joinpath(*name.split("."))
    return name.split(".", maxsplit=1)[0] in OURS and (
        path.with_suffix(".py").exists() or path.is_dir()
    )


def _has_file(name: str) -> bool:
    return TOP.joinpath(*name.split(".")).with_suffix(".py").exists()


def files(*below: str) -> Iterator[Path]:
    for name in below:
        path = TOP / name
        yield from [path] if path.is_file() else sorted(path.rglob("*.py"))


def imports(*below: str) -> list[Import]:
    """What runs; imports for types alone are left out."""
    return [one for one in all_imports(*below) if not one.for_types]


def all_imports(*below: str) -> list[Import]:
    return [one for path in files(*below) for one in imports_of(path)]


def module_of(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def circles(graph: dict[str, set[str]]) -> list[str]:
    """Every module that can be reached from itself."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        places = list(graph.get(start, ()))
        while places:
            place = places.pop()
            if place not in seen:
                seen.add(place)
                places += graph.get(place, ())
        return seen

    return sorted(name for name in graph if name in reached(name))


def graph_of(found: list[Import]) -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {}
    for one in found:
        graph.setdefault(module_of(one.file), set()).add(one.module)
    return graph


def misplaced(house: str, found: list[Import]) -> list[Import]:
    """Imports that go up or sideways between the rooms of a house."""
    floor_of = {room: n for n, floor in enumerate(FLOORS[house]) for room in floor}

    def room_of(module: str) -> str | None:
        rest = module.removeprefix(f"{house}.")
        return rest.split(".")[0] if rest != module else None

    wrong = []
    for one in found:
        mine, other = room_of(module_of(one.file)), room_of(one.module)
        if mine is not None and other is not None and mine != other:
            assert mine in floor_of, f"{one.file}: the room {mine} has no floor in FLOORS"
            assert other in floor_of, f"{one}: the room {other} has no floor in FLOORS"
            wrong += [one] if floor_of[other] >= floor_of[mine] else []
    return wrong


@cache
def imports_of(path: Path) -> tuple[Import, ...]:
    visitor = _Imports(str(path.relative_to(TOP)))
    visitor.visit(ast.parse(path.read_text(encoding="utf-8")))
    return tuple(visitor.found)


def says(found: list[Import]) -> str:
    return "\n".join(str(one) for one in found)


@pytest.mark.parametrize("house", FLOORS)
def test_a_room_imports_only_from_the_floors_below_it(house: str) -> None:
    wrong = misplaced(house, all_imports(house.replace(".", "/")))
    assert not wrong, says(wrong)


@pytest.mark.parametrize("house", FLOORS)
def test_every_module_of_a_house_with_floors_is_in_a_room_that_has_one(house: str) -> None:
    rooms = {room for floor in FLOORS[house] for room in floor}
    top = TOP.joinpath(*house.split("."))
    there = {path.stem for path in top.iterdir() if not path.name.startswith("__")}
    assert there == rooms


@pytest.mark.parametrize(
    ("file", "module"),
    [
        ("agent/core/facts/new.py", "agent.core.account.situation"),
        ("agent/core/policy/new.py", "agent.core.findings.finding"),
        ("agent/core/findings/new.py", "agent.core.plan.plan"),
        ("sim_backend/guest/new.py", "sim_backend.host.libxl"),
        ("sim_backend/xenstore/new.py", "sim_backend.guest.domain"),
        ("sim_backend/hypervisor.py", "sim_backend.clock"),
    ],
)
def test_a_file_in_a_folder_that_its_imports_contradict_is_noticed(file: str, module: str) -> None:
    house = "agent.core" if file.startswith("agent") else "sim_backend"
    assert misplaced(house, [Import(file, 1, module, inside=False, for_types=True)])


def test_no_module_imports_for_types_or_for_use_one_that_imports_it() -> None:
    assert not circles(graph_of(all_imports("agent", "sim_backend")))


def test_a_circle_is_noticed_even_one_for_types_or_within_a_function() -> None:
    ways = (("a.py", "b", False), ("b.py", "c", True), ("c.py", "a", False), ("d.py", "a", False))
    found = [Import(file, 1, module, inside, inside) for file, module, inside in ways]
    assert circles(graph_of(found)) == ["a", "b", "c"]


@pytest.mark.parametrize("package", ["agent", "sim_backend"])
def test_every_folder_says_in_its_init_alone_what_belongs_there(package: str) -> None:
    for path in files(package):
        if path.name == "__init__.py" and path.parent != TOP / "agent":
            body = ast.parse(path.read_text(encoding="utf-8")).body
            assert len(body) == 1, f"{path} holds more than its docstring"


@cache
def is_pythons_own(package: str) -> bool:
    """Whether it comes with Python (`sys.stdlib_module_names` is Python 3.10's)."""
    found = find_spec(package)
    assert found is not None, f"{package} is not there"
    if found.origin in ("built-in", "frozen"):
        return True
    own = Path(sysconfig.get_path("stdlib")).resolve()
    where = Path(found.origin or "").resolve()
    return own in where.parents and "site-packages" not in where.parts


def test_the_core_is_pure() -> None:
    wrong = [one for one in imports("agent/core") if one.package not in {*PURE, "agent.core"}]
    assert not wrong, says(wrong)


def test_the_sources_know_only_the_core() -> None:
    third_party = {"pyxs", "psutil"}
    wrong = [
        one
        for one in imports("agent/sources")
        if one.package not in {*third_party, "agent.core", "agent.sources"}
        and not is_pythons_own(one.package)
    ]
    assert not wrong, says(wrong)


def test_pyxs_is_known_to_one_module() -> None:
    users = {one.file for one in imports("agent") if one.package == "pyxs"}
    assert users == {"agent/sources/xenstore/pyxs_client.py"}


def test_psutil_is_known_to_one_module_and_loaded_when_it_is_asked() -> None:
    users = [one for one in imports("agent") if one.package == "psutil"]
    assert {one.file for one in users} == {"agent/sources/meminfo.py"}
    assert all(one.inside for one in users), says(users)


def test_reports_are_made_of_the_cores_values_alone() -> None:
    allowed = {"rich", "agent", "agent.core", "agent.report"}
    wrong = [
        one
        for one in imports("agent/report")
        if one.package not in allowed and not is_pythons_own(one.package)
    ]
    metrics = [one for one in wrong if one.package == "prometheus_client"]
    assert {one.file for one in metrics} <= METRICS_ALONE, says(metrics)
    assert wrong == metrics, says(wrong)


def test_rich_is_loaded_only_to_draw() -> None:
    users = [one for one in imports("agent") if one.package == "rich"]
    assert users
    assert all(one.inside and one.file.startswith("agent/report/") for one in users), says(users)


def test_click_is_known_to_the_command_line_alone() -> None:
    wrong = [
        one
        for one in imports("agent")
        if one.package == "click" and not one.file.startswith("agent/cli/")
    ]
    assert not wrong, says(wrong)


@pytest.mark.parametrize("layer", ["core", "sources", "report", "daemon"])
def test_nothing_below_knows_the_command_line(layer: str) -> None:
    wrong = [one for one in imports(f"agent/{layer}") if one.package == "agent.cli"]
    assert not wrong, says(wrong)


def test_the_agent_knows_no_simulation_but_when_the_command_line_is_asked_for_one() -> None:
    """A module of the command line may be about simulations; then it is loaded only when asked."""
    users = [one for one in imports("agent") if one.package in ("sim_backend", "tests")]
    wrong = [one for one in users if not one.file.startswith("agent/cli/")]
    about = {one.file.removesuffix(".py").replace("/", ".") for one in users if not one.inside}
    wrong += [one for one in imports("agent") if one.module in about and not one.inside]
    assert not wrong, says(wrong)


def test_the_simulation_knows_the_cores_values() -> None:
    wrong = [
        one
        for one in imports("sim_backend")
        if one.module.startswith("agent.")
        and one.package != "agent.core"
        and (one.file, one.module) not in SIMULATION_MAY
    ]
    assert not wrong, says(wrong)


def test_the_daemon_stays_within_its_memory() -> None:
    """What it imports itself, and everything that comes with it."""
    start = [one.module for one in imports("agent/daemon") if not one.inside]
    seen: set[str] = set()
    wrong: list[Import] = [
        one for one in imports("agent/daemon") if not one.inside and one.package in HEAVY
    ]
    while start:
        name = start.pop()
        if name in seen or not name.startswith("agent") or not _is_module(name):
            continue
        seen.add(name)
        path = TOP.joinpath(*name.split("."))
        file = path.with_suffix(".py")
        relative = str((file if file.exists() else path / "__init__.py").relative_to(TOP))
        loaded = [one for one in imports(relative) if not one.inside]
        wrong += [one for one in loaded if one.package in HEAVY]
        start += [one.module for one in loaded]
    assert not wrong, says(wrong)


def test_only_xl_is_started_and_only_by_one_module() -> None:
    """dom0's own tool is the one way to set a target and the hypervisor's limit together."""
    forbidden = {"subprocess", "multiprocessing", "pty"}
    users = [one for one in imports("agent") if one.package in forbidden]
    assert {(one.file, one.module) for one in users} == {("agent/xl.py", "subprocess")}, says(users)
    callers = {one.file for one in imports("agent") if one.module == "agent.xl"}
    assert callers <= {"agent/cli/host.py", "agent/cli/mem_set.py"}
    for path in files("agent"):
        text = path.read_text(encoding="utf-8")
        assert not any(word in text for word in ("os.system(", "os.popen(", "os.fork(", "os.spawn"))


@pytest.mark.parametrize("package", OURS)
def test_every_source_file_begins_with_its_licence(package: str) -> None:
    texts = {str(path): path.read_text(encoding="utf-8") for path in files(package)}
    assert not [name for name, text in texts.items() if text and not text.startswith(SPDX)]


@pytest.mark.parametrize("package", ["agent", "sim_backend"])
def test_every_module_is_of_readable_size_and_says_what_it_is_for(package: str) -> None:
    for path in files(package):
        text = path.read_text(encoding="utf-8")
        assert ast.get_docstring(ast.parse(text)), f"{path} has no docstring"
        assert len(text.splitlines()) <= LONGEST_LINES, f"{path} is too long"


@pytest.mark.parametrize("package", ["agent", "sim_backend"])
def test_files_and_modules_that_the_source_names_are_there(package: str) -> None:
    """In docstrings and comments; what a move leaves behind would send a reader astray."""
    gone = []
    for path in files(package):
        text = path.read_text(encoding="utf-8")
        gone += [
            (path.name, named)
            for named in re.findall(r"\b(?:agent|sim_backend|tests)/[\w/]+\.py\b", text)
            if not (TOP / named).exists()
        ]
        gone += [
            (path.name, named)
            for named in re.findall(r"`((?:agent|sim_backend|tests)(?:\.[a-z_]+)+)`", text)
            if not _is_module(named) and not _has_file(named.rpartition(".")[0])
        ]
    assert gone == []
