# SPDX-License-Identifier: GPL-2.0-or-later
"""`pyxs.Client` over a `LoopRouter`; the only module that imports pyxs.

`pyxs.Client` hands every request to a router and waits for what that gives back, so with a router
of ours all of it works, transactions included, and none of it hangs.
"""

from __future__ import annotations

import pyxs

from agent.sources.xenstore.requests import Requests
from agent.sources.xenstore.router import LoopRouter


class RoutedClient(Requests, pyxs.Client):
    """Values of any bytes, and errors of our own.

    pyxs's `read`, `list` and `delete` are left unused: they begin with a check that asks for the
    working directory, which may be gone.
    """

    router: LoopRouter

    def __init__(self, router: LoopRouter) -> None:
        pyxs.Client.__init__(self, router=router)  # type: ignore[no-untyped-call]
