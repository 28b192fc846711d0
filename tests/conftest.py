# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures that every test may ask for by name, and what every run starts from."""

from __future__ import annotations

import resource
import signal
from collections import Counter
from typing import Final

import pytest
from _pytest.terminal import TerminalReporter  # pytest itself names it since 8.4
from hypothesis import HealthCheck, settings

from tests.support.xenstored.fixtures import dom0, guest, xenstored

__all__ = ["dom0", "guest", "xenstored"]

# Address space of a whole run: a test that runs away fails with MemoryError, and takes nobody
# else's memory with it.  The machine that tests on a real Xen boot needs more than this.
_MOST_BYTES: Final = 6 << 30

# The machine may have more to do: no test fails for being slow.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# For another Python or other libraries below code whose properties were searched elsewhere: some
# examples of each, in a fourth of the time.
settings.register_profile("package", settings.get_profile("unhurried"), max_examples=10)
settings.load_profile("unhurried")  # unless --hypothesis-profile names another


def pytest_sessionstart(session: pytest.Session) -> None:
    """Hear interrupts, and bound the run's memory unless it boots a real Xen.

    A shell starts background jobs with SIGINT ignored, and the commands under test inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if "xen" in (session.config.getoption("markexpr") or "").split():
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, hard))


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Say what was skipped once for each reason, with what it wants, not once for each test."""
    skipped = (report.longrepr for report in terminalreporter.getreports("skipped"))
    reasons = Counter(why[2].removeprefix("Skipped: ") for why in skipped if isinstance(why, tuple))
    if not reasons:
        return
    terminalreporter.section("not run here")
    for reason, tests in reasons.most_common():
        terminalreporter.write_line(f"{tests:5} {reason}")
