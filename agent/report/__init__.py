# SPDX-License-Identifier: GPL-2.0-or-later
"""What people and programs outside see: JSON, screens, pictures.  Built from the core's values."""
