"""Classes of corrections that are edited: every painted px ends in the class that its own has become."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers_corrections import AUTHORS, TABLE, blank, state, with_author
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fctl_napari.correcting.class_edit import EditedTable, apply_edit
from fctl_napari.correcting.correction_store import is_corrections
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.datasets.class_tables import class_table
from fctl_napari.datasets.image_list import list_images
from fctl_napari.exceptions import Cancelled, InputError, OutputError
from fctl_napari.imagery.formats.chunk_files import ChunkFiles
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.naming import corrections_path
from fctl_napari.imagery.open import open_image
from fctl_napari.model.classes import ClassTable
from fctl_napari.segmentation.store.result_paths import own_corrections

SHAPE = (24, 30)
NAMES = ("sea", "wood", "town", "moor")
Edit = Callable[[EditedTable], EditedTable]


def table(*names: str) -> ClassTable:
    return ClassTable.model_validate({"classes": [{"name": n, "color": (40 * k, 9, 9)} for k, n in enumerate(names)]})


def painted(path: Path, *values: int, names: tuple[str, ...] = NAMES) -> Path:
    """Corrections with a stroke of each value, by authors who take turns."""
    with Corrections.create(path, blank(SHAPE), table(*names)) as made:
        for row, value in enumerate(values):
            made.write(row, 0, np.full((1, 10 + row), value, np.uint8), author=AUTHORS[row % len(AUTHORS)])
    return path


@st.composite
def edits(draw: st.DrawFn) -> Edit:
    """An edit of whatever rows there are."""
    deed = draw(st.sampled_from(("add", "rename", "recolor", "remove", "merge", "split")))
    picks = draw(st.lists(st.integers(0, 30), min_size=1, max_size=3))
    name = draw(st.sampled_from(("", "x", " reef ", "sea", "not sure")))

    def edit(edited: EditedTable) -> EditedTable:
        if deed == "add" or not edited.rows:
            return edited.add(name)
        rows = [pick % len(edited.rows) for pick in picks]
        if deed == "rename":
            return edited.rename(rows[0], name)
        if deed == "recolor":
            return edited.recolor(rows[0], (1, 2, picks[0]))
        if deed == "split":
            return edited.split(rows[0])
        return edited.remove(rows) if deed == "remove" else edited.merge(rows)

    return edit


def mended(edited: EditedTable) -> EditedTable:
    """Give each row a name of its own, so that the table can be applied."""
    while len(edited.rows) < 2:
        edited = edited.add()
    for index, row in enumerate(edited.rows):
        edited = edited.rename(index, f"{row.name} {index}")
    return edited


@given(st.lists(edits(), max_size=8))
@settings(deadline=None)
def test_each_present_class_belongs_to_one_row_at_most(sequence: list[Edit]) -> None:
    edited = EditedTable.begin(table(*NAMES), table(*NAMES))
    for edit in sequence:
        before, edited = edited, edit(edited)
        assert edited.present == NAMES
        sources = [source for row in edited.rows for source in row.sources]
        assert len(sources) == len(set(sources))
        assert set(sources) <= {source for row in before.rows for source in row.sources}
        values = edited.values
        for value, name in enumerate(NAMES, 1):
            owners = [index for index, row in enumerate(edited.rows, 1) if name in row.sources]
            assert values[value] == (owners[0] if owners else 0)
        assert (values[0], values[255]) == (0, 255)
        assert bool(edited.problem) != _is_table(edited)


def _is_table(edited: EditedTable) -> bool:
    names = [row.name for row in edited.rows]
    return len(set(names)) == len(names) >= 2 and all(names) and "not sure" not in names


@given(sequence=st.lists(edits(), max_size=6), values=st.lists(st.sampled_from((1, 2, 3, 4, 255)), max_size=6))
@settings(max_examples=25, deadline=None)
def test_painted_px_end_in_the_row_that_has_their_class_among_its_sources(
    sequence: list[Edit], values: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = painted(tmp_path_factory.mktemp("c") / "c.ome.zarr", *values)
    edited = EditedTable.begin(table(*NAMES), table(*NAMES))
    for edit in sequence:
        edited = edit(edited)
    edited = mended(edited)
    with Corrections.open(path, "r+") as corrections:
        before, undoable = with_author(corrections), corrections.can_undo()
        former = apply_edit(corrections, edited, lose=NAMES)
        with_open = with_author(corrections)
        kept = corrections.can_undo()
    assert (former is None) == (edited.keeps_indices or not values)
    assert kept == (undoable and former is None)
    with Corrections.open(path) as found:
        assert (found.own_classes, found.class_table) == (True, edited.table)
        after, areas = with_author(found), found.area_by_class()
    np.testing.assert_array_equal(after, with_open)
    names = {0: "", 255: "not sure", **dict(enumerate(NAMES, 1))}
    becomes = {source: row.name for row in edited.rows for source in row.sources} | {"not sure": "not sure", "": ""}
    rows = ["", *(row.name for row in edited.rows)]
    for old, new, author, same in zip(
        *(plane.flat for plane in (before[0], after[0], after[1], before[1])), strict=True
    ):
        wanted = becomes.get(names[old], "")
        assert ("not sure" if new == 255 else rows[new]) == wanted
        assert author == (same if wanted else "")
    counted = {name: int(np.count_nonzero(after[0] == value)) for value, name in enumerate(rows) if value}
    assert areas == {**counted, "not sure": int(np.count_nonzero(after[0] == 255))}
    if former is not None:
        with Corrections.open(former, "r+") as old_ones:
            np.testing.assert_array_equal(with_author(old_ones), before)
            assert old_ones.can_undo() == undoable


def test_renamed_recolored_and_new_classes_keep_undo(tmp_path: Path) -> None:
    path = painted(tmp_path / "c.ome.zarr", 1, 2)
    with Corrections.open(path, "r+") as corrections:
        edited = EditedTable.begin(corrections.class_table, corrections.class_table)
        edited = edited.rename(0, "lagoon").recolor(1, (1, 200, 3)).split(1).add("reef")
        assert [row.name for row in edited.rows] == ["lagoon", "wood", "town", "moor", "wood 2", "reef"]
        assert apply_edit(corrections, edited) is None
        assert corrections.area_by_class()["lagoon"] == 10
        corrections.write(9, 9, np.full((1, 3), 6, np.uint8), author="ann")
    with Corrections.open(path, "r+") as found:
        assert found.labels.classes[5]["name"] == "reef"
        assert found.area_by_class()["reef"] == 3
        assert [found.undo() is not None for _ in range(4)] == [True, True, True, False]
        assert found.redo() is not None
        assert found.area_by_class()["lagoon"] == 10
    assert [*tmp_path.glob("*before*")] == []


def test_names_that_are_exchanged_exchange_what_is_painted(tmp_path: Path) -> None:
    path = painted(tmp_path / "c.ome.zarr", 1, names=("sea", "wood"))
    with Corrections.open(path, "r+") as corrections:
        edited = EditedTable.begin(corrections.class_table, corrections.class_table)
        assert apply_edit(corrections, edited.rename(0, "wood").rename(1, "sea")) is None
        assert corrections.area_by_class() == {"wood": 10, "sea": 0, "not sure": 0}


def test_px_are_lost_only_if_their_class_is_given_up(tmp_path: Path) -> None:
    path = painted(tmp_path / "c.ome.zarr", 1, 3, 255)
    with Corrections.open(path, "r+") as corrections:
        edited = EditedTable.begin(class_table("loveda"), corrections.class_table)
        with pytest.raises(InputError, match="10 px of sea and 11 px of town would be lost"):
            apply_edit(corrections, edited)
        with pytest.raises(InputError, match="11 px of town would be lost"):
            apply_edit(corrections, edited, lose=["sea"])
        assert not corrections.own_classes
        merged = edited.merge_present("sea", "water")
        former = apply_edit(corrections, merged, lose=["town"])
        assert former == tmp_path / "c.ome.zarr.before-classes-1"
        areas = corrections.area_by_class()
        assert {name for name, pixels in areas.items() if pixels} == {"water", "not sure"}
        corrections.write(20, 0, np.full((1, 4), 1, np.uint8), author="ann")
        corrections.undo()
    with Corrections.open(path, "r+") as corrections:
        edited = EditedTable.begin(corrections.class_table, corrections.class_table)
        again = apply_edit(corrections, edited.merge([1, 3]))
        assert again == tmp_path / "c.ome.zarr.before-classes-2"
        assert corrections.area_by_class()["building"] == 10
        assert state(corrections)[1].any()
    assert sorted(file.name for file in tmp_path.iterdir() if not file.name.endswith(".lock")) == [
        "c.ome.zarr", "c.ome.zarr.before-classes-1", "c.ome.zarr.before-classes-2"
    ]  # fmt: skip


def test_own_classes_are_neither_replaced_nor_extended_unless_asked_for(tmp_path: Path) -> None:
    path, earth = tmp_path / "c.ome.zarr", table("water", "land")
    with Corrections.create(path, blank(SHAPE), earth) as corrections:
        assert "own_classes" not in corrections.facts, "files are as before"
        edited = EditedTable.begin(table("reef", "sand"), corrections.class_table)
        assert apply_edit(corrections, edited) is None
    with Corrections.open_or_create(path, blank(SHAPE), earth) as corrections:
        assert corrections.class_table.names == ("reef", "sand")
        corrections.add_classes(earth)
        assert corrections.class_table.names == ("reef", "sand", "water", "land")
        assert corrections.own_classes


def test_classes_that_came_since_are_not_overlooked(tmp_path: Path) -> None:
    with Corrections.open(painted(tmp_path / "c.ome.zarr", 1), "r+") as corrections:
        edited = EditedTable.begin(corrections.class_table, corrections.class_table)
        corrections.add_classes(table("reef"))
        with pytest.raises(InputError, match="has got other classes meanwhile"):
            apply_edit(corrections, edited.rename(0, "x"))


def test_what_is_stopped_or_fails_leaves_all_as_it_was(tmp_path: Path) -> None:
    path = painted(tmp_path / "c.ome.zarr", 1, 2)

    def stop(_done: int, _total: int) -> None:
        raise Cancelled("stopped.")

    with Corrections.open(path, "r+") as corrections:
        before = with_author(corrections)
        edited = EditedTable.begin(corrections.class_table, corrections.class_table).merge([0, 1])
        with pytest.raises(Cancelled):
            apply_edit(corrections, edited, progress=stop)
        (tmp_path / ".c.ome.zarr.rewritten").write_text("in the way")
        with pytest.raises(OutputError, match="cannot be written"):
            apply_edit(corrections, edited)
        np.testing.assert_array_equal(with_author(corrections), before)
        assert corrections.undo() is not None
    assert [*tmp_path.glob("*before*")] == []


def test_all_levels_and_chunks_follow_and_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    with Corrections.create(tmp_path / "c.ome.zarr", blank(), TABLE) as corrections:
        corrections.write(300, 300, np.full((500, 240), 2, np.uint8), author="bob")
        corrections.write(500, 200, np.full((30, 200), 1, np.uint8), author="ann")
        corrections.write(1000, 0, np.full((30, 20), 255, np.uint8), author="ann")
        before, authors = state(corrections)
        edited = EditedTable.begin(TABLE, corrections.class_table).merge([0, 1])
        write = ChunkFiles._write
        written: list[object] = []

        def limited(self: ChunkFiles, index: tuple[int, int], chunk: np.ndarray) -> None:
            if len(written) == 5:
                raise OSError(errno.ENOSPC, "No space left on device")
            written.append(index)
            write(self, index, chunk)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ChunkFiles, "_write", limited)
            with pytest.raises(OutputError, match="the disk is full"):
                apply_edit(corrections, edited)
        np.testing.assert_array_equal(state(corrections), [before, authors])
        assert corrections.can_undo()
        apply_edit(corrections, edited)
        assert [info.name for info in corrections.class_table] == ["sea", "town", "cloud"]
        expected = np.array([0, 1, 1])[np.minimum(before, 2)]
        expected[before == 255] = 255
        np.testing.assert_array_equal(state(corrections), [expected, authors])


CRASH = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_class_edit import merge_two

renames, rename = [], Path.rename

def crash(self, target):
    if len(renames) == int(sys.argv[3]):
        os._exit(7)
    renames.append(target)
    return rename(self, target)

Path.rename = crash
merge_two(Path(sys.argv[2]))
"""


