# SPDX-License-Identifier: GPL-2.0-or-later
"""xl and xenstore as dom0 uses them: the view from outside."""

from __future__ import annotations

import subprocess
from typing import Final, NamedTuple

from tests.xenlab.dom0.settings import PATIENCE, XENSTORED

TIMED_OUT: Final = 124
XENSTORED_PROGRAM: Final = {"ocaml": "oxenstored", "c": "xenstored"}[XENSTORED]


class Done(NamedTuple):
    """What came of a command, in dom0 or in a guest."""

    status: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        """Return the standard output as text without the last newline."""
        return self.out.decode(errors="replace").rstrip("\n")

    def __str__(self) -> str:
        err = self.err.decode(errors="replace").strip()
        return f"exit status {self.status}: {self.text} {err}".strip()


def run(argv: list[str], timeout_s: float = 120, user: int | None = None) -> Done:
    """Run a command in dom0, as root or as the user with that number."""
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    )
    try:
        out, err = process.communicate(timeout=timeout_s * PATIENCE)
    except subprocess.TimeoutExpired as expired:
        # Not waited for: what waits for a dead xenstored within the kernel cannot be killed.
        process.kill()
        return Done(TIMED_OUT, expired.stdout or b"", expired.stderr or b"")
    return Done(process.returncode, out, err)


def must(argv: list[str], timeout_s: float = 120) -> str:
    """Run a command in dom0 that has to succeed; return its output."""
    done = run(argv, timeout_s)
    if done.status:
        raise RuntimeError(f"{' '.join(argv)}: {done}")
    return done.text


def xenstored_pid() -> str:
    """Return the process that is xenstored now."""
    return must(["pgrep", "-o", XENSTORED_PROGRAM])


def xenstore_read(path: str) -> str | None:
    """Return a key's value, None if it is not there."""
    done = run(["xenstore-read", path])
    return done.text if done.status == 0 else None


def memory_key(domid: int, key: str) -> str | None:
    """Return a value below a domain's `memory`."""
    return xenstore_read(f"/local/domain/{domid}/memory/{key}")


def listed_mib(domid: int) -> int:
    """Return the memory that `xl list` shows of a domain, in MiB."""
    return int(must(["xl", "list", str(domid)]).splitlines()[-1].split()[2])


def exists(domid: int) -> bool:
    """Tell whether a domain is there and not dying."""
    listed = run(["xl", "list", str(domid)])
    return listed.status == 0 and "d" not in listed.text.splitlines()[-1].split()[4]
