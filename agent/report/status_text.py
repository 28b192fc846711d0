# SPDX-License-Identifier: GPL-2.0-or-later
"""The status screen, what matters most first: whether all is well, the picture, what to do.

Then the numbers of both sides, the way from the maximum to what programs can use, and the sum that
proves that nothing was forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agent.core.account.headroom import limit_kib
from agent.core.account.reconcile import Term
from agent.core.account.situation import Situation
from agent.core.account.waterfall import waterfall
from agent.core.facts.units import KIB, format_exactly, format_kib, format_pages, pages_to_kib
from agent.core.findings.assessment import Assessment
from agent.report.picture import addresses_picture, amounts_picture
from agent.report.styled import Line, Span, heading, labelled, line, without_end, wrapped
from agent.report.top import banner_lines, coded, fix_lines, gravest_codes, judged_lines, titled
from agent.report.waterfall_text import waterfall_lines

_KINDS: Final = {
    "pv": "PV guest",
    "pvh": "PVH guest",
    "hvm": "HVM guest",
    "dom0-pv": "dom0 (PV)",
    "dom0-pvh": "dom0 (PVH)",
}
_TOOLSTACKS: Final = {"libxl": "xl/libxl", "xapi": "XAPI", "qubes": "Qubes", "xend": "xend"}
_FIGURE_COLUMNS: Final = 42


def status_lines(assessment: Assessment, width: int, trends: Sequence[Line] = ()) -> list[Line]:
    """The whole screen for a terminal of `width` columns; `trends` go below the picture."""
    situation = assessment.situation
    lines = [
        *short_status_lines(assessment, width, trends),
        (),
        *waterfall_lines(waterfall(situation), width),
        *_addresses(situation, width),
        *_reconciliation(situation, width),
        *_not_made(assessment, width),
        *_privileges(situation, width),
    ]
    return without_end(lines)


def short_status_lines(
    assessment: Assessment, width: int, trends: Sequence[Line] = ()
) -> list[Line]:
    """The answer without its proof: what fits on a screen of 24 lines."""
    situation = assessment.situation
    picture = amounts_picture(situation, width)
    lines = [
        *headline_lines(assessment, width),
        *wrapped(_who(situation), width, indent="  ", style="dim"),
        (),
        *picture,
        *([()] if picture else []),
        *trends,
        *_findings(assessment, width),
        *_sides(situation, width),
    ]
    return without_end(lines)


def reminder_lines(assessment: Assessment, width: int) -> list[Line]:
    """What has scrolled away, again at the end of a screen that is taller than the terminal."""
    codes = gravest_codes(assessment.findings)
    if not codes:
        return []
    again = f"{codes}; what to do is told further up, or by balloon-agent status --short"
    return [(), *judged_lines(assessment.verdict, again, width)]


def frame_lines(assessment: Assessment, width: int, trends: Sequence[Line]) -> list[Line]:
    """What changes from one moment to the next, for terminals that only ever append."""
    return [
        *headline_lines(assessment, width),
        *amounts_picture(assessment.situation, width),
        *trends,
    ]


def headline_lines(assessment: Assessment, width: int) -> list[Line]:
    """What this is about, whether all is well, and the one sentence."""
    codes = gravest_codes(assessment.findings)
    sentence = f"{codes}. {assessment.headline}" if codes else assessment.headline
    return [
        *banner_lines(assessment.situation, width),
        *judged_lines(assessment.verdict, sentence, width),
    ]


def _who(situation: Situation) -> str:
    """Kind, name, kernel, hypervisor and toolstack, as far as known."""
    domain = situation.snapshot.domain
    kind = _KINDS.get(domain.domain_type or "", "Xen domain of unknown type")
    firmware_map = situation.snapshot.firmware_map
    if domain.domain_type == "pvh" and firmware_map is not None and firmware_map.is_of_arm:
        kind = "ARM guest"
    words = [kind]
    if domain.name:
        words.append(f"'{domain.name}'")
    if domain.domid is not None:
        words.append(f"(domid {domain.domid})")
    text = " ".join(words)
    if domain.kernel_text:
        text += f", Linux {domain.kernel_text}"
    if domain.xen_version:
        text += f", Xen {domain.xen_version}"
    if domain.toolstack:
        text += f", {_TOOLSTACKS[domain.toolstack]}"
    return text


def _addresses(situation: Situation, width: int) -> list[Line]:
    """Where the map's RAM lies, above the sum that is about it."""
    firmware_map = situation.snapshot.firmware_map
    strip = addresses_picture(firmware_map, width) if firmware_map is not None else []
    if firmware_map is None or not strip:
        return []
    holes = firmware_map.holes()
    holes_kib = sum(hole.stop - hole.start for hole in holes) // KIB
    words = "with a hole" if len(holes) == 1 else f"with {len(holes)} holes, together"
    words = f"{words} of {format_kib(holes_kib)}" if holes else "without a hole"
    source = "/proc/iomem" if firmware_map.is_of_arm else "E820 map"
    note = f"RAM by address ({source}), {words}"
    return [*strip, *wrapped(note, width, style="dim"), ()]


