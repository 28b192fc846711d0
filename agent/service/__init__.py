# SPDX-License-Identifier: GPL-2.0-or-later
"""What makes a service of an agent that no distribution's package brought."""
