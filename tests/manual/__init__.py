# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the manual page that is kept in docs: `python3 -m tests.manual`."""