def merge_two(path: Path) -> None:
    corrections = Corrections.open(path, "r+")
    edited = EditedTable.begin(corrections.class_table, corrections.class_table)
    apply_edit(corrections, edited.merge([0, 1]).rename(0, "both"))


@pytest.mark.parametrize(("renames", "is_new"), [(0, False), (1, False), (2, True)])
@pytest.mark.parametrize("mode", ["r", "r+", "make", "look"])
def test_a_crash_before_any_rename_leaves_the_old_or_the_new_ones_complete(
    tmp_path: Path, renames: int, is_new: bool, mode: str
) -> None:
    path = painted(tmp_path / "c.ome.zarr", 1, 2)
    with Corrections.open(path) as before:
        content = before.content_hash()
    arguments = [sys.executable, "-c", CRASH, str(Path(__file__).parent), str(path), str(renames)]
    assert subprocess.run(arguments, check=False).returncode == 7
    if mode == "look":
        assert own_corrections(path, blank(SHAPE)) == path
        assert path.exists()
    if mode == "make":
        found = Corrections.open_or_create(path, blank(SHAPE), table(*NAMES))
    else:
        found = Corrections.open(path, "r+" if mode == "r+" else "r")
    with found:
        assert is_corrections(path)
        assert LabelPyramid.open(path).classes[0]["name"] == ("both" if is_new else "sea")
        areas = {name: pixels for name, pixels in found.area_by_class().items() if pixels}
        assert areas == ({"both": 21} if is_new else {"sea": 10, "wood": 11})
        assert state(found)[0, 1, 5] == (1 if is_new else 2)
        if found.writable:
            assert found.can_undo() is not is_new
            assert [*tmp_path.glob(".*rewritten*")] == [], "what was left is cleared"
    if is_new:
        with Corrections.open(path.with_name("c.ome.zarr.before-classes-1")) as former:
            assert former.content_hash() == content


def test_former_corrections_are_no_image_no_data_and_not_taken_for_those_of_the_image(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((*SHAPE, 3), np.uint8)).save(tmp_path / "a.png")
    image = open_image(tmp_path / "a.png")
    path = own_corrections(corrections_path(tmp_path / "a.png"), image)
    with Corrections.create(path, image, table(*NAMES)) as corrections:
        corrections.write(0, 0, np.full((4, 4), 1, np.uint8), author="ann")
        former = apply_edit(corrections, EditedTable.begin(table(*NAMES), table(*NAMES)).merge([0, 1]))
    assert former is not None
    assert list_images([str(tmp_path)]).images == (str(tmp_path / "a.png"),)
    assert list_images([str(tmp_path)]).left_out["corrections"] == 2
    shutil.rmtree(path)
    assert own_corrections(corrections_path(tmp_path / "a.png"), image) == path
    assert Corrections.open(former).area_by_class()["sea"] == 16
