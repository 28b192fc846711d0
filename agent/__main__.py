# SPDX-License-Identifier: GPL-2.0-or-later
"""`python3 -m agent`: the same as the command `balloon-agent`."""

from __future__ import annotations

import sys

from agent.cli.main import main

sys.exit(main())
