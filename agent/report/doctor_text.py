# SPDX-License-Identifier: GPL-2.0-or-later
"""The doctor's screen: each finding with evidence, cause, who must act and what to paste.

▲ 1 warning, 1 remark.

  warning  target-cancelled                              guest or host
    The kernel gave up on its target and will not try again by itself.
    Cause     Since Linux 5.15 the driver drops a target after ...
    Evidence  current_kib 524288, target_kib 786432, ...
    Fix       echo 786432 > /sys/devices/system/xen_memory/xen_memory0/target_kb
"""

from typing import Final

from agent.core.diagnosis import Diagnosis, NotMade
from agent.core.finding import Actor, Finding
from agent.report.status_text import banner_lines
from agent.report.styled import Line, Span, heading, line, wrapped

_MARKS: Final = {"ok": "●", "warning": "▲", "critical": "╳"}
_ACTORS: Final[dict[Actor, str]] = {
    "guest": "for the guest to mend",
    "host": "for the host to mend",
    "either": "for guest or host to mend",
    "nobody": "nothing to mend",
}
_LABEL_WIDTH: Final = 10


def doctor_lines(diagnosis: Diagnosis, width: int) -> list[Line]:
    """The whole screen for a terminal of `width` columns."""
    lines = [*banner_lines(diagnosis.examination.situation, width)]
    sentence = wrapped(_headline(diagnosis), width, indent="  ")
    first = Span(_MARKS[diagnosis.verdict], diagnosis.verdict)
    lines.append((first, Span(sentence[0][0].text[1:], "heading")))
    lines += [line(Span(part[0].text, "heading")) for part in sentence[1:]]
    for finding in diagnosis.findings:
        lines += [(), *_finding_lines(finding, width)]
    if diagnosis.clear:
        lines += [(), heading("Looked for and not found")]
        lines += wrapped(", ".join(diagnosis.clear), width, indent="  ", style="dim")
    if diagnosis.not_made:
        lines += [(), heading("Could not be checked"), *_not_made_lines(diagnosis.not_made, width)]
    return lines


def _headline(diagnosis: Diagnosis) -> str:
    """How many of each, and whether somebody has to act."""
    counts = [
        _counted(sum(f.severity == severity for f in diagnosis.findings), word)
        for severity, word in (("critical", "critical"), ("warning", "warning"), ("info", "remark"))
    ]
    told = [words for words in counts if words]
    if not told:
        return "Nothing is wrong with this guest's balloon."
    sentence = ", ".join(told) + "."
    if diagnosis.verdict == "ok":
        return f"Nothing is wrong with this guest's balloon; {sentence}"
    return sentence


def _counted(number: int, word: str) -> str:
    if not number:
        return ""
    return f"{number} {word}" if number == 1 or word == "critical" else f"{number} {word}s"


def _finding_lines(finding: Finding, width: int) -> list[Line]:
    title: list[Span | str] = [
        "  ",
        Span(finding.severity, finding.severity),
        "  ",
        Span(finding.code, "heading"),
    ]
    who = _ACTORS[finding.actor]
    if len(finding.severity) + len(finding.code) + len(who) + 6 <= width:
        lines = [line(*title, "  ", Span(who, "dim"))]
    else:
        lines = [line(*title), *wrapped(who, width, indent="    ", style="dim")]
    lines += wrapped(finding.summary, width, indent="    ")
    if finding.cause:
        lines += _labelled("Cause", finding.cause, width)
    if finding.evidence:
        shown = ", ".join(f"{name} {value}" for name, value in finding.evidence.items())
        lines += _labelled("Evidence", shown, width)
    fix = line("    ", Span(f"{'Fix':<{_LABEL_WIDTH}}", "heading"), finding.fix)
    return [*lines, fix]  # on one line however long, so that it can be pasted


def _labelled(label: str, text: str, width: int) -> list[Line]:
    """A word in front of the first line, the rest below it."""
    indent = " " * (4 + _LABEL_WIDTH)
    lines = wrapped(text, width, indent=indent)
    first = line(
        "    ", Span(f"{label:<{_LABEL_WIDTH}}", "heading"), lines[0][0].text[len(indent) :]
    )
    return [first, *lines[1:]]


def _not_made_lines(not_made: tuple[NotMade, ...], width: int) -> list[Line]:
    """The checks, put together by what they lack."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for lacking in not_made:
        key = (lacking.source, lacking.status, lacking.remedy)
        groups.setdefault(key, []).append(lacking.code)
    lines: list[Line] = []
    for (source, status, remedy), codes in groups.items():
        lines += wrapped(f"{source} is {status}: {', '.join(codes)}", width, indent="  ")
        lines += wrapped(f"What would help: {remedy}", width, indent="    ", style="dim")
    return lines
