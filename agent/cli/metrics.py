# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent metrics`."""

from __future__ import annotations

import sys

import click

from agent import exit_codes
from agent.cli.endings import CommandError, writing
from agent.cli.which_domain import WhichDomain
from agent.report.whole_file import write_whole

_MISSING = (
    "metrics needs the Python package prometheus_client: "
    "apt-get install python3-prometheus-client, or pip install 'balloon-agent[metrics]'."
)


@click.command(
    epilog="""\b
Examples:
  balloon-agent metrics
  balloon-agent metrics --output /var/lib/prometheus/node-exporter/balloon-agent.prom
  balloon-agent --sim balloon-up metrics | promtool check metrics
  balloon-agent metrics --guests          in dom0
"""
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Write to FILE, in one step, for node_exporter's textfile collector.",
)
@click.option(
    "--http",
    is_flag=True,
    help="Answer one HTTP request on standard input: what systemd's socket starts.",
)
@click.option(
    "--guests", is_flag=True, help="In dom0: those of its guests, instead of its own balloon."
)
@click.pass_obj
def metrics(which: WhichDomain, *, output: str | None, http: bool, guests: bool) -> int:
    """Print the state of the balloon as Prometheus metrics.

    Sizes are in bytes, times in seconds; what could not be read is left out.
    """
    if output and http:
        raise click.UsageError("--output and --http exclude each other.")
    if http:
        return _serve(which, guests=guests)
    text = _text(which, guests=guests)
    if output is None:
        sys.stdout.write(text)
    else:
        with writing(output):
            write_whole(output, text, 0o644)  # node_exporter runs as somebody else
    return exit_codes.OK


def _text(which: WhichDomain, *, guests: bool) -> str:
    try:  # they need a package which need not be there
        from agent.report.host_metrics_text import host_metrics_text  # noqa: PLC0415
        from agent.report.metrics_text import metrics_text  # noqa: PLC0415
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "prometheus_client":
            raise
        raise CommandError(_MISSING, exit_codes.MISSING_PART) from None
    if not guests:
        return metrics_text(which.assessment())
    from agent.cli.host import ThisHost  # noqa: PLC0415 - for dom0 alone

    with ThisHost(which) as host:
        return host_metrics_text(host.look())


def _serve(which: WhichDomain, *, guests: bool) -> int:
    """One request, one answer; a domain that cannot be read is 503 with the sentence."""
    from agent.cli.http_once import Answer, serve_once  # noqa: PLC0415 - only behind a socket

    def collected() -> Answer:
        try:
            text = _text(which, guests=guests)
        except CommandError as error:
            return Answer(503, f"{error.sentence}\n")
        from agent.report.exposition import CONTENT_TYPE  # noqa: PLC0415 - as above

        return Answer(200, text, CONTENT_TYPE)

    serve_once(collected)
    return exit_codes.OK
