# SPDX-License-Identifier: GPL-2.0-or-later
"""The error that ends a command: one sentence, and the exit status that goes with it."""

from __future__ import annotations


class CommandError(Exception):
    """A sentence for the user; see `agent.exit_codes` for the status."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.status = status
