# SPDX-License-Identifier: GPL-2.0-or-later
"""The explain screen: the host's requests and the daemon's decisions, in the order of time."""

from __future__ import annotations

import time
from typing import Final

from agent.core.facts.daemon_record import DaemonRecord, RecordedDecision
from agent.core.facts.units import format_exactly, format_kib
from agent.report.styled import Line, Span, line, wrapped
from agent.report.top import judged_lines, titled

# The daemon writes its status at the latest with every ping to the service manager's watchdog.
STALE_AFTER_S: Final = 300

_ACTIONS: Final = {"none": "did nothing", "write-target": "wrote target_kb"}


def explain_lines(record: DaemonRecord, now_s: float, width: int) -> list[Line]:
    """The whole screen; `now_s` since 1970."""
    wants_somebody = is_stale(record, now_s) or record.banner or record.host_silent
    verdict = "warning" if wants_somebody else "ok"
    lines = judged_lines(verdict, _about(record, now_s), width)
    if record.banner:
        lines += wrapped(record.banner, width, indent="  ", style="warning")
    if record.host_silent and not record.stopped:
        text = f"The host does not answer: {record.host_silent}"
        lines += wrapped(text, width, indent="  ", style="warning")
    lines.append(())
    if not record.decisions:
        return [*lines, *wrapped("It has decided nothing yet.", width, indent="  ")]
    lines += titled("Decisions", "the oldest first; in brackets what made it look", width)
    asked_kib: int | None = None
    for decision in record.decisions:
        wanted_kib = decision.host_target_kib
        if wanted_kib is not None and wanted_kib != asked_kib:
            asked_kib = wanted_kib
            wish = f"the host asks for {format_exactly(wanted_kib)}"
            lines += wrapped(f"{_when(decision)}  {wish}", width, style="info")
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


def _when(decision: RecordedDecision) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(decision.time_s))


def _decision_lines(decision: RecordedDecision, width: int) -> list[Line]:
    when = _when(decision)
    times = f", {decision.times} times" if decision.times > 1 else ""
    cause = f"({decision.cause})"
    rule = Span(decision.rule, "heading")
    if len(when) + len(decision.rule) + len(cause) + 4 <= width:
        head = [line(Span(when, "dim"), "  ", rule, "  ", cause)]
    else:
        head = [line(Span(when, "dim"), "  ", cause), line("  ", rule)]
    outcome = f"-> {_action(decision)}: {decision.outcome}{times}"
    style = "info" if decision.action != "none" else "dim"
    return [
        *head,
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
