# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the lab's artifacts from Debian's packages, each one only when an input changed."""
