# SPDX-License-Identifier: GPL-2.0-or-later
"""The program as one file: a `#!` line, code compiled for some Pythons, a zip of the sources.

    #!/usr/bin/python3 -I
    # code cpython-39 1350400
    # code cpython-311 1370111
    <empty line><the first code><the second><the zip>

`packaging/onefile/front.py`, the zip's `__main__`, reads this. Why not the zip alone: Python then
compiles what it imports at each start, which takes 2.4 times as long (measured), and its zip
importer keeps a record of every file in memory.
"""

from __future__ import annotations

import io
import marshal
import os
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from types import CodeType
from typing import Final, NamedTuple

NAME: Final = "balloon-agent"
_MAIN: Final = "__main__.py"
# Used by few and for long, so that compiling it does not count.
_NOT_COMPILED: Final = ("prometheus_client/", "sim_backend/")


class OneFile(NamedTuple):
    """Its parts; `notes` are the other lines below the first that begin with #."""

    interpreter: str
    notes: tuple[str, ...]
    codes: dict[str, bytes]
    archive: bytes

    def joined(self) -> bytes:
        lines = [f"#!{self.interpreter}", *self.notes]
        lines += [f"# code {tag} {len(code)}" for tag, code in self.codes.items()]
        return "\n".join([*lines, "\n"]).encode() + b"".join(self.codes.values()) + self.archive


def path_of_this() -> str | None:
    """The one file that is running; None for an installation of many."""
    above = os.path.dirname(os.path.abspath(__file__))
    while not os.path.exists(above):
        above = os.path.dirname(above)
    return above if os.path.isfile(above) else None


def taken_apart(path: str) -> OneFile:
    """The parts of a one file.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        content = file.read()
    start = content.index(b"\n\n") + 2
    first, *lines = content[:start].decode().splitlines()
    codes = {}
    for words in (line.split() for line in lines if line.startswith("# code ")):
        codes[words[2]] = content[start : start + int(words[3])]
        start += int(words[3])
    notes = tuple(line for line in lines if line and not line.startswith("# code "))
    return OneFile(first.removeprefix("#!"), notes, codes, content[start:])


def compiled(sources: Iterable[tuple[str, bytes]]) -> bytes:
    """An index, and each module's code on its own, for the Python that runs this.

    The index has a package that is not compiled, too, with None: whoever looks for it is to find
    this one, and no other that is installed.

    Args:
        sources: the path below the import path and the text of each module.
    """
    index: dict[str, tuple[int, int, bool] | None] = {}
    body = []
    offset = 0
    for name, text in sources:
        if name == _MAIN:
            continue
        if name.startswith(_NOT_COMPILED):
            index[name.partition("/")[0]] = None
            continue
        code = compile(text, f"{NAME}/{name}", "exec", dont_inherit=True)
        held = list(_strings(code))
        raw = zlib.compress(marshal.dumps(code), 9)
        del held
        module = name.removesuffix(".py").replace("/", ".")
        index[module.removesuffix(".__init__")] = (offset, len(raw), module.endswith(".__init__"))
        body.append(raw)
        offset += len(raw)
    head = marshal.dumps(index)
    return len(head).to_bytes(4, "big") + head + b"".join(body)


def _strings(found: object) -> Iterator[str]:
    """Every string that code refers to.

    marshal marks what is referred to more than once (Python/marshal.c, w_ref), and a name may be
    held elsewhere in this process or not; while all are held here, the same code gives the same
    bytes everywhere.
    """
    if isinstance(found, str):
        yield found
    elif isinstance(found, (tuple, frozenset)):
        for one in found:
            yield from _strings(one)
    elif isinstance(found, CodeType):
        yield from (found.co_name, found.co_filename, getattr(found, "co_qualname", ""))
        for many in (found.co_names, found.co_varnames, found.co_freevars, found.co_cellvars):
            yield from many
        yield from _strings(found.co_consts)


def for_this_python(path: str, note: str) -> bytes:
    """The one file at `path`, started by the Python that runs this and with code for it."""
    whole = taken_apart(path)
    tag = sys.implementation.cache_tag
    codes = whole.codes
    if tag is not None and tag not in codes:
        with zipfile.ZipFile(io.BytesIO(whole.archive)) as archive:
            names = sorted(name for name in archive.namelist() if name.endswith(".py"))
            codes = {**codes, tag: compiled((name, archive.read(name)) for name in names)}
    return OneFile(f"{sys.executable} -I", (note,), codes, whole.archive).joined()
