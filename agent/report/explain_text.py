# SPDX-License-Identifier: GPL-2.0-or-later
"""The explain screen: the daemon's last decisions in time order, from cause to outcome."""

import time
from typing import Final

from agent.core.daemon_record import DaemonRecord, RecordedDecision
from agent.core.units import format_kib
from agent.report.styled import Line, Span, line, wrapped

# The daemon writes its status at the latest with every ping to the service manager's watchdog.
STALE_AFTER_S: Final = 300

_ACTIONS: Final = {"none": "did nothing", "write-target": "wrote target_kb", "online-block": "put"}


def explain_lines(record: DaemonRecord, now_s: float, width: int) -> list[Line]:
    """The whole screen; `now_s` since 1970."""
    lines = wrapped(_about(record, now_s), width, style="heading")
    if record.banner:
        lines += wrapped(record.banner, width, style="warning")
    lines.append(())
    if not record.decisions:
        lines += wrapped("It has decided nothing yet.", width)
    for decision in record.decisions:
        lines += _decision_lines(decision, width)
    return lines


def is_stale(record: DaemonRecord, now_s: float) -> bool:
    """Whether the daemon has ended, or has not written for longer than a living one waits."""
    return record.stopped or now_s - record.written_s > STALE_AFTER_S


def _about(record: DaemonRecord, now_s: float) -> str:
    age_s = max(0, int(now_s) - record.written_s)
    if record.stopped:
        return f"The daemon has ended; this is what it left {age_s} s ago, mode {record.mode}."
    if is_stale(record, now_s):
        return (
            f"The daemon (pid {record.pid}) has written nothing for {age_s} s; is it alive? "
            "systemctl status balloon-agent"
        )
    return f"The daemon (pid {record.pid}) runs in mode {record.mode}; written {age_s} s ago."


def _decision_lines(decision: RecordedDecision, width: int) -> list[Line]:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(decision.time_s))
    times = f", {decision.times} times" if decision.times > 1 else ""
    head = line(Span(when, "dim"), "  ", Span(decision.rule, "heading"), f"  ({decision.cause})")
    outcome = f"-> {_action(decision)}: {decision.outcome}{times}"
    style = "info" if decision.action != "none" else "dim"
    return [
        head,
        *wrapped(decision.sentence, width, indent="    "),
        *wrapped(outcome, width, indent="    ", style=style),
    ]


def _action(decision: RecordedDecision) -> str:
    if decision.action == "write-target" and decision.target_kib is not None:
        size = format_kib(decision.target_kib)
        return f"wrote target_kb {decision.target_kib} ({size})"
    if decision.action == "online-block":
        return f"put memory block {decision.block} online"
    return _ACTIONS.get(decision.action, decision.action)
