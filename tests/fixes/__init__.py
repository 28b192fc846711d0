# SPDX-License-Identifier: GPL-2.0-or-later
"""What is printed as a fix is executed, on every guest that shows the finding."""
