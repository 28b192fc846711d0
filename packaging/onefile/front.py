# SPDX-License-Identifier: GPL-2.0-or-later
"""`__main__` of the one file: finds the code compiled for the Python that runs it, and starts.

In front of the file's zip, below its `#!` line, stand lines `# code CACHE_TAG BYTES` and, after an
empty line, that many bytes for each (packaging/onefile/build.py writes them). A Python that finds
none of its own compiles the sources in the zip, which takes longer and gives the same.
"""

import marshal
import os
import sys
import zlib
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


class CompiledModules:
    """A finder and loader of modules; the file stays open, so that replacing it does no harm."""

    def __init__(self, archive: str, descriptor: int, start: int) -> None:
        self._archive = archive
        self._descriptor = descriptor
        size = int.from_bytes(os.pread(descriptor, 4, start), "big")
        self._modules = marshal.loads(os.pread(descriptor, size, start + 4))  # noqa: S302 - our own
        self._start = start + 4 + size

    def find_spec(self, name: str, *_: object) -> "ModuleSpec | None":
        """Where a module is; None for those of Python, and those below what is not compiled."""
        if name not in self._modules:
            return None
        found = self._modules[name]
        if found is None:  # a package as source alone: zipimport reads its list of files anew
            sys.path_importer_cache.pop(self._archive, None)
            return PathFinder.find_spec(name, [self._archive])
        is_package = found[2]
        below = os.path.join(self._archive, *name.split("."))
        origin = os.path.join(below, "__init__.py") if is_package else f"{below}.py"
        spec = ModuleSpec(name, self, origin=origin, is_package=is_package)
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations = [below]
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """An ordinary module."""

    def exec_module(self, module: ModuleType) -> None:
        """Run its code."""
        exec(self.get_code(module.__name__), module.__dict__)  # noqa: S102

    def get_code(self, name: str) -> object:
        """What `exec` runs."""
        offset, size, _ = self._modules[name]
        packed = os.pread(self._descriptor, size, self._start + offset)
        return marshal.loads(zlib.decompress(packed))  # noqa: S302 - our own

    def get_data(self, path: str) -> bytes:
        """A file of the zip."""
        from zipimport import zipimporter  # noqa: PLC0415 - seldom asked for

        return zipimporter(self._archive).get_data(path)


def compiled_modules(archive: str) -> "CompiledModules | None":
    """Those for this Python, if the file has them."""
    descriptor = os.open(archive, os.O_RDONLY | os.O_CLOEXEC)
    head = os.pread(descriptor, 4096, 0)
    start = head.index(b"\n\n") + 2
    for line in head[:start].splitlines():
        words = line.split()
        if words[:2] == [b"#", b"code"]:
            if words[2].decode() == sys.implementation.cache_tag:
                return CompiledModules(archive, descriptor, start)
            start += int(words[3])
    os.close(descriptor)
    return None


def use_compiled_modules(archive: str) -> None:
    """Find modules compiled for this Python, where the file has them.

    zipimport's list of the files inside, a quarter of a MiB, is then wanted only for those that are
    not compiled (OneFile): until one is asked for, the entry of sys.path is passed over, and the
    list let go. Without the attribute, which is zipimport's own, nothing but that is lost.
    """
    archive = os.path.abspath(archive)
    modules = compiled_modules(archive)
    if modules is None:
        return
    sys.meta_path.insert(0, modules)
    import zipimport  # noqa: PLC0415 - loaded, as this came out of a zip

    listed = getattr(zipimport, "_zip_directory_cache", {})
    for name in {*sys.path, *listed}:
        if os.path.abspath(name) == archive:
            sys.path_importer_cache[name] = None  # from Python 3.13 on it would read them again
            listed.pop(name, {}).clear()  # also for the importer that runs this


if __name__ == "__main__":
    if sys.version_info < (3, 9):  # noqa: UP036 - whatever runs a file that was copied there
        sys.exit(f"balloon-agent needs Python 3.9 or later; this is {sys.version.split()[0]}.")
    use_compiled_modules(sys.path[0])

    from agent.cli.main import main

    sys.exit(main())
