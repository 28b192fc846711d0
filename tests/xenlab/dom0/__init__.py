# SPDX-License-Identifier: GPL-2.0-or-later
"""What runs in dom0. Standard library only."""
