# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent capture`."""

from __future__ import annotations

import os

import click

from agent import exit_codes
from agent.cli.endings import CommandError, writing
from agent.cli.which_domain import WhichDomain
from agent.report.whole_file import is_device


@click.command(
    epilog="""\b
Example:
  balloon-agent capture guest.tar.gz
  mkdir guest && tar -C guest -xzf guest.tar.gz && balloon-agent --root guest status
"""
)
@click.argument("file", metavar="FILE.tar.gz", type=click.Path(dir_okay=False))
@click.option("--force", is_flag=True, help="Overwrite FILE.tar.gz if it exists.")
@click.pass_obj
def capture(which: WhichDomain, *, file: str, force: bool) -> int:
    """Write what was read of this guest to FILE.tar.gz, for a bug report.

    It holds memory figures and nothing that identifies you: no names, no UUID, of the kernel's
    log and command line only what concerns memory.  `--root` reads it back once unpacked.
    """
    from agent.capture import captured_files  # noqa: PLC0415
    from agent.report.capture_archive import archive  # noqa: PLC0415

    if which.sim is not None:
        raise CommandError(
            "A capture is of a real guest; leave out --sim, and use simulate for a simulated one.",
            exit_codes.USAGE,
        )
    which.snapshot()  # ends here, with a sentence, where there is no Xen domain
    if is_device(file):
        raise CommandError(f"{file} is a device; name a file.", exit_codes.CANNOT_CREATE)
    if os.path.exists(file) and not force:
        raise CommandError(f"{file} exists; add --force to overwrite it.", exit_codes.CANNOT_CREATE)
    files = captured_files(which.system_root(), which.keys())
    with writing(file):
        archive(files, file)
    click.echo(f"Wrote {len(files)} files to {file}.")
    return exit_codes.OK
