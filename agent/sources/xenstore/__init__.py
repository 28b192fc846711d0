# SPDX-License-Identifier: GPL-2.0-or-later
"""Speaking to xenstored: packets, transport, session, watches, and a guest's keys as a source.

May import `agent.core.facts` and the general modules of `agent.sources`.
"""
