# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent simulate`: a scenario in virtual time, and what the agent made of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable

import click

from agent import exit_codes
from agent.cli.completion import scenarios_beginning_with
from agent.cli.endings import did_you_mean, writing
from agent.cli.options import Output, with_output
from agent.report.styled import Line, Span, labelled, line, wrapped
from agent.report.top import judged_lines, simulation_banner
from agent.report.whole_file import write_whole

_A_LINE_EACH = 1000  # columns; for a program that reads the list


@click.command(
    epilog="""\b
Examples:
  balloon-agent simulate --list
  balloon-agent simulate down-below-working-set --agent none
  balloon-agent simulate leak --plot leak.svg
  balloon-agent simulate burst --json | jq .checks
  balloon-agent simulate burst --agent guard --explain
  balloon-agent simulate --demo plots

\b
Exit status: 0 every check passed, 1 one failed.
"""
)
@click.argument("scenario", required=False, shell_complete=scenarios_beginning_with)
@click.option("--list", "list_them", is_flag=True, help="List the scenarios and leave.")
@click.option("--plot", metavar="FILE", type=click.Path(dir_okay=False), help="Draw it as SVG.")
@click.option(
    "--agent",
    metavar="NAME",
    help="Who acts: none (nobody), or a mode of the daemon (observe, follow, guard, self); "
    "left out, the mode that the story is about.",
)
@click.option(
    "--demo",
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Tell two stories without and with the agent; write their plots to DIR.",
)
@with_output()
@click.option(
    "--explain", is_flag=True, help="List the agent's decisions and their reasons as well."
)
@click.option("--seed", metavar="N", type=int, default=0, show_default=True, help="Of chance.")
def simulate(
    scenario: str | None,
    *,
    list_them: bool,
    plot: str | None,
    agent: str | None,
    demo: str | None,
    explain: bool,
    seed: int,
    output: Output,
) -> int:
    """Run a SCENARIO in virtual time and show what happened.

    The guest, its kernel and the host are simulated; nothing on this machine is read or changed.
    """
    if list_them:
        return _list(output)
    if demo is not None:
        return _demonstrate(demo, seed)
    if scenario is None:
        raise click.UsageError("Which scenario? See balloon-agent simulate --list.")
    if plot is not None:
        _must_be_svg(plot)
    return _run(scenario, agent, seed, output, explain=explain, plot=plot)


def _list(output: Output) -> int:
    from sim_backend.stories import catalogue, report_text  # noqa: PLC0415 - not on a real guest

    found = [catalogue.load(name) for name in catalogue.scenario_names()]
    if output.as_json:
        click.echo(json.dumps([report_text.scenario_object(one) for one in found], indent=2))
        return exit_codes.OK
    terminal = output.terminal()
    width = terminal.width if terminal.rows else _A_LINE_EACH
    columns = max(len(one.name) for one in found) + 2
    for one in found:
        terminal.show(labelled(one.name, one.summary, width, columns=columns))
    return exit_codes.OK


def _run(
    name: str, agent_name: str | None, seed: int, output: Output, *, explain: bool, plot: str | None
) -> int:
    from sim_backend.stories import catalogue, report_text  # noqa: PLC0415 - not on a real guest
    from sim_backend.stories.agents import AGENTS, agent  # noqa: PLC0415
    from sim_backend.stories.policy_agent import PolicyAgent  # noqa: PLC0415

    try:
        scenario = catalogue.load(name)
    except KeyError:
        known = catalogue.scenario_names()
        hint = did_you_mean(name, known) or f" There are: {', '.join(known)}."
        raise click.UsageError(f"There is no scenario '{name}'.{hint}") from None
    acts = agent_name or scenario.mode
    if acts not in AGENTS:
        hint = did_you_mean(acts, AGENTS)
        raise click.UsageError(f"There is no agent '{acts}'.{hint} There are: {', '.join(AGENTS)}.")
    who = agent(acts, keeps_record=explain)
    if explain and not isinstance(who, PolicyAgent):
        raise click.UsageError(f"Agent '{acts}' gives no reasons; take a mode: {scenario.mode}.")
    report = scenario.run(seed, who)
    if plot is not None:
        from sim_backend.stories.plot import plot_svg  # noqa: PLC0415

        with writing(plot):
            write_whole(plot, plot_svg(report))

    def lines(width: int) -> list[Line]:
        rows = [*report_text.report_rows(scenario, report, width)]
        if isinstance(who, PolicyAgent) and explain:
            rows += report_text.decision_rows(who.record)
        told = report_text.answer(report)
        return simulate_lines(name, told, rows, passed=report.passed, width=width)

    output.show(lambda: report_text.report_object(scenario, report), lines)
    return exit_codes.OK if report.passed else exit_codes.WARNING


def simulate_lines(
    scenario: str, answer: str, rows: Iterable[tuple[str, str, str]], *, passed: bool, width: int
) -> list[Line]:
    """The whole screen; a row is what stands before its text, the text, and a style."""
    lines = simulation_banner(scenario, width)
    lines += judged_lines("ok" if passed else "warning", answer, width)
    for lead, text, style in rows:
        body = wrapped(text, width, indent=" " * len(lead), style=style) or [line("")]
        first = body[0][0].text[len(lead) :]
        lines += [line(Span(lead, style or "dim"), Span(first, style)), *body[1:]]
    return lines


def _demonstrate(directory: str, seed: int) -> int:
    from sim_backend.stories import demonstration  # noqa: PLC0415 - not needed on a real guest

    click.echo("\n".join(demonstration.NOTICE))
    with writing(directory):
        os.makedirs(directory, exist_ok=True)
    written = []
    for number, told in enumerate(demonstration.play(seed), 1):
        click.echo("\n" + "\n".join(demonstration.story_lines(told, number)))
        for name, svg in told.plots().items():
            path = os.path.join(directory, name)
            with writing(path):
                write_whole(path, svg)
            written.append(path)
    click.echo("\nPlots (simulated as well):")
    click.echo("\n".join(f"  {path}" for path in written))
    return exit_codes.OK


def _must_be_svg(path: str) -> None:
    """A file named .png that holds SVG would open nowhere."""
    stem, suffix = os.path.splitext(path)
    if suffix.lower() not in ("", ".svg"):
        raise click.UsageError(
            f"--plot draws SVG, not {suffix[1:].upper()}: name the file {stem}.svg "
            "(every browser shows it; rsvg-convert makes other formats of it)."
        )
