# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be broken in a file by changing one expression or taking out one statement."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final, NamedTuple

COMPARISONS: Final = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
    ast.In: "not in", ast.NotIn: "in", ast.Is: "is not", ast.IsNot: "is",
}  # fmt: skip
ARITHMETIC: Final = {ast.Add: "-", ast.Sub: "+", ast.Mult: "//", ast.FloorDiv: "*", ast.Mod: "*"}
OTHER_NAME: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}
KINDS: Final = (
    "comparison", "and-or", "arithmetic", "min-max", "constant", "condition", "operand", "result",
    "statement", "word",
)  # fmt: skip


class Break(NamedTuple):
    """The bytes from `start` to `end` of a file become others."""

    kind: str
    line: int
    start: int
    end: int
    was: str
    becomes: str

    def done_to(self, source: bytes) -> bytes:
        """The file with it."""
        return source[: self.start] + self.becomes.encode() + source[self.end :]

    def __str__(self) -> str:
        was, becomes = (" ".join(text.split())[:60] for text in (self.was, self.becomes))
        return f"line {self.line}, {self.kind}: {was!r} becomes {becomes!r}"


def breaks_of(source: bytes) -> list[Break]:
    """Every one, in the order of the file; see `is_another_program`."""
    found = {(one.start, one.end, one.becomes): one for one in _File(source).breaks()}
    return [one for _, one in sorted(found.items())]


def is_another_program(one: Break, source: bytes) -> bool:
    """Whether the file with it is Python, and not the same."""
    try:
        return ast.dump(ast.parse(one.done_to(source))) != ast.dump(ast.parse(source))
    except SyntaxError:
        return False


class _File:
    """A file's text and tree."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._tree = ast.parse(source)
        self._lines = [0]
        for line in source.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))
        self._untold = set(self._unread())

    def breaks(self) -> Iterator[Break]:
        functions = [n for n in ast.walk(self._tree) if isinstance(n, ast.FunctionDef)]
        run = {id(node) for function in functions for node in ast.walk(function)}
        for node in ast.walk(self._tree):
            if id(node) not in self._untold:
                yield from self._of_operator(node)
                yield from self._of_value(node)
                if id(node) in run:
                    yield from self._of_statement(node)

    def _unread(self) -> Iterator[int]:
        """Types, which nothing runs, and f-strings, of which Python tells the place since 3.12."""
        for node in ast.walk(self._tree):
            parts = [getattr(node, "annotation", None), getattr(node, "returns", None)]
            if isinstance(node, ast.Subscript) and self._text(node.value) in ("Literal", "Union"):
                parts.append(node)
            if isinstance(node, ast.JoinedStr):
                parts += node.values
            for part in parts:
                if part is not None:
                    yield from map(id, ast.walk(part))

    def _of_operator(self, node: ast.AST) -> Iterator[Break]:
        if isinstance(node, ast.Compare):
            operands = [node.left, *node.comparators]
            for operator, first, second in zip(node.ops, operands, operands[1:]):
                yield self._between("comparison", first, second, COMPARISONS[type(operator)])
        elif isinstance(node, ast.BoolOp):
            other = "or" if isinstance(node.op, ast.And) else "and"
            neutral = "True" if isinstance(node.op, ast.And) else "False"
            for first, second in zip(node.values, node.values[1:]):
                yield self._between("and-or", first, second, other)
            for value in node.values:
                yield self._instead("operand", value, neutral)
        elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
            yield self._between("arithmetic", node.left, node.right, ARITHMETIC[type(node.op)])

    def _of_value(self, node: ast.AST) -> Iterator[Break]:
        if isinstance(node, ast.Name) and node.id in OTHER_NAME:
            yield self._instead("min-max", node, OTHER_NAME[node.id])
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
            yield self._instead("constant", node, str(not node.value))
        elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            for sign in "+-":
                yield self._instead("constant", node, f"({self._text(node)} {sign} 1)")
        elif isinstance(node, (ast.Tuple, ast.Set)) and len(node.elts) > 2:
            words = all(isinstance(e, ast.Constant) and isinstance(e.value, str) for e in node.elts)
            for word, after in zip(node.elts, node.elts[1:] if words else ()):
                yield self._cut("word", word, after)

    def _of_statement(self, node: ast.AST) -> Iterator[Break]:
        if isinstance(node, ast.Return) and node.value is not None:
            if not (isinstance(node.value, ast.Constant) and node.value.value in (None, False)):
                truth = isinstance(node.value, (ast.Compare, ast.BoolOp))
                becomes = f"not ({self._text(node.value)})" if truth else "None"
                yield self._instead("result", node.value, becomes)
        elif isinstance(node, (ast.Assign, ast.AugAssign, ast.Continue, ast.Break, ast.Raise)) or (
            isinstance(node, ast.Expr) and isinstance(node.value, (ast.Call, ast.Yield))
        ):
            yield self._instead("statement", node, "pass")
        elif isinstance(node, (ast.If, ast.IfExp, ast.While)):
            for becomes in (f"(not ({self._text(node.test)}))", "True", "False"):
                yield self._instead("condition", node.test, becomes)
        elif isinstance(node, ast.comprehension):
            for test in node.ifs:
                yield self._instead("condition", test, "True")

    def _instead(self, kind: str, node: ast.expr | ast.stmt, becomes: str) -> Break:
        start, end = self._start(node), self._end(node)
        return self._break(kind, node, start, end, becomes)

    def _between(self, kind: str, first: ast.expr, second: ast.expr, becomes: str) -> Break:
        """Of the operator between two operands, which may stand in brackets."""
        start, end = self._end(first), self._start(second)
        between = self._source[start:end]
        bare = between.strip(b" \n()")
        start += between.index(bare)
        return self._break(kind, first, start, start + len(bare), becomes)

    def _cut(self, kind: str, word: ast.expr, after: ast.expr) -> Break:
        return self._break(kind, word, self._start(word), self._start(after), "")

    def _break(
        self, kind: str, node: ast.expr | ast.stmt, start: int, end: int, becomes: str
    ) -> Break:
        was = self._source[start:end].decode()
        return Break(kind, node.lineno, start, end, was, becomes)

    def _text(self, node: ast.expr) -> str:
        return self._source[self._start(node) : self._end(node)].decode()

    def _start(self, node: ast.expr | ast.stmt) -> int:
        return self._lines[node.lineno - 1] + node.col_offset

    def _end(self, node: ast.expr | ast.stmt) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._lines[node.end_lineno - 1] + node.end_col_offset
