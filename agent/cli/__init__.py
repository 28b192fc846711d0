# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: one module a command, imported when it is asked for; the only place of click.

May import everything of the agent, and the simulation where a user asks for it.
"""
