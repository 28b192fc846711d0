# SPDX-License-Identifier: GPL-2.0-or-later
"""The error that ends a command: one sentence, and the exit status that goes with it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from agent import exit_codes


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
