# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures that every test may ask for by name, and a limit on the memory of a run."""

import resource
from typing import Final

import pytest

from tests.support.xenstored.fixtures import dom0, guest, xenstored

__all__ = ["dom0", "guest", "xenstored"]

# Address space of a whole run: a test that runs away fails with MemoryError, and takes nobody
# else's memory with it.  The machine that tests on a real Xen boot needs more than this.
_MOST_BYTES: Final = 6 << 30


def pytest_sessionstart(session: pytest.Session) -> None:
    """Bound the run, unless it boots a real Xen."""
    if "xen" in (session.config.getoption("markexpr") or "").split():
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, hard))
