# SPDX-License-Identifier: GPL-2.0-or-later
"""The screen of a scenario that was played: whether the agent did well, and what happened.

Knows nothing of the simulation but the rows it is given.
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.report.styled import Line, Span, line, wrapped
from agent.report.top import judged_lines, simulation_banner


def simulate_lines(
    scenario: str, answer: str, rows: Iterable[tuple[str, str, str]], *, passed: bool, width: int
) -> list[Line]:
    """The whole screen; a row is what stands before its text, the text, and a style."""
    lines = simulation_banner(scenario, width)
    lines += judged_lines("ok" if passed else "warning", answer, width)
    for lead, text, style in rows:
        body = wrapped(text, width, indent=" " * len(lead)) or [line("")]
        first = body[0][0].text[len(lead) :]
        lines.append(line(Span(lead, style or "dim"), Span(first, style)))
        lines += [line(Span(part[0].text, style)) for part in body[1:]]
    return lines
