# SPDX-License-Identifier: GPL-2.0-or-later
"""The store against the plainest model of it: a dict of values that dom0 and one guest share."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    precondition,
    rule,
)

from sim_backend.xenstore.names import ancestry
from sim_backend.xenstore.store import Store
from tests.sim_backend.xenstore.refusals import refusal
from tests.support.simulated_xenstore import KeptSession

PATHS = ("a", "a/b", "a/b/c", "a/d", "e", "e/f")
VALUES = (b"", b"1", b"2")
BASE = "/local/domain/5/data"


def absolute(path: str) -> str:
    return f"{BASE}/{path}"


class Model:
    """Values by path; a node that exists has every directory above it."""

    def __init__(self, values: dict[str, bytes] | None = None) -> None:
        self.values = dict(values or {})

    def write(self, path: str, value: bytes) -> None:
        for place in ancestry(f"/{path}")[1:-1]:
            self.values.setdefault(place[1:], b"")
        self.values[path] = value

    def rm(self, path: str) -> None:
        for place in list(self.values):
            if place == path or place.startswith(f"{path}/"):
                del self.values[place]

    def may_rm(self, path: str) -> bool:
        above = ancestry(f"/{path}")[1][1:]
        return not above or above in self.values


class StoreMachine(RuleBasedStateMachine):
    """Writes and removals, directly and in transactions, and one watch of everything."""

    transactions: Bundle[int] = Bundle("transactions")

    def __init__(self) -> None:
        super().__init__()
        self.store = Store()
        self.store.create_domain(5)
        self.store.introduce(5)
        self.dom0 = KeptSession(self.store)
        self.dom0.write(BASE, b"")
        self.dom0.set_perms(BASE, ["n5"])
        self.guest = KeptSession(self.store, 5)
        self.guest.watch("data", "all")
        self.guest.take_events()
        self.model = Model()
        self.changes = 0
        # What a transaction began with, what it has done, and whether anything changed since.
        self.open: dict[int, tuple[Model, int]] = {}

    def _changed(self) -> None:
        self.changes += 1

    @rule(path=st.sampled_from(PATHS), value=st.sampled_from(VALUES), as_dom0=st.booleans())
    def write(self, path: str, value: bytes, as_dom0: bool) -> None:
        self.guest.take_events()
        session = self.dom0 if as_dom0 else self.guest
        session.write(absolute(path), value)
        self.model.write(path, value)
        self._changed()
        assert self.guest.take_events() == [(f"data/{path}", "all")]

    @rule(path=st.sampled_from(PATHS))
    def rm(self, path: str) -> None:
        self.guest.take_events()
        existed = path in self.model.values
        if not self.model.may_rm(path):
            assert refusal(lambda: self.guest.rm(absolute(path))) == "ENOENT"
            return
        self.guest.rm(absolute(path))
        self.model.rm(path)
        if existed:
            self._changed()
        assert self.guest.take_events() == ([(f"data/{path}", "all")] if existed else [])

    @precondition(lambda self: len(self.open) < 3)
    @rule(target=transactions)
    def begin(self) -> int:
        number = self.guest.begin()
        self.open[number] = (Model(self.model.values), self.changes)
        return number

    @rule(tx=transactions, path=st.sampled_from(PATHS), value=st.sampled_from(VALUES))
    def write_inside(self, tx: int, path: str, value: bytes) -> None:
        inside, began = self.open[tx]
        self.guest.write(absolute(path), value, tx)
        inside.write(path, value)
        if began == self.changes:
            assert self.guest.read(absolute(path), tx).value == value

    @rule(tx=transactions, path=st.sampled_from(PATHS))
    def read_inside(self, tx: int, path: str) -> None:
        inside, began = self.open[tx]
        if began != self.changes:
            return
        if path in inside.values:
            assert self.guest.read(absolute(path), tx).value == inside.values[path]
        else:
            assert refusal(lambda: self.guest.read(absolute(path), tx)) == "ENOENT"

    @rule(tx=consumes(transactions), commit=st.booleans())
    def end(self, tx: int, commit: bool) -> None:
        inside, began = self.open.pop(tx)
        before = self._values()
        refused = refusal(lambda: self.guest.end(tx, commit=commit))
        assert refused is None or (refused == "EAGAIN" and commit and began != self.changes)
        if refused or not commit:
            assert self._values() == before
        elif began == self.changes:
            if self._values() != before:
                self._changed()
            self.model = inside
        else:  # what it touched had not changed: the rest stays as it is
            self.model.values = self._values()
            self._changed()

    def _values(self) -> dict[str, bytes]:
        below = f"{BASE}/"
        nodes = self.store.nodes.items()
        return {path[len(below) :]: node.value for path, node in nodes if path.startswith(below)}

    @invariant()
    def the_store_holds_what_the_model_holds(self) -> None:
        assert self._values() == self.model.values

    @invariant()
    def tree_and_accounts_fit_together(self) -> None:
        self.store.check()

    def teardown(self) -> None:
        self.store.remove_domain(5)
        assert self._values() == {}
        self.store.check()


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
