# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a printed fix is pasted: a shell in the guest, and one on its host.

In the guest it is the real /bin/sh, over the guest's files in a directory: what it writes there is
written to the simulated kernel.  On the host `xl`, `xm`, `xe`, `qvm-prefs` and `xenstore-write` are
the simulated toolstacks, which read their arguments as the real ones do.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from agent.core.findings.finding import Fix
from sim_backend.host.xapi import Xapi
from sim_backend.stories.scenario import Stage
from tests.cli.findings_shown import Living

_UNTOUCHED_NS: Final = 1_000_000_000
_SIZE: Final = re.compile(r"([0-9]+)([kmg]?)b?", re.IGNORECASE)
_UNIT_KIB: Final = {"k": 1, "": 1024, "m": 1024, "g": 1024 * 1024}  # xl: MiB without a suffix
_AGENTS: Final = {
    "xe-linux-distribution": "xe-daemon",
    "qubes-meminfo-writer": "meminfo-writer",
}


class RefusedError(Exception):
    """The command ended with an error; the text is what it would print."""


def paste(fix: Fix, guest: Living, directory: Path) -> Living:
    """The guest after every command of the fix was executed, in order, where it belongs.

    Raises:
        RefusedError: one of them failed.
    """
    for command in fix.commands:
        if fix.where == "guest":
            guest = _in_guest(command, guest, directory)
        else:
            guest = _on_host(command, guest)
    return guest


def _in_guest(command: str, guest: Living, directory: Path) -> Living:
    words = shlex.split(command)
    if words[0] == "systemctl":
        return _systemctl(words, guest)
    domain = guest.stage.domain
    for path, text in domain.files().items():
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        os.utime(file, ns=(_UNTOUCHED_NS, _UNTOUCHED_NS))
    mapped = command.replace("/sys/", f"{shlex.quote(str(directory))}/sys/")
    ended = subprocess.run(
        ["/bin/sh", "-e", "-c", mapped], capture_output=True, text=True, timeout=10, check=False
    )
    if ended.returncode:
        raise RefusedError(ended.stderr)
    for path in domain.files():
        file = directory / path
        if file.stat().st_mtime_ns != _UNTOUCHED_NS:
            domain.write_file(path, file.read_text(encoding="utf-8"))
    return guest


def _systemctl(words: list[str], guest: Living) -> Living:
    """Starts, stops and restarts the agents of this guest."""
    action, unit = words[1], words[-1].removesuffix(".service")
    name = _AGENTS.get(unit, unit)
    domain = guest.stage.domain
    files = dict(guest.files)
    if action == "disable":
        files = {path: text for path, text in files.items() if f"({name})" not in text}
    elif name == "balloon-agent":
        files = {path: text for path, text in files.items() if not path.endswith("status.json")}
        if domain.store.guest_may_write("control/feature-balloon"):
            domain.store.write("control/feature-balloon", "1")
    elif action == "restart":
        domain.store.write("data/meminfo_total", str(domain.memory.managed_kib))
    else:
        raise RefusedError(f"Unit {unit}.service not found.")
    return Living(guest.stage, files)


def _on_host(command: str, guest: Living) -> Living:
    words = shlex.split(command)
    try:
        stage = _TOOLS[words[0]](words[1:], guest.stage)
    except Exception as error:
        raise RefusedError(f"{command}: {error!r}") from error
    if stage is guest.stage:
        return Living(stage, guest.files)
    return Living(stage, {path: t for path, t in guest.files.items() if path != "kernel.log"})


def _xl(words: list[str], stage: Stage) -> Stage:
    assert words[0] == "mem-set"
    assert int(words[1]) == stage.domain.domid
    match = _SIZE.fullmatch(words[2])
    assert match
    stage.toolstack.mem_set(stage.domain, int(match[1]) * _UNIT_KIB[match[2].lower()])
    return stage


def _xe(words: list[str], stage: Stage) -> Stage:
    assert words[0] == "vm-memory-dynamic-range-set"
    given = dict(word.split("=", 1) for word in words[1:])
    assert given["uuid"] == stage.domain.config.uuid
    assert isinstance(stage.toolstack, Xapi)
    low_kib, high_kib = (int(given[end].removesuffix("MiB")) * 1024 for end in ("min", "max"))
    stage.toolstack.set_dynamic_range(stage.domain, low_kib, high_kib)
    return stage


def _qvm_prefs(words: list[str], stage: Stage) -> Stage:
    """A property, and the qube's next start with it; maxmem 0 takes it out of the balancing."""
    name, key, value = words
    config = stage.domain.config
    assert (name, key) == (config.name, "maxmem")
    most_kib = int(value) * 1024 or config.memory_kib
    stage.toolstack.destroy(stage.domain)
    domain = stage.toolstack.create(replace(config, maxmem_kib=most_kib))
    return Stage(stage.toolstack, domain)


def _xenstore_write(words: list[str], stage: Stage) -> Stage:
    path, value = words
    prefix = f"/local/domain/{stage.domain.domid}/"
    assert path.startswith(prefix)
    stage.domain.store.write(path[len(prefix) :], value)
    return stage


_TOOLS: Final[Mapping[str, Callable[[list[str], Stage], Stage]]] = {
    "xl": _xl,
    "xm": _xl,
    "xe": _xe,
    "qvm-prefs": _qvm_prefs,
    "xenstore-write": _xenstore_write,
}
