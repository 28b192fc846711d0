# SPDX-License-Identifier: GPL-2.0-or-later
"""The domain's own words and rules: values in, values out, no I/O, no clock, no third party.

Five floors, each built on those below it: facts; boot; account; findings and policy; plan.
"""
