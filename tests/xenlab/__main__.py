# SPDX-License-Identifier: GPL-2.0-or-later
"""`python3 -m tests.xenlab`: build, run, list, shell, table, publish, refresh-captures.

Exit status of `run`: 0 if every case passed, 1 if one did not, 2 if the lab could not work.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.xenlab import captures, demonstration, paths, runner, scenarios
from tests.xenlab.build.builder import Wanted, build
from tests.xenlab.build.recipe import BASE_SUITE, KERNELS
from tests.xenlab.errors import LabError
from tests.xenlab.hosts import HOSTS, MAIN
from tests.xenlab.model import Scenario
from tests.xenlab.page import page
from tests.xenlab.results import merged

_started = time.monotonic()


def say(line: str) -> None:
    """Print a line of progress with the seconds so far."""
    print(f"[{time.monotonic() - _started:6.1f} s] {line}", flush=True)


def describe(event: dict[str, Any]) -> str:
    """Return a line for a person about an event of a machine."""
    kind = event["event"]
    who = f"{event.get('machine', '-')}: {event.get('scenario', '')}".rstrip()
    if kind == "case":
        line = f"{who}: {event['outcome']}: {event['case']} ({event['seconds']} s)"
        return line if event["detail"] is None else f"{line}\n{event['detail']}"
    return {
        "ready": f"{who} Xen {event.get('xen')} and dom0 are up",
        "scenario": f"{who}: starts",
        "up": f"{who}: up after {event.get('seconds')} s",
        "again": f"{who}: once more from the start: {event.get('why')}",
        "broken": f"{who}: broken: {event.get('why')}",
        "scenario-done": f"{who}: done in {event.get('seconds')} s",
        "lost": f"{who}: the machine is lost: {event.get('why')}",
        "left-out": f"{who}: not played, the time that was given would not suffice",
        "end": f"{who} powering off",
    }[kind]


def _build(arguments: argparse.Namespace) -> int:
    if arguments.scenarios:
        wanted = runner.wanted_by(_chosen(arguments.scenarios))
    else:
        hosts = [HOSTS[name].release for name in arguments.host or [MAIN]]
        kernels = frozenset(arguments.kernels or [BASE_SUITE])
        wanted = Wanted(tuple(hosts), kernels, frozenset(arguments.user_space))
    build(wanted, say, update=arguments.update)
    say("everything is up to date")
    return 0


def _chosen(words: list[str]) -> list[Scenario]:
    try:
        return scenarios.select(words)
    except KeyError as error:
        raise LabError(f"no such scenario: {error.args[0]}; see the list command") from None


def _run(arguments: argparse.Namespace) -> int:
    run = runner.prepare(
        _chosen(arguments.scenarios),
        say,
        wheel=arguments.wheel,
        bundled=arguments.bundled,
        machines=arguments.machines,
        minutes=arguments.minutes,
    )
    return _follow(run)


def _follow(run: runner.Run) -> int:
    for event in run.follow():
        if event["event"] != "next":
            say(describe(event))
    passed, total = run.results.counts()
    say(f"{passed} of {total} cases passed; results, logs and evidence: {run.folder}")
    return 0 if passed == total else 1


def _refresh_captures(arguments: argparse.Namespace) -> int:
    names = arguments.guests or list(scenarios.CAPTURED)
    chosen = [scenarios.CAPTURED[name] for name in names]
    run = runner.prepare(
        chosen, say, wheel=arguments.wheel, captures=True, machines=arguments.machines
    )
    status = _follow(run)
    for name in captures.refresh(run.kept(), run.folder / "captures"):
        say(f"refreshed {name}")
    return status


def _demonstrate(arguments: argparse.Namespace) -> int:
    folders: list[Path] = arguments.redraw
    status = 0
    if not folders:
        shown = list(scenarios.SHOWN.values())
        run = runner.prepare(shown, say, wheel=arguments.wheel, machines=arguments.machines)
        status, folders = _follow(run), [run.folder]
    told = demonstration.collect(folders)
    demonstration.write(told, arguments.into)
    if arguments.keep:
        demonstration.keep(told)
    print("", *demonstration.story_lines(told), f"Plots and samples: {arguments.into}", sep="\n")
    return status


def _shell(arguments: argparse.Namespace) -> int:
    host = HOSTS[arguments.host or MAIN]
    return runner.shell(host, arguments.kernels or [host.release.suite], say, arguments.wheel)


def _list(_: argparse.Namespace) -> int:
    for scenario in scenarios.ALL.values():
        print(f"{scenario.name} ({_where(scenario)}): {scenario.summary}")
        for case in scenario.cases:
            print(f"    {case.name}: {case.verifies}")
    return 0


def _where(scenario: Scenario) -> str:
    return f"{HOSTS[scenario.host].in_words()}{', quick' if scenario.quick else ''}"


def _table(arguments: argparse.Namespace) -> int:
    print(page(_report(arguments.results), scenarios.ALL.values()), end="")
    return 0


def _publish(arguments: argparse.Namespace) -> int:
    report = _report(arguments.results)
    paths.LAST_RUN.write_text(json.dumps(report, indent=1) + "\n")
    paths.PAGE.write_text(page(report, scenarios.ALL.values()))
    say(f"{paths.LAST_RUN} and {paths.PAGE} are written")
    return 0


def _report(files: Sequence[Path]) -> dict[str, Any]:
    return merged([json.loads(file.read_text()) for file in files])


def _suite(name: str) -> str:
    if name not in KERNELS:
        raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(sorted(KERNELS))}")
    return name


def _count(word: str) -> int:
    if not (word.isascii() and word.isdigit() and int(word)):
        raise argparse.ArgumentTypeError(f"{word} is no such number")
    return int(word)


def _captured(name: str) -> str:
    if name not in scenarios.CAPTURED:
        known = ", ".join(scenarios.CAPTURED)
        raise argparse.ArgumentTypeError(f"{name} is none of {known}")
    return name


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="python3 -m tests.xenlab", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("build", help="make what a run needs, if an input changed")
    command.add_argument("kernels", nargs="*", type=_suite, metavar="SUITE")
    command.add_argument("--host", choices=HOSTS, action="append", help="for this host")
    command.add_argument(
        "--user-space",
        choices=sorted(KERNELS),
        action="append",
        default=[],
        help="for guests with the user space of this suite",
    )
    command.add_argument(
        "--for",
        dest="scenarios",
        action="append",
        metavar="SCENARIO",
        help="all that these want, named as for `run`, and nothing else",
    )
    command.add_argument("--update", action="store_true", help="look for newer packages first")
    command.set_defaults(act=_build)

    command = commands.add_parser("run", help="play scenarios: names, hosts, `quick` or `all`")
    command.add_argument("scenarios", nargs="+", metavar="SCENARIO")
    command.add_argument("--wheel", type=Path, help="the agent to test, else built from here")
    command.add_argument(
        "--bundled", type=Path, help="its package with libraries inside, else built from here"
    )
    command.add_argument("--machines", type=_count, help="how many play side by side")
    command.add_argument(
        "--minutes", type=_count, help="how long it may take; what does not fit is left out"
    )
    command.set_defaults(act=_run)

    command = commands.add_parser(
        "refresh-captures", help="capture guests anew as fixtures in tests/captures"
    )
    command.add_argument("guests", nargs="*", type=_captured, metavar="GUEST")
    command.add_argument("--wheel", type=Path, help="the agent to have in the guests")
    command.add_argument("--machines", type=_count, help="how many play side by side")
    command.set_defaults(act=_refresh_captures)

    command = commands.add_parser(
        "demonstrate", help="show what the agent is for: guests without it and with it, as plots"
    )
    command.add_argument("into", type=Path, metavar="DIRECTORY", help="where the plots go")
    command.add_argument(
        "--redraw", type=Path, nargs="+", default=[], metavar="RUN", help="from folders of runs"
    )
    command.add_argument("--keep", action="store_true", help="show this one in the documents")
    command.add_argument("--wheel", type=Path, help="the agent to have in the guests")
    command.add_argument("--machines", type=_count, help="how many play side by side")
    command.set_defaults(act=_demonstrate)

    command = commands.add_parser("shell", help="boot and give a shell in dom0")
    command.add_argument("--host", choices=HOSTS, help=f"which to boot, {MAIN} unless said")
    command.add_argument("kernels", nargs="*", type=_suite, metavar="SUITE")
    command.add_argument("--wheel", type=Path, help="the agent to have there")
    command.set_defaults(act=_shell)

    command = commands.add_parser("list", help="show all scenarios and their cases")
    command.set_defaults(act=_list)

    command = commands.add_parser("table", help="show runs as the page in docs/")
    command.add_argument("results", type=Path, nargs="*", default=[paths.LAST_RUN])
    command.set_defaults(act=_table)

    command = commands.add_parser("publish", help="have docs/ show these runs")
    command.add_argument("results", type=Path, nargs="*", default=[paths.LAST_RUN])
    command.set_defaults(act=_publish)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command."""
    arguments = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # QEMU goes as well.
    try:
        status: int = arguments.act(arguments)
    except LabError as error:
        print(f"xenlab: {error}", file=sys.stderr)
        return 2
    return status


if __name__ == "__main__":
    sys.exit(main())
