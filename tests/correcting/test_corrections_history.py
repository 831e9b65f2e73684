"""Whatever is painted, undone, redone and reopened, wherever the process dies: the file is what a plain model says."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_corrections import AUTHORS, SHAPE, TABLE, VALUES, Action, Model, blank, state
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fctl_napari.correcting import undo_history, write_ahead_log
from fctl_napari.correcting.correction_store import CorrectionStore
from fctl_napari.correcting.corrections import Corrections, Stroke
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid

STROKE = {
    "location": st.tuples(st.integers(0, 12), st.integers(0, 5)),
    "size": st.tuples(st.integers(1, 300), st.integers(1, 300)),
    "value": st.sampled_from(VALUES),
    "seed": st.integers(0, 1000),
    "author": st.sampled_from(AUTHORS),
}


class Died(BaseException):
    """The process is gone."""


class Painting(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "c.ome.zarr"
        self.patch = pytest.MonkeyPatch()
        self.model = Model()
        self.known: list[str] = []

    @initialize(kept=st.sampled_from([2, 4, 100]), settle=st.sampled_from([1, 3, 1000]))
    def create(self, kept: int, settle: int) -> None:
        self.kept = kept
        self.patch.setattr(undo_history, "KEPT_ACTIONS", kept)
        self.patch.setattr(write_ahead_log, "SETTLE_EVERY", settle)
        self.corrections = Corrections.create(self.path, blank(), TABLE)

    def teardown(self) -> None:
        if hasattr(self, "corrections"):
            self.corrections.close()
            np.testing.assert_array_equal(state(Corrections.open(self.path)), self.model.state())
        self.patch.undo()
        self.folder.cleanup()

    def number(self, author: str) -> int:
        if author not in self.known:
            self.known.append(author)
        return self.known.index(author) + 1

    def draw_stroke(self, location: tuple[int, int], size: tuple[int, int], value: int, seed: int) -> dict[str, Any]:
        # few places, so that strokes lie over each other
        y, x = min(location[0] * 90, SHAPE[0] - size[0]), min(location[1] * 100, SHAPE[1] - size[1])
        rng = np.random.default_rng(seed)
        mask = rng.random(size) < 0.6
        mask[0, 0] = True
        values = np.full(size, value, np.uint8)
        if seed % 3 == 0:
            values = rng.choice(np.array(VALUES, np.uint8), size)
        return {"y": y, "x": x, "mask": mask, "values": values}

    @rule(**STROKE)
    def paint(self, location: Any, size: Any, value: int, seed: int, author: str) -> None:
        s = self.draw_stroke(location, size, value, seed)
        found = self.corrections.write(s["y"], s["x"], s["values"], mask=s["mask"], author=author)
        assert found is not None
        assert found.pixels == s["mask"].sum()
        self.model.paint(found.action, self.number(author), **s)

    @rule(**STROKE)
    def paint_what_differs(self, location: Any, size: Any, value: int, seed: int, author: str) -> None:
        s = self.draw_stroke(location, size, value, seed)
        height, width = size
        there = self.model.state()[0, s["y"] : s["y"] + height, s["x"] : s["x"] + width]
        s["mask"] = there != s["values"]
        found = self.corrections.write(s["y"], s["x"], s["values"], author=author)
        assert (found is None) == (not s["mask"].any())
        if found is not None:
            self.model.paint(found.action, self.number(author), **s)

    @precondition(lambda self: self.model.actions and not self.model.undone)
    @rule(**STROKE)
    def paint_more_of_an_action(self, location: Any, size: Any, value: int, seed: int, author: str) -> None:
        last = self.model.actions[-1]
        if last.undone or last.gone:
            return
        s = self.draw_stroke(location, size, value, seed)
        name = self.known[last.author - 1]
        self.corrections.write(s["y"], s["x"], s["values"], mask=s["mask"], author=name, together=last.number)
        self.model.paint(last.number, last.author, **s)

    @rule(author=st.sampled_from([None, *AUTHORS]))
    def undo(self, author: str | None) -> None:
        number = None if author is None else self.known.index(author) + 1 if author in self.known else 0
        candidates = self.model.to_undo(number)
        able = self.corrections.can_undo(author)
        action = self.turned(candidates, self.corrections.undo(author))
        assert able == (action is not None)
        if action is not None:
            action.undone = True
            self.model.undone.append(action)

    @rule(author=st.sampled_from([None, *AUTHORS]))
    def redo(self, author: str | None) -> None:
        number = None if author is None else self.known.index(author) + 1 if author in self.known else 0
        candidates = self.model.to_redo(number)
        able = self.corrections.can_redo(author)
        action = self.turned(candidates, self.corrections.redo(author))
        assert able == (action is not None)
        if action is not None:
            action.undone = False
            self.model.undone.remove(action)

    def turned(self, candidates: list[Action], found: Stroke | None) -> Action | None:
        """Which action it was; those whose turn it would have been are older than what is kept."""
        for action in candidates:
            if found is not None and found.action == action.number:
                return action
            assert self.model.age(action) >= self.kept, "an action was forgotten too soon"
            if action.undone:
                action.gone = True
                self.model.undone.remove(action)
        assert found is None
        return None

    @rule(properly=st.booleans())
    def reopen(self, properly: bool) -> None:
        if properly:
            self.corrections.close()
        else:
            self.corrections._lock.release()
        self.corrections = Corrections.open(self.path, "r+", image=blank(), class_table=TABLE)

    @rule(chunks=st.integers(0, 3), turn=st.sampled_from(["paint", "undo", "redo"]), **STROKE)
    def die(self, chunks: int, turn: str, **stroke: Any) -> None:
        put, update = CorrectionStore.put, LabelPyramid.update_levels

        def dying_put(*arguments: Any) -> Iterator[Any]:
            for number, item in enumerate(put(*arguments)):
                if number == chunks:
                    raise Died
                yield item

        def dying_update(self: LabelPyramid, window: Any) -> None:
            if chunks == 2:
                raise Died
            update(self, window)
            raise Died

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(CorrectionStore, "put", dying_put)
            patch.setattr(LabelPyramid, "update_levels", dying_update)
            before = self.corrections._log.history.number
            try:
                if turn == "paint":
                    s = self.draw_stroke(stroke["location"], stroke["size"], stroke["value"], stroke["seed"])
                    self.corrections.write(s["y"], s["x"], s["values"], mask=s["mask"], author=stroke["author"])
                else:
                    getattr(self.corrections, turn)()
                    return  # there was nothing to do
            except Died:
                pass
        if turn == "paint":
            self.model.paint(before + 1, self.number(stroke["author"]), **s)
        elif turn == "undo":
            action = next(a for a in self.model.to_undo(None))
            action.undone = True
            self.model.undone.append(action)
        else:
            action = next(a for a in self.model.to_redo(None))
            action.undone = False
            self.model.undone.remove(action)
        self.reopen(properly=False)

    @invariant()
    def the_file_is_what_the_model_says(self) -> None:
        if not hasattr(self, "corrections"):
            return
        expected = self.model.state()
        np.testing.assert_array_equal(state(self.corrections), expected)
        areas = self.corrections.area_by_class()
        assert list(areas.values()) == [np.count_nonzero(expected[0] == v) for v in (1, 2, 3, 255)]
        assert len(self.corrections._log.history.journal.entries) < 1000


TestPainting = Painting.TestCase
TestPainting.settings = settings(
    max_examples=10, stateful_step_count=16, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Corrections]:
    with Corrections.create(tmp_path / "c.ome.zarr", blank((60, 60)), TABLE) as corrections:
        yield corrections


def dab(corrections: Corrections, value: int, author: str, y: int = 10) -> None:
    corrections.write(y, 10, np.full((5, 5), value, np.uint8), author=author)


def test_a_stroke_undone_and_redone_stays_below_what_others_painted_on_it(small: Corrections) -> None:
    dab(small, 1, "ann")
    dab(small, 2, "bob", y=12)  # on three of its five rows
    both = state(small)
    assert small.undo("ann") is not None
    assert small.regions()[0].by_class == {1: 25}
    assert small.regions()[0].authors == {"bob": 25}
    assert small.redo("ann") is not None
    np.testing.assert_array_equal(state(small), both)
    assert small.undo("bob") is not None
    assert small.regions()[0].authors == {"ann": 25}


def test_what_is_dropped_from_the_journal_stays_undone_below_others(
    small: Corrections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undo_history, "KEPT_ACTIONS", 2)
    dab(small, 1, "ann")
    dab(small, 3, "ann", y=30)
    dab(small, 2, "bob")  # what was there before it is ann's
    assert small.undo("ann") is not None
    assert small.undo("ann") is not None
    dab(small, 3, "bob", y=50)
    small._log.settle()
    assert [entry.facts["n"] for entry in small._log.history.journal.entries] == [3, 6], "ann's are not dropped"
    assert small.undo("bob") is not None
    assert small.undo("bob") is not None
    assert not state(small).any()
