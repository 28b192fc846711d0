# SPDX-License-Identifier: GPL-2.0-or-later
"""`python3 -m tests.manual > docs/balloon-agent.1`."""

import sys

from tests.manual.page import manual

sys.stdout.write(manual())
