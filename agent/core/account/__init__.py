# SPDX-License-Identifier: GPL-2.0-or-later
"""Where every page is: the reconciliation, the state of the balloon, the room, the waterfall.

`situation.understand` puts it together.  May import `facts` and `boot`.
"""