def _reconciliation(situation: Situation, width: int) -> list[Line]:
    result = situation.reconciliation
    if result.unexplained_kib is None:
        obstacle = f"Not possible: {result.obstacle}."
        return [heading("Reconciliation"), *wrapped(obstacle, width, indent="  "), ()]
    proof = {
        "checked": "adds up; every term was read, or follows from the boot",
        "inferred": "a term is only what was left over, so nothing is proved",
    }[result.proof or "checked"]
    lines = [*titled("Reconciliation", proof, width)]
    for term in result.terms:
        lines += _term_lines(term, width)
    left_kib = result.unexplained_kib
    style = "warning" if left_kib else "ok" if result.proof == "checked" else "heading"
    lines += _figure("unexplained", f"{left_kib:,d}", width, style)
    if left_kib:
        lines += wrapped(f"= {format_pages(left_kib)}", width, indent="    ", style=style)
    return [*lines, ()]


def _term_lines(term: Term, width: int) -> list[Line]:
    """Name and size, and below them the reason with the source."""
    name = term.name + (" (inferred)" if term.inferred else "")
    size = f"{term.kib:+,d}" if term.kib else "0"
    reason = f"{term.why} [{term.source}]"
    return [*_figure(name, size, width), *wrapped(reason, width, indent="    ", style="dim")]


def _figure(name: str, size: str, width: int, style: str = "") -> list[Line]:
    """A name and a size in KiB that ends in the same column in every line; two lines if need be."""
    left, right = f"  {name}", f"{size.replace(',', ' ')} KiB"
    gap = min(width, _FIGURE_COLUMNS) - len(left) - len(right)
    if gap > 0:
        return [line(Span(left + " " * gap + right, style))]
    return [line(Span(left, style)), line(Span(f"{right:>{min(width, _FIGURE_COLUMNS)}}", style))]


def _sides(situation: Situation, width: int) -> list[Line]:
    """The kernel's balloon, what the host says, the boot, the allocator, the room left."""
    lines: list[Line] = []
    for name, words in (
        ("Balloon", _balloon_words(situation)),
        ("Host", _host_words(situation)),
        ("Boot", _boot_words(situation)),
        ("Memory", _memory_words(situation)),
        ("Room", _room_words(situation)),
    ):
        if words:
            lines += labelled(name, words, width, columns=9)
    return [*lines, ()]


def _balloon_words(situation: Situation) -> str:
    balloon = situation.snapshot.balloon
    if balloon is None or balloon.current_kib is None or balloon.target_kib is None:
        return "no driver"
    words = f"{situation.state}: current {format_exactly(balloon.current_kib)}"
    if balloon.target_kib == balloon.current_kib:
        words += ", which is its target"
    else:
        words += f", target {format_exactly(balloon.target_kib)}"
    if balloon.retry_count is not None and balloon.retry_count > 1:
        attempts = f" of {balloon.max_retry_count}" if balloon.max_retry_count else ""
        words += f"; attempt {balloon.retry_count}{attempts}"
        if balloon.schedule_delay_s is not None:
            words += f", next in {balloon.schedule_delay_s} s"
    return words


