# SPDX-License-Identifier: GPL-2.0-or-later
"""The manual page, made from what --help shows: `python3 -m tests.manual`.

The text of every command, option and example is written once, in the commands themselves.  What
a page has beyond that (files, environment, completion) is here.
"""

from __future__ import annotations

import re
from typing import Final

import click

from agent.cli.application import application

_ROFF: Final = str.maketrans({"\\": "\\e", "-": "\\-", "~": "\\(ti", "^": "\\(ha", "'": "\\(aq"})
_VERBATIM: Final = "\b"  # click's mark for a paragraph that is not to be filled

_BEYOND: Final = """\
.SH FILES
.TP
.I /sys/devices/system/xen_memory/xen_memory0
The balloon driver's numbers; nothing but the daemon writes there.
.TP
.I /sys/firmware/memmap
The firmware's memory map.
.TP
.I /etc/balloon\\-agent/config.toml
The daemon's configuration.
.TP
.I /run/balloon\\-agent/status.json
What the daemon published last.
.SH ENVIRONMENT
.TP
.B NO_COLOR
Any value: no colours.
.TP
.B COLUMNS
The width to draw for, where the terminal does not tell.
.TP
.B TERM
With the value
.I dumb
the live view appends frames and writes no control codes, as a serial console wants it.
.TP
.B BALLOON_AGENT_DEBUG
Any value: an internal error shows where it happened.
.SH SHELL COMPLETION
The Debian package brings it. Elsewhere put it into place once, as root or into your own directory:
.PP
.nf
.RS
_BALLOON_AGENT_COMPLETE=bash_source balloon\\-agent \\e
  > /etc/bash_completion.d/balloon\\-agent
_BALLOON_AGENT_COMPLETE=zsh_source balloon\\-agent \\e
  > /usr/local/share/zsh/site\\-functions/_balloon\\-agent
_BALLOON_AGENT_COMPLETE=fish_source balloon\\-agent \\e
  > /etc/fish/completions/balloon\\-agent.fish
.RE
.fi
.SH SEE ALSO
.BR xl (1),
.BR xl.cfg (5),
.BR proc (5),
.BR systemd.socket (5)
"""


def manual() -> str:
    """The whole page in the man macros of roff."""
    context = click.Context(application, info_name="balloon-agent")
    about = _first_sentence(application.help or "")
    lines = [
        '.\\" SPDX-License-Identifier: GPL-2.0-or-later',
        '.\\" Made by python3 -m tests.manual; change the commands, not this file.',
        '.TH BALLOON\\-AGENT 1 "" "balloon\\-agent" "User Commands"',
        ".SH NAME",
        f"balloon\\-agent \\- {_escaped(about[0].lower() + about[1:].rstrip('.'))}",
        ".SH SYNOPSIS",
        ".B balloon\\-agent",
        "[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]",
        ".SH DESCRIPTION",
        *_paragraphs(application.help or ""),
        ".SH OPTIONS",
        "Those that say which domain are accepted before and after the command.",
        *_options(application),
        ".SH COMMANDS",
        *_commands(application, context),
        *_epilog(application.epilog or "", ".SH "),
    ]
    return "\n".join(lines) + "\n" + _BEYOND


def _commands(group: click.Group, context: click.Context, before: str = "") -> list[str]:
    """Every command of a group; behind one that is itself a group, those below it."""
    lines: list[str] = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        own = click.Context(command, info_name=name, parent=context)
        lines += _entry(command, before + name, own)
        if isinstance(command, click.Group):
            lines += _commands(command, own, f"{name} ")
    return lines


def _entry(command: click.Command, name: str, own: click.Context) -> list[str]:
    usage = " ".join(command.collect_usage_pieces(own))
    return [
        f'.SS "{_escaped(name)}"',
        f"\\fBballoon\\-agent {_escaped(name)}\\fR {_escaped(usage)}",
        ".PP",
        *_paragraphs(command.help or ""),
        *_options(command),
        *_epilog(command.epilog or "", ".PP\n.B "),
    ]


def _options(command: click.Command) -> list[str]:
    """Each option with its own line of help.

    Not click's own layout of it, which changes from release to release.
    """
    lines: list[str] = []
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            names = ", ".join(option.opts)
            value = "" if option.is_flag else f" \\fI{_escaped(_value_of(option))}\\fR"
            text = option.help or ""
            if option.show_default and not option.is_flag:
                text += f" [default: {option.default}]"
            lines += [".TP", f"\\fB{_escaped(names)}\\fR{value}", _escaped(text)]
    return lines


def _value_of(option: click.Option) -> str:
    if option.metavar:
        return option.metavar
    if isinstance(option.type, click.Choice):
        return "|".join(str(choice) for choice in option.type.choices)
    return "N" if isinstance(option.type, click.types.IntParamType) else option.type.name.upper()


def _paragraphs(text: str) -> list[str]:
    """Filled text; a verbatim paragraph stays as it is."""
    lines: list[str] = []
    for paragraph in _split(text):
        if lines:
            lines.append(".PP")
        lines += _verbatim(paragraph[1:]) if paragraph[0] == _VERBATIM else _filled(paragraph)
    return lines


def _epilog(text: str, heading: str) -> list[str]:
    """Blocks that begin with a line `Title:`, and go on verbatim where nothing is behind that."""
    lines: list[str] = []
    for paragraph in _split(text):
        rows = paragraph[1:] if paragraph[0] == _VERBATIM else paragraph
        title, colon, rest = rows[0].partition(":")
        if not colon:
            lines += [".PP", *_verbatim(rows)]
            continue
        shown = title.upper() if heading.startswith(".SH") else title
        lines += [f"{heading}{_escaped(shown)}", ".PP"]
        lines += _filled([rest, *rows[1:]]) if rest.strip() else _verbatim(rows[1:])
    return lines


def _split(text: str) -> list[list[str]]:
    return [part.strip("\n").split("\n") for part in re.split(r"\n\s*\n", text.strip("\n")) if part]


def _filled(rows: list[str]) -> list[str]:
    return [_escaped(row.strip()) for row in rows if row.strip()]


def _verbatim(rows: list[str]) -> list[str]:
    indent = min((len(row) - len(row.lstrip()) for row in rows if row.strip()), default=0)
    return [".nf", ".RS", *(_escaped(row[indent:].rstrip()) for row in rows), ".RE", ".fi"]


def _first_sentence(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split()).partition(". ")[0]


def _escaped(text: str) -> str:
    """Plain text for roff: nothing in it is a request or an escape."""
    text = text.translate(_ROFF)
    return f"\\&{text}" if text.startswith(".") else text
