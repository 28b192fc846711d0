# SPDX-License-Identifier: GPL-2.0-or-later
"""The top of every screen: what it is about, and whether all is well, in words.

● OK: The guest has 768 MiB of the 1 GiB it may grow to; ...

The mark has a shape and a colour of its own, the word says the same to whoever sees neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agent.core.account.situation import Situation
from agent.core.findings.finding import RANK, Finding
from agent.report.styled import Line, Span, heading, labelled, line, wrapped

_MARKS: Final = {"ok": "●", "warning": "▲", "critical": "╳", "unknown": "?"}


def marked_lines(verdict: str, sentence: str, width: int) -> list[Line]:
    """A mark, and a sentence that needs no other word."""
    body = wrapped(sentence, width, indent="  ", style="heading")
    return [(Span(_MARKS[verdict], verdict), Span(body[0][0].text[1:], "heading")), *body[1:]]


def judged_lines(verdict: str, sentence: str, width: int) -> list[Line]:
    """A mark, the verdict in a word, and the sentence that answers."""
    (mark, first), *rest = marked_lines(verdict, f"{verdict.upper()}: {sentence}", width)
    end = 1 + len(verdict) + 1
    return [(mark, Span(first.text[:end], verdict), Span(first.text[end:], "heading")), *rest]


def gravest_codes(findings: Sequence[Finding]) -> str:
    """The codes of the findings as grave as the first, which is the gravest; "" for remarks."""
    if not findings or not RANK[findings[0].severity]:
        return ""
    return ", ".join(f.code for f in findings if f.severity == findings[0].severity)


def coded(severity: str, code: str) -> Line:
    """How grave it is, and the code that scripts go by."""
    return line("  ", Span(severity, severity), "  ", Span(code, "heading"))


def fix_lines(finding: Finding, width: int, label: str, columns: int) -> list[Line]:
    """What to do, for each actor; a command on one line however long, so that it can be pasted."""
    lines: list[Line] = []
    for fix in finding.fixes:
        if fix.commands:
            lines.append(line("    ", Span(f"{label:<{columns}}", "heading"), fix.text))
        else:
            lines += labelled(label, fix.text, width, indent="    ", columns=columns)
    if not lines:
        lines = labelled(label, finding.fix, width, indent="    ", columns=columns)
    return lines


def banner_lines(situation: Situation, width: int) -> list[Line]:
    """What cannot be missed when this is not the machine it runs on."""
    kind, detail = situation.snapshot.origin
    if kind == "live":
        return []
    if kind == "capture":
        return [*wrapped(f"Capture {detail}: not this machine.", width, style="info"), ()]
    return simulation_banner(detail, width)


def simulation_banner(scenario: str, width: int) -> list[Line]:
    """Three lines across the screen."""
    text = f"SIMULATED DOMAIN '{scenario}' - nothing here is this machine"
    rule = line(Span("━" * width, "banner"))
    body = [
        line(Span(part[0].text.ljust(width), "banner")) for part in wrapped(text, width, indent=" ")
    ]
    return [rule, *body, rule]


def titled(title: str, note: str, width: int) -> list[Line]:
    """A heading with a remark, beside it or below it."""
    if len(title) + len(note) + 3 <= width:
        return [line(Span(title, "heading"), "  ", Span(note, "dim"))]
    return [heading(title), *wrapped(note, width, indent="  ", style="dim")]
