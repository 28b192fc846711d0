# SPDX-License-Identifier: GPL-2.0-or-later
"""The page of the documentation that shows a run: every scenario and case that exists, with what
became of it. What the run did not know is "not run".
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from tests.xenlab.build.recipe import KERNELS
from tests.xenlab.hosts import HOSTS
from tests.xenlab.model import Scenario
from tests.xenlab.results import NOT_PLAYED, kernel_of
from tests.xenlab.scenarios.steps import AGREE

NOT_RUN: Final = "not run"
_ORDER: Final = ("PV", "PVH", "HVM", "dom0 as PV", "dom0 as PVH")
HEAD: Final = """\
# Tested on a real Xen

Every case below is played by `make test-xen-all` on a real Xen hypervisor with a real dom0 and real
guests, under QEMU's software emulation, with the agent installed from what is built here. *Agrees*
means: the balloon rests; `status --json` and an independent reading of sysfs, /proc and xenstore in
the guest have the same current, target, ballooned, E820 RAM and MemTotal, to the KiB; dom0's
`memory/target`, `static-max` and, within a MiB, `xl list` say the same; `unexplained_kib` is 0.

This page is made from the results of one or more runs (`python3 -m tests.xenlab publish RESULTS
...`), not written by hand; each scenario shows its last one. How the lab works:
[tests/xenlab](../tests/xenlab/README.md).
"""
AGREES: Final = "*agrees*"


def page(report: Mapping[str, Any], scenarios: Iterable[Scenario]) -> str:
    """Return the page, in Markdown.

    Args:
        report: what `results.merged` makes of one or more runs.
        scenarios: everything there is to be played.
    """
    scenarios = list(scenarios)
    played = {entry["name"]: entry for entry in report["scenarios"]}
    parts = [
        HEAD,
        "\n".join(_run(report, scenarios, played)),
        "\n".join(_matrix(scenarios, played)),
        "\n".join(_overview(scenarios, played)),
        "\n".join(_figures(scenarios, played)),
        *("\n".join(_cases(scenario, played.get(scenario.name))) for scenario in scenarios),
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts if part) + "\n"


def outcomes(scenario: Scenario, entry: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the outcome of each case that the scenario has today."""
    known = {case["name"]: case for case in entry["cases"]} if entry else {}
    return {case.name: _outcome(known.get(case.name)) for case in scenario.cases}


def _outcome(entry: Mapping[str, Any] | None) -> str:
    return str(entry["outcome"]) if entry and entry["outcome"] != NOT_PLAYED else NOT_RUN


def _run(
    report: Mapping[str, Any], scenarios: list[Scenario], played: Mapping[str, Any]
) -> Iterator[str]:
    found = [word for s in scenarios for word in outcomes(s, played.get(s.name)).values()]
    kernels = ", ".join(f"{version} ({suite})" for suite, version in report["kernels"].items())
    yield "| | |"
    yield "|---|---|"
    yield f"| passed | {found.count('passed')} of {len(found)} cases |"
    for word in sorted({*found} - {"passed"}):
        yield f"| {word} | {found.count(word)} |"
    for name, version in report["hosts"].items():
        yield f"| {HOSTS[name].in_words()} | {version} |"
    yield f"| Linux | {kernels} |"
    for run in report["runs"]:
        date = time.strftime("%Y-%m-%d %H:%M", time.gmtime(run["started"]))
        side_by_side = f" on {run['machines']} emulated machines" if run["machines"] > 1 else ""
        took = f"{run['cases']} cases in {run['seconds'] / 60:.1f} min{side_by_side}"
        yield f"| {date} | {took}; {run['agent']}, commit {run['commit']} |"


def _matrix(scenarios: list[Scenario], played: Mapping[str, Any]) -> Iterator[str]:
    """Guest type and kernel by host: how many cases passed of how many there are."""
    hosts = [name for name in HOSTS if any(scenario.host == name for scenario in scenarios)]
    counts: dict[tuple[str, str], dict[str, list[str]]] = {}
    for scenario in scenarios:
        row = counts.setdefault(_type_and_kernel(scenario), {})
        words = outcomes(scenario, played.get(scenario.name)).values()
        row.setdefault(scenario.host, []).extend(words)
    yield "## Guests, kernels, hosts"
    yield ""
    yield "Cases that passed, of those there are. Empty: no scenario has this guest on this host."
    yield ""
    yield _row("guest", "Linux", *(HOSTS[name].in_words() for name in hosts))
    yield _row(*["---"] * (2 + len(hosts)))
    for (kind, kernel), row in sorted(counts.items(), key=lambda item: _ORDER.index(item[0][0])):
        yield _row(kind, kernel, *(_passed(row.get(name, [])) for name in hosts))


def _type_and_kernel(scenario: Scenario) -> tuple[str, str]:
    kernel = KERNELS[kernel_of(scenario)].series
    if scenario.guest.kind == "dom0":
        return f"dom0 as {HOSTS[scenario.host].dom0.upper()}", kernel
    return scenario.guest.kind.upper(), kernel


def _passed(words: list[str]) -> str:
    if not words:
        return ""
    return f"{words.count('passed')} of {len(words)}" if {*words} != {NOT_RUN} else NOT_RUN


def _overview(scenarios: list[Scenario], played: Mapping[str, Any]) -> Iterator[str]:
    yield "## Scenarios"
    yield ""
    yield "| scenario | guest | Linux | host | passed | seconds |"
    yield "|---|---|---|---|---|---|"
    for scenario in scenarios:
        entry = played.get(scenario.name)
        words = list(outcomes(scenario, entry).values())
        passed = f"{words.count('passed')} of {len(words)}" if entry else NOT_RUN
        kernel = entry.get("kernel") if entry else _type_and_kernel(scenario)[1]
        seconds = f"{entry['seconds']:.0f}" if entry and "seconds" in entry else ""
        if entry and entry.get("attempts", 1) > 1:
            seconds += f", attempts: {entry['attempts']}"
        link = f"[{scenario.name}](#{scenario.name})"
        yield _row(link, _guest(scenario), kernel, scenario.host, passed, seconds)


def _figures(scenarios: list[Scenario], played: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        _row(scenario.name, case["name"], what, value)
        for scenario in scenarios
        for case in played.get(scenario.name, {"cases": ()})["cases"]
        for what, value in case["measured"].items()
    ]
    if rows:
        yield "## Measured"
        yield ""
        yield "| scenario | case | figure | |"
        yield "|---|---|---|---|"
        yield from rows


def _cases(scenario: Scenario, entry: Mapping[str, Any] | None) -> Iterator[str]:
    found = outcomes(scenario, entry)
    yield f"## {scenario.name}"
    yield ""
    yield f"{scenario.summary[0].upper()}{scenario.summary[1:]}."
    yield ""
    yield "| case | verified | outcome |"
    yield "|---|---|---|"
    for case in scenario.cases:
        yield _row(case.name, case.verifies.replace(AGREE, AGREES), found[case.name])


def _guest(scenario: Scenario) -> str:
    guest = scenario.guest
    systemd = ", systemd" if guest.systemd else ""
    kind = guest.kind if guest.kind == "dom0" else guest.kind.upper()
    space = f", Debian {guest.user_space}'s user space" if guest.user_space else ""
    return f"{kind} {guest.memory_mib}/{guest.maxmem_mib} MiB{systemd}{space}"


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
