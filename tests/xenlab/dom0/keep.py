# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps the evidence of a moment: for a failed case, and for the fixtures of other tests."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tests.xenlab.dom0 import toolstack
from tests.xenlab.dom0.console import GoneError
from tests.xenlab.dom0.guest import Domain
from tests.xenlab.model import GuestSpec

VIEW_WITHIN_S: Final = 60.0
MOVE_AFTER_S: Final = 10.0
"""So that the program that waits for the move has started."""
CAPTURE: Final = ["python3", "-m", "tests.xenlab.guest.capture"]
DOM0_VIEWS: Final = {
    "xl-list.txt": ["xl", "list"],
    "xl-dmesg.txt": ["xl", "dmesg"],
    "xenstore.txt": ["xenstore-ls", "-fp", "/local/domain"],
}
GUEST_VIEWS: Final = {
    "kernel.log": ["dmesg"],
    "journal.txt": ["journalctl", "--boot", "--no-pager"],
    "status.txt": ["balloon-agent", "status"],
    "doctor.json": ["balloon-agent", "doctor", "--json"],
    "processes.txt": ["ps", "axo", "pid,rss,stat,args"],
}


def keep_failure(domain: Domain, folder: Path, complaint: str) -> None:
    """Write all that helps to understand a failure; a dead guest cannot prevent it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "failure.txt").write_text(complaint + "\n")
    for name, argv in DOM0_VIEWS.items():
        (folder / name).write_bytes(toolstack.run(argv, VIEW_WITHIN_S).out)
    with contextlib.suppress(GoneError, RuntimeError):
        for name, argv in GUEST_VIEWS.items():
            done = domain.run(argv, timeout_s=VIEW_WITHIN_S)
            (folder / name).write_bytes(done.out + done.err)
        (folder / "capture.tar.gz").write_bytes(domain.run(CAPTURE).out)
    (folder / "console.log").write_bytes(domain.console_log())


def keep_capture(
    domain: Domain,
    spec: GuestSpec,
    folder: Path,
    *,
    done: Mapping[str, str],
    move: Callable[[], object] | None = None,
) -> None:
    """Capture a domain from inside and from outside.

    Args:
        domain: what to capture.
        spec: how it was made.
        folder: where capture.tar.gz, meta.json and xl-list.txt go.
        done: `dom0_command` or `guest_command`, what was done just before.
        move: sets the balloon moving; the capture is then taken while it moves.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if move is None:
        taken = domain.run(CAPTURE)
        listed = toolstack.must(["xl", "list"])
    else:
        number = domain.start([*CAPTURE, "--once-moving", "30"])
        move()
        time.sleep(MOVE_AFTER_S)
        move()
        listed = toolstack.must(["xl", "list"])
        taken = domain.finish(number)
    assert taken.status == 0, f"capturing failed: {taken}"
    (folder / "capture.tar.gz").write_bytes(taken.out)
    (folder / "xl-list.txt").write_text(listed + "\n")
    meta = {
        "domain_type": domain.domain_type,
        "memory_mib": str(spec.memory_mib),
        "maxmem_mib": str(spec.maxmem_mib),
        "vcpus": spec.vcpus,
        "kernel_from": spec.kernel,
        "config": list(spec.config),
        "command_line": list(spec.command_line),
        "moving": move is not None,
        **done,
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")
