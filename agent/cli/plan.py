# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent plan`."""

from __future__ import annotations

from typing import Final, NamedTuple

import click

from agent import exit_codes
from agent.cli.endings import complain
from agent.cli.options import Output, with_output
from agent.cli.values import SIZE, Parsed
from agent.cli.which_domain import WhichDomain
from agent.core.account.situation import understand
from agent.core.boot.map import HVM_HOLE_KIB
from agent.core.facts.kernel_release import (
    KernelRelease,
    bits_of,
    is_own_build,
    parse_kernel_release,
)
from agent.core.facts.snapshot import DomainType
from agent.core.plan.plan import plan as make_plan
from agent.core.plan.request import DEFAULT_KERNEL, DEFAULT_VIDEORAM_KIB, PlanError, PlanRequest
from agent.core.plan.target import advise
from agent.report.plan_json import advice_object, plan_object
from agent.report.plan_text import VERDICTS, advice_lines, plan_lines

_TYPES: Final[dict[str, DomainType]] = {"pv": "pv", "pvh": "pvh", "hvm": "hvm", "dom0": "dom0-pv"}
_BITS: Final = {"x86_64": 64, "i386": 32}


class _Kernel(NamedTuple):
    """What `uname -r` tells: the release, whether not Debian built it, and of how many bits."""

    release: KernelRelease
    own_build: bool
    bits: int


def _kernel(text: str) -> _Kernel:
    """The release number in `6.1`, or in what `uname -r` says."""
    release = parse_kernel_release(text)
    if release is None:
        raise ValueError(f"{text!r} is no Linux release; write for example 6.1 or 6.1.0-56-amd64.")
    return _Kernel(release, is_own_build(text), bits_of(text))


@click.command(
    epilog="""\b
Examples:
  balloon-agent plan --memory 512M --maxmem 4G
  balloon-agent plan --memory 1G --maxmem 16G --type pvh --kernel 6.1 --json | jq .boots
  balloon-agent plan --type dom0 --memory 2G --maxmem 4G --host-memory 64G
  balloon-agent plan --target 384M    would 384 MiB hurt this guest now?

\b
Exit status: 0 yes   1 risky   2 no   4 cannot be told
"""
)
@click.option("--memory", type=SIZE, help="What the guest starts with (bare numbers are MiB).")
@click.option("--maxmem", type=SIZE, help="What it may grow to; as --memory if left out.")
@click.option(
    "--type",
    "kind",
    type=click.Choice(list(_TYPES)),
    default="pv",
    show_default=True,
    help="What it runs as.",
)
@click.option(
    "--kernel",
    type=Parsed("release", _kernel),
    default=f"{DEFAULT_KERNEL.major}.{DEFAULT_KERNEL.minor}",
    show_default=True,
    help="The guest's Linux, as `uname -r` says it or shorter.",
)
@click.option(
    "--arch",
    type=click.Choice(list(_BITS)),
    help="The kernel's architecture; by its release, else x86_64, if left out.",
)
@click.option(
    "--vcpus", type=click.IntRange(1, 4096), default=1, show_default=True, help="Virtual CPUs."
)
@click.option("--videoram", type=SIZE, help="Video memory; 8M for an HVM guest if left out.")
@click.option(
    "--mmio-hole", type=SIZE, help="An HVM guest's hole for devices below 4 GiB; 256M if left out."
)
@click.option("--e820-host", is_flag=True, help="PV with e820_host=1: the host's map.")
@click.option("--host-memory", type=SIZE, help="With --type dom0: what the host has.")
@click.option("--target", type=SIZE, help="Ask about this size for the guest that runs.")
@with_output("Draw")
@click.pass_obj
def plan(
    which: WhichDomain,
    *,
    memory: int | None,
    maxmem: int | None,
    kind: str,
    kernel: _Kernel,
    arch: str | None,
    vcpus: int,
    videoram: int | None,
    mmio_hole: int | None,
    e820_host: bool,
    host_memory: int | None,
    target: int | None,
    output: Output,
) -> int:
    """Say what a guest will have before it boots, or whether a new target would hurt.

    With --memory and --maxmem: the memory map, how much of maxmem can be reached, what page
    structures and tables cost, MemTotal at boot and at other targets, whether it boots at all, and
    the lines for xl.cfg, xe and the Xen command line.  With --target: whether this guest (or
    --root, --sim) would suffer from that size now, and how far is safe.
    """
    if target is not None:
        if memory is not None or maxmem is not None:
            raise click.UsageError(
                "--target asks about a running guest, --memory and --maxmem about one that has "
                "not booted: give one or the other."
            )
        return _target(which, target, output)
    if memory is None:
        raise click.UsageError(
            "Give --memory and --maxmem of a guest to plan, or --target for the one that runs."
        )
    if videoram is None:
        videoram = DEFAULT_VIDEORAM_KIB if kind == "hvm" else 0
    request = PlanRequest(
        _TYPES[kind],
        memory,
        memory if maxmem is None else maxmem,
        kernel.release,
        kernel.bits if arch is None else _BITS[arch],
        videoram,
        e820_host,
        host_memory,
        vcpus,
        HVM_HOLE_KIB if mmio_hole is None else mmio_hole,
        own_build=kernel.own_build,
    )
    try:
        made = make_plan(request)
    except PlanError as error:
        raise click.UsageError(str(error)) from error
    output.show(lambda: plan_object(made), lambda width: plan_lines(made, width))
    return exit_codes.OF_VERDICT[VERDICTS[made.boots]]


def _target(which: WhichDomain, target_kib: int, output: Output) -> int:
    situation = understand(which.snapshot())
    advice = advise(situation, target_kib)
    if advice is None:
        complain(
            "nothing can be said: the balloon's current_kb or /proc/meminfo could not be read. "
            "See balloon-agent status."
        )
        return exit_codes.UNKNOWN
    output.show(
        lambda: advice_object(advice, situation),
        lambda width: advice_lines(advice, situation, width),
    )
    return exit_codes.OF_VERDICT[VERDICTS[advice.answer]]
