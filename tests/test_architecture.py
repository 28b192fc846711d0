# SPDX-License-Identifier: GPL-2.0-or-later
"""The layers, held by reading the imports of every source file."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import pytest

TOP: Final = Path(__file__).parents[1]
SPDX: Final = "# SPDX-License-Identifier: GPL-2.0-or-later\n"
OURS: Final = ("agent", "sim_backend", "tests")
LONGEST_LINES: Final = 400

# What the core may use of the standard library: nothing that can do input or output.
PURE: Final = {
    "bisect", "collections", "enum", "functools", "heapq", "itertools", "math", "re", "statistics",
    "string", "types", "typing",
}  # fmt: skip
# What the daemon's resident memory does not allow.
HEAVY: Final = {
    "asyncio", "click", "dataclasses", "http", "logging", "pathlib", "rich", "subprocess",
    "tempfile",
}  # fmt: skip

# The only file that knows the optional package.
METRICS_ALONE: Final = "agent/report/metrics_text.py"

# What the simulation may know beyond the core and the seam: (file, module).
SIMULATION_MAY: Final[set[tuple[str, str]]] = set()


class Import(NamedTuple):
    """One module that a file imports; `inside`: within a function, so only when it runs."""

    file: str
    line: int
    module: str
    inside: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"

    @property
    def package(self) -> str:
        """`agent.core` of `agent.core.units`, `os` of `os.path`."""
        parts = self.module.split(".")
        return ".".join(parts[:2]) if parts[0] == "agent" else parts[0]


class _Imports(ast.NodeVisitor):
    """Collects imports; what stands below `if TYPE_CHECKING` never runs and is left out."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.found: list[Import] = []
        self._depth = 0

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1

    def visit_If(self, node: ast.If) -> None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self._add(node, [alias.name for alias in node.names])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.level == 0, f"{self.file}:{node.lineno}: a relative import hides the layer"
        assert node.module is not None
        below = [f"{node.module}.{alias.name}" for alias in node.names]
        files = [name for name in below if _is_module(name)]
        self._add(node, files or [node.module])

    def _add(self, node: ast.stmt, modules: list[str]) -> None:
        self.found += [Import(self.file, node.lineno, name, self._depth > 0) for name in modules]


def _is_module(name: str) -> bool:
    """Whether `a.b.c` is a file of this project."""
    path = TOP.joinpath(*name.split("."))
    return name.split(".", maxsplit=1)[0] in OURS and (
        path.with_suffix(".py").exists() or path.is_dir()
    )


def files(*below: str) -> Iterator[Path]:
    for name in below:
        path = TOP / name
        yield from [path] if path.is_file() else sorted(path.rglob("*.py"))


def imports(*below: str) -> list[Import]:
    return [one for path in files(*below) for one in imports_of(path)]


@cache
def imports_of(path: Path) -> tuple[Import, ...]:
    visitor = _Imports(str(path.relative_to(TOP)))
    visitor.visit(ast.parse(path.read_text(encoding="utf-8")))
    return tuple(visitor.found)


def says(found: list[Import]) -> str:
    return "\n".join(str(one) for one in found)


def test_the_core_is_pure() -> None:
    wrong = [one for one in imports("agent/core") if one.package not in {*PURE, "agent.core"}]
    assert not wrong, says(wrong)


def test_the_sources_know_only_the_core() -> None:
    third_party = {"pyxs", "psutil"}
    wrong = [
        one
        for one in imports("agent/sources")
        if one.package
        not in {*sys.stdlib_module_names, *third_party, "agent.core", "agent.sources"}
    ]
    assert not wrong, says(wrong)


def test_pyxs_is_known_to_one_module() -> None:
    users = {one.file for one in imports("agent") if one.package == "pyxs"}
    assert users == {"agent/sources/xenstore_pyxs.py"}


def test_psutil_is_known_to_one_module_and_loaded_when_it_is_asked() -> None:
    users = [one for one in imports("agent") if one.package == "psutil"]
    assert {one.file for one in users} == {"agent/sources/meminfo.py"}
    assert all(one.inside for one in users), says(users)


def test_reports_are_made_of_the_cores_values_alone() -> None:
    allowed = {*sys.stdlib_module_names, "rich", "agent", "agent.core", "agent.report"}
    wrong = [one for one in imports("agent/report") if one.package not in allowed]
    metrics = [one for one in wrong if one.package == "prometheus_client"]
    assert {one.file for one in metrics} <= {"agent/report/metrics_text.py"}, says(metrics)
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


def test_the_simulation_knows_the_cores_values_and_the_seam() -> None:
    allowed = {"agent.core", "agent.sources.domain"}
    wrong = [
        one
        for one in imports("sim_backend")
        if one.module.startswith("agent.")
        and not {one.package, one.module} & allowed
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


def test_reading_a_guest_starts_no_process() -> None:
    forbidden = {"subprocess", "multiprocessing", "pty"}
    wrong = [one for one in imports("agent") if one.package in forbidden]
    assert not wrong, says(wrong)
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
