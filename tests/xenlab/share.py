# SPDX-License-Identifier: GPL-2.0-or-later
"""The folder that dom0 sees as /lab, and what guests find there.

tests/xenlab/...   the lab's own sources, imported under the same names as here
tests/contract/... tests that are run in a guest, with what they need of tests/support
agent.whl          the agent to test
payload.cpio       the same two for guests, laid behind their initramfs
bundled.cpio       the package with its libraries inside, for guests with another user space
debs.cpio          the agent's Debian packages for guests that get these instead (packages.py)
run.json           what holds for the whole run
events.jsonl       written by dom0: what happened and that it wants to know what to play next
orders.jsonl       the answers: a scenario's name, null for nothing more
kept/              written by dom0: evidence of failures, timelines, captures
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.xenlab.build import cpio
from tests.xenlab.paths import LAB_SOURCES, REPOSITORY

WHEEL: Final = "agent.whl"
SYSTEMD: Final = "agent-systemd"
SHARE: Final = "share"
EVENTS: Final = "events.jsonl"
ORDERS: Final = "orders.jsonl"
DRIVER_LOG: Final = "driver.log"
KEPT: Final = "kept"
CONTRACT: Final = ("contract", "support/xenstored")
NOT_SHARED: Final = shutil.ignore_patterns("__pycache__", "*.pyc")


def prepare(share: Path, wheel: Path, run: dict[str, Any], testing: Path | None = None) -> None:
    """Fill an empty folder for a run.

    Args:
        share: the folder.
        wheel: the agent to test.
        run: what to do.
        testing: the artifact with pytest, if guests run tests themselves.
    """
    package = share / "tests"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    shutil.copytree(LAB_SOURCES, package / "xenlab", ignore=NOT_SHARED)
    for name in CONTRACT:
        shutil.copytree(REPOSITORY / "tests" / name, package / name, ignore=NOT_SHARED)
    (package / "support/__init__.py").touch()
    shutil.copy(wheel, share / WHEEL)
    shutil.copytree(REPOSITORY / "systemd", share / SYSTEMD)
    (share / "payload.cpio").write_bytes(_payload(share, testing))
    (share / "run.json").write_text(json.dumps(run, indent=1) + "\n")
    (share / EVENTS).touch()
    (share / ORDERS).touch()


def _payload(share: Path, testing: Path | None) -> bytes:
    lab = share / "tests/xenlab"
    top = "payload"
    return cpio.archive(
        [
            cpio.folder(top),
            cpio.file(f"{top}/{WHEEL}", (share / WHEEL).read_bytes()),
            *cpio.tree(share / SYSTEMD, f"{top}/{SYSTEMD}"),
            cpio.folder(f"{top}/tests"),
            cpio.file(f"{top}/tests/__init__.py", b""),
            cpio.folder(f"{top}/tests/xenlab"),
            cpio.file(f"{top}/tests/xenlab/__init__.py", b""),
            *cpio.tree(lab / "guest", f"{top}/tests/xenlab/guest"),
            *cpio.tree(lab / "guest/units", f"{top}/units"),
            *(_tests(share / "tests", testing) if testing else ()),
        ]
    )


def _tests(tests: Path, testing: Path) -> Iterator[cpio.Entry]:
    """Yield the tests that a guest runs itself, and what runs them."""
    yield from cpio.tree(testing / "modules", "payload/testing")
    yield cpio.folder("payload/tests/support")
    yield cpio.file("payload/tests/support/__init__.py", b"")
    for name in CONTRACT:
        yield from cpio.tree(tests / name, f"payload/tests/{name}")
