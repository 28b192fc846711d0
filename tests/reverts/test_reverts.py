# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of fixes is of this tree: what would be undone is there, and so are the tests.

`python3 -m tests.reverts` undoes each, and shows that its tests fail.
"""

from __future__ import annotations

import pytest

from tests.reverts.table import FIXES, Reverted
from tests.support.copied_tree import TOP
from tests.support.named_tests import is_there


@pytest.mark.parametrize("fix", FIXES, ids=lambda fix: fix.fault)
def test_each_fix_can_be_undone_and_names_tests_that_exist(fix: Reverted) -> None:
    assert fix.tests
    for undo in fix.undone_by:
        assert undo.old in (TOP / undo.file).read_text(encoding="utf-8")
        assert undo.old != undo.new
    for test in fix.tests:
        assert is_there(test.partition("[")[0]), test
