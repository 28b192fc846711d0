# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of mends is of this tree: what would be undone is there, and so are the tests.

`python3 -m tests.mends` undoes each, and shows that its tests fail.
"""

from __future__ import annotations

import pytest

from tests.mends.__main__ import TOP
from tests.mends.table import MENDS, Mend
from tests.support.named_tests import is_there


@pytest.mark.parametrize("mend", MENDS, ids=lambda mend: mend.fault)
def test_each_mend_can_be_undone_and_names_tests_that_exist(mend: Mend) -> None:
    assert mend.tests
    for undo in mend.undone_by:
        assert undo.old in (TOP / undo.file).read_text(encoding="utf-8")
        assert undo.old != undo.new
    for test in mend.tests:
        assert is_there(test.partition("[")[0]), test
