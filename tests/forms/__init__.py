# SPDX-License-Identifier: GPL-2.0-or-later
"""What is installed, in each of its forms, against the tree."""
