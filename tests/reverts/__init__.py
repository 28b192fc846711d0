# SPDX-License-Identifier: GPL-2.0-or-later
"""Each fault that was found by attack: undone, its tests fail."""
