# SPDX-License-Identifier: GPL-2.0-or-later
"""Picks the few kernel modules the lab needs and the order to load them in.

Packages carry no modules.dep (it is made when they are installed), but every module names what
it needs in its .modinfo section: `depends=jbd2,mbcache` and `softdep=pre: crc32c`. With the
order worked out here an initramfs needs insmod only.
"""

from __future__ import annotations

import lzma
import re
from collections.abc import Iterable
from pathlib import Path

from tests.xenlab.errors import LabError


class ModuleTree:
    """The modules below lib/modules/VERSION of an unpacked kernel package."""

    def __init__(self, root: Path) -> None:
        self._files = {_plain(path.name): path for path in root.rglob("*.ko*")}
        self._contents: dict[str, bytes] = {}
        builtin = (root / "modules.builtin").read_text().splitlines()
        self._builtin = {_plain(Path(line).name) for line in builtin}

    def has(self, name: str) -> bool:
        """Tell whether NAME is a module file (a built-in one is not)."""
        return name in self._files

    def content(self, name: str) -> bytes:
        """Return a module, unpacked."""
        if name not in self._contents:
            path = self._files[name]
            data = path.read_bytes()
            self._contents[name] = lzma.decompress(data) if path.suffix == ".xz" else data
        return self._contents[name]

    def load_order(self, wanted: Iterable[str]) -> list[str]:
        """Return WANTED and all they depend on, each after what it needs.

        Raises:
            LabError: a module is neither a file nor built in.
        """
        order: list[str] = []
        for name in wanted:
            self._visit(name, order, optional=False)
        return order

    def _visit(self, name: str, order: list[str], *, optional: bool) -> None:
        if name in order or name in self._builtin:
            return
        if name not in self._files:
            if optional:  # A soft dependency may name an alias.
                return
            raise LabError(f"this kernel has no module {name}")
        needs, likes = _dependencies(self.content(name))
        for other in likes:
            self._visit(other, order, optional=True)
        for other in needs:
            self._visit(other, order, optional=False)
        order.append(name)


def _dependencies(module: bytes) -> tuple[list[str], list[str]]:
    needs = re.search(rb"\0depends=([^\0]*)\0", module)
    soft = re.findall(rb"\0softdep=pre: ([^\0]*)\0", module)
    likes = [name for names in soft for name in re.split(rb"\s+post:", names)[0].split()]
    hard = needs.group(1).split(b",") if needs and needs.group(1) else []
    return [_plain(n.decode()) for n in hard], [_plain(n.decode()) for n in likes]


def _plain(name: str) -> str:
    return re.sub(r"\.ko(\.\w+)?$", "", name).replace("-", "_")
