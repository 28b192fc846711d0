# SPDX-License-Identifier: GPL-2.0-or-later
"""The error that ends a command: one sentence, and the exit status that goes with it."""

from __future__ import annotations

from agent import exit_codes


class CommandError(Exception):
    """A sentence for the user; see `agent.exit_codes` for the status."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.status = status


def cannot_write(path: str, error: OSError) -> CommandError:
    """Of a file that the user has named."""
    reason = error.strerror or "input/output error"
    return CommandError(f"{path} could not be written: {reason}.", exit_codes.CANNOT_CREATE)
