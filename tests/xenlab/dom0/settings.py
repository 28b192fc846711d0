# SPDX-License-Identifier: GPL-2.0-or-later
"""What holds for this boot of the host, from the words `lab.NAME=VALUE` of dom0's command line.

toolstack-and-driver hands them on in the environment.
"""

from __future__ import annotations

import os
import time
from typing import Final

PATIENCE: Final = float(os.environ.get("LAB_PATIENCE", "1"))
"""How many times as long as on a quiet machine everything may take."""
XENSTORED: Final = os.environ.get("LAB_XENSTORED", "ocaml")
DOM0_TYPE: Final = os.environ.get("LAB_DOM0", "pv")


def deadline(within_s: float) -> float:
    """Return the monotonic time at which so much patience has run out."""
    return time.monotonic() + within_s * PATIENCE
