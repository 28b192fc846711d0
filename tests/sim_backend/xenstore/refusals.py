# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from collections.abc import Callable

from sim_backend.xenstore.errors import XenstoreError


def refusal(request: Callable[[], object]) -> str | None:
    """The name of the error that a request ends in, None when there is none."""
    try:
        request()
    except XenstoreError as error:
        return error.name
    return None