def _host_words(situation: Situation) -> str:
    host, sources = situation.snapshot.host, situation.snapshot.sources
    xenstore = sources.get("xenstore", "ok")
    if xenstore != "ok":
        hint = "; root may read it" if xenstore == "denied" else ""
        return f"what it asks for is not known: {situation.snapshot.unheard}{hint}"
    if host.target_text is not None:
        words = f"memory/target is not a number: {host.target_text}"
    elif host.target_kib is None:
        status = sources.get("xenstore.memory/target", "absent")
        words = f"memory/target is {status}"
        if status == "absent" and situation.snapshot.domain.is_dom0:
            words += " (normal in dom0 until a toolstack writes one)"
    else:
        words = f"asks for {format_exactly(host.target_kib)}"
    most_kib = limit_kib(situation.snapshot)
    if most_kib is not None:
        words += f"; maximum {format_kib(most_kib)}"
    if situation.offset_kib:
        words += f"; the kernel aims {situation.offset_kib} KiB below it, by design"
    return words


def _boot_words(situation: Situation) -> str:
    boot = situation.boot
    if boot.nr_pages is None:
        return "nr_pages is not known: nothing that can be read now tells it for this guest"
    exact = "exact" if boot.nr_pages.exact else "not exact"
    started = format_kib(pages_to_kib(boot.nr_pages.pages))
    words = f"started with {started} (nr_pages {boot.nr_pages.pages}, {exact}, from "
    words += f"{boot.nr_pages.method})"
    if boot.beyond_kib:
        words += f"; {format_kib(boot.beyond_kib)} of the map's RAM were not populated then"
    return words


def _memory_words(situation: Situation) -> str:
    memory, parts = situation.snapshot.memory, situation.overhead
    if memory is None:
        return f"/proc/meminfo is {situation.snapshot.sources.get('meminfo', 'absent')}"
    words = f"MemTotal {format_kib(memory.total_kib)}, available {format_kib(memory.available_kib)}"
    if parts is not None and parts.kib > 0:
        words += f"; Linux keeps {format_kib(parts.kib)} for itself"
    return words


def _room_words(situation: Situation) -> str:
    room = situation.headroom
    words = []
    if situation.in_crash_kernel:
        return ""
    if room.reach_kib is not None:
        words.append(f"may grow by {format_kib(room.reach_kib)}")
    if room.down_kib is not None and room.floor_kib is not None:
        least = f"(floor {format_kib(room.floor_kib)})"
        words.append(
            f"may give {format_kib(room.down_kib)} before it hurts {least}"
            if room.down_kib
            else f"can give nothing without hurting {least}"
        )
    return ", ".join(words)


def _findings(assessment: Assessment, width: int) -> list[Line]:
    """What was found and what to do; the doctor says why."""
    if not assessment.findings:
        return []
    lines = [*titled("Findings", "why, and more checks: balloon-agent doctor", width)]
    for finding in assessment.findings:
        lines.append(coded(finding.severity, finding.code))
        lines += wrapped(finding.summary, width, indent="    ")
        lines += fix_lines(finding, width, "Fix:", 5)
    return [*lines, ()]


def _not_made(assessment: Assessment, width: int) -> list[Line]:
    """What one look cannot tell, so that silence is not taken for health."""
    if not assessment.not_made:
        return []
    count = len(assessment.not_made)
    checks = "1 check" if count == 1 else f"{count} checks"
    return wrapped(
        f"{checks} could not be made by one look; balloon-agent doctor says which, and why.",
        width,
        style="dim",
    )


def _privileges(situation: Situation, width: int) -> list[Line]:
    """What root could read in addition."""
    closed = [
        name
        for name, status in situation.snapshot.sources.items()
        if status in ("denied", "hidden") and not name.startswith("xenstore.")
    ]
    if not closed or situation.snapshot.origin.kind != "live":
        return []
    text = f"As root, status would also read: {', '.join(closed)}."
    return wrapped(text, width, style="dim")
