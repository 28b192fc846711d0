# SPDX-License-Identifier: GPL-2.0-or-later
"""Capture: the files behind a snapshot, as text by path, without what identifies a guest.

The result has the layout that `--root` reads: the kernel's own paths, `xenstore/<key>` for the
guest's keys, `kernel.log` for the lines of the boot that concern memory.
"""

from __future__ import annotations

import re
from typing import Final

from agent import __version__
from agent.sources import (
    boot_record,
    crash_kernel,
    firmware_memmap,
    hypervisor,
    iomem,
    kernel,
    kernel_config,
    kernel_log,
    meminfo,
    memory_blocks,
    pressure,
    processes,
    swaps,
    vmstat,
    xen_memory,
    zoneinfo,
)
from agent.sources.hypervisor import NIL_UUID
from agent.sources.system_root import LARGE_LIMIT_BYTES, SystemRoot
from agent.sources.xenstore.key_store import KeyStore

# Directories of the kernel that are copied, with all files directly in them or one level below.
_DIRECTORIES: Final = (firmware_memmap.DIRECTORY, xen_memory.DIRECTORY)
_FILES: Final = (
    f"{hypervisor.DIRECTORY}/type",
    f"{hypervisor.DIRECTORY}/guest_type",
    f"{hypervisor.DIRECTORY}/version/major",
    f"{hypervisor.DIRECTORY}/version/minor",
    f"{hypervisor.DIRECTORY}/version/extra",
    f"{hypervisor.DIRECTORY}/properties/features",
    f"{memory_blocks.DIRECTORY}/block_size_bytes",
    f"{memory_blocks.DIRECTORY}/auto_online_blocks",
    hypervisor.CAPABILITIES_FILE,
    kernel.RELEASE_FILE,
    kernel.UPTIME_FILE,
    kernel.HOTPLUG_FILE,
    meminfo.FILE,
    zoneinfo.FILE,
    pressure.FILE,
    iomem.FILE,
    boot_record.FILE,
    vmstat.FILE,
    crash_kernel.SIZE_FILE,
)
_KEYS: Final = (
    "domid",
    "control/feature-balloon",
    "data/meminfo_total",
    "data/balloon/state",
    "data/balloon/seq",
)
_WORD: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


def captured_files(root: SystemRoot, store: KeyStore) -> dict[str, str]:
    """Path below the capture -> text.  What cannot be read is left out."""
    files: dict[str, str] = {}
    paths = (*_FILES, *_below_directories(root), *_block_files(root))
    for path in (*paths, *processes.process_files(root)):
        text = root.read(path, LARGE_LIMIT_BYTES).value
        if text is not None:
            files[path] = text
    zram = swaps.zram_lines(root.read(swaps.FILE, swaps.LIMIT_BYTES).value or "")
    if zram:
        files[swaps.FILE] = zram
    options = kernel.read_memory_options(root).value
    if options is not None:
        files[kernel.CMDLINE_FILE] = " ".join(options) + "\n"
    if root.read(f"{hypervisor.DIRECTORY}/uuid").value == f"{NIL_UUID}\n":
        files[f"{hypervisor.DIRECTORY}/uuid"] = f"{NIL_UUID}\n"  # that of dom0 names nobody
    log = kernel_log.read_kernel_log_text(root).value
    if log is not None:
        lines = filter(kernel_log.is_relevant, log.split("\n"))
        files[kernel_log.CAPTURED_FILE] = "\n".join(map(kernel_log.without_names, lines)) + "\n"
    files |= _config_file(root) | _key_files(store)
    files["capture.txt"] = f"balloon-agent {__version__}\n"
    return files


def _config_file(root: SystemRoot) -> dict[str, str]:
    """Of the kernel's configuration, what concerns the balloon, as a file of text."""
    found = kernel_config.read_config_text(root).value
    if found is None:
        return {}
    text, path = found
    if path == kernel_config.GZIP_FILE:
        path = next(iter(kernel_config.candidates(kernel.read_release(root).value or "")), path)
    return {path: "\n".join(kernel_config.RELEVANT.findall(text)) + "\n"}


def _below_directories(root: SystemRoot) -> list[str]:
    found: list[str] = []
    for directory in _DIRECTORIES:
        for name in root.names(directory).value or ():
            if not _WORD.fullmatch(name) or name in ("uevent", "power", "subsystem"):
                continue
            path = f"{directory}/{name}"
            inner = root.names(path).value
            found += [path] if inner is None else [f"{path}/{part}" for part in inner]
    return found


def _block_files(root: SystemRoot) -> list[str]:
    blocks = memory_blocks.read_memory_blocks(root).value
    if blocks is None:
        return []
    return [memory_blocks.state_file(block) for block in (*blocks.online, *blocks.offline)]


def _key_files(store: KeyStore) -> dict[str, str]:
    """The guest's memory keys, and a few that tell how far an agent came."""
    keys = [*(f"memory/{name}" for name in store.names("memory").value or ()), *_KEYS]
    found: dict[str, str] = {}
    for key in keys:
        value = store.read(key).value
        if value is not None and all(_WORD.fullmatch(part) for part in key.split("/")):
            found[f"xenstore/{key}"] = value[:4096].decode("utf-8", "backslashreplace")
    return found
