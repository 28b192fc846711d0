# SPDX-License-Identifier: GPL-2.0-or-later
"""How commands end: an exit status, and on standard error at most one sentence."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TextIO

from agent import exit_codes

# What a standard output that is a file on a full or broken disk answers.
_OUTPUT_ERRNOS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class CommandError(Exception):
    """A sentence for the user; see `agent.exit_codes` for the status."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.status = status


@contextlib.contextmanager
def writing(path: str) -> Iterator[None]:
    """While what is at a path that the user has named is written.

    Raises:
        CommandError: it could not be.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or "input/output error"
        raise CommandError(
            f"{path} could not be written: {reason}.", exit_codes.CANNOT_CREATE
        ) from error


def ended(command: Callable[[], Any], explain: Callable[[BaseException], int] | None = None) -> int:
    """Run a command to its end; `explain` may have its own way to tell of an error."""
    try:
        result = command()
        sys.stdout.flush()
    except (BrokenPipeError, ConnectionResetError, SystemExit):
        # Who was to read it is gone: a pipe breaks (click exits then), or a peer resets.
        silence(sys.stdout)
        return exit_codes.OK
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("BALLOON_AGENT_DEBUG"):
            raise
        return (explain or explained)(error)
    return result if isinstance(result, int) else exit_codes.OK


def explained(error: BaseException) -> int:
    """One sentence about what ended the command, and the exit status for it."""
    if isinstance(error, KeyboardInterrupt):
        return exit_codes.INTERRUPTED
    if isinstance(error, CommandError):
        complain(error.sentence)
        return error.status
    if isinstance(error, OSError) and is_of_the_output(error):
        silence(sys.stdout)
        complain(f"the output could not be written: {error.strerror}.")
        return exit_codes.CANNOT_CREATE
    complain(
        f"internal error: {type(error).__name__}: {error}. Please report it with what "
        "BALLOON_AGENT_DEBUG=1 balloon-agent ... prints."
    )
    return exit_codes.INTERNAL


def is_of_the_output(error: OSError) -> bool:
    """Whether it is standard output that could not be written, and no file of a name."""
    return error.errno in _OUTPUT_ERRNOS and error.filename is None


def silence(stream: TextIO) -> None:
    """Let nothing more be written there, not even what is still buffered when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def as_sentence(text: str) -> str:
    """The text with something at its end that ends a sentence."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def complain(sentence: str) -> None:
    """What went wrong, in one line on standard error."""
    remark(f"balloon-agent: {sentence}")


def remark(text: str) -> None:
    """One line on standard error; that nobody can have it ends nothing and changes no status."""
    try:
        sys.stderr.write(f"{text}\n")
    except OSError:
        silence(sys.stderr)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint, behind a space, where a word is close to one that there is; else nothing."""
    import difflib  # noqa: PLC0415 - only to help after a typing error

    close = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean '{close[0]}'?" if close else ""
