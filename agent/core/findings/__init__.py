# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wrong, how that is known and what cures it; the verdict and the headline.

May import `facts`, `boot` and `account`; not `policy`, which decides and does not judge.
"""
