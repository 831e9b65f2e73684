"""Corrections on disk: what they refuse, what they read, full disks, other processes, huge images."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from helpers_corrections import SHAPE, TABLE, blank, chunk_files, state
from hypothesis import given, settings
from hypothesis import strategies as st
from ome_zarr_models.v05.image_label import ImageLabel
from scipy import ndimage

from fctl_napari.correcting import write_ahead_log
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.correcting.regions import ChunkRegions, CorrectedRegion
from fctl_napari.exceptions import InputError, OutputError
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.formats.chunk_files import ChunkFiles
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.level import Level
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.classes import ClassTable

PLACE = Georeference("EPSG:32632", (0.5, 0.0, 600000.0, 0.0, -0.5, 5200000.0))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.ome.zarr"


def paint(corrections: Corrections, y: int, x: int, size: tuple[int, int], value: int, author: str = "ann") -> None:
    corrections.write(y, x, np.full(size, value, np.uint8), author=author)


def table(*names: str) -> ClassTable:
    return ClassTable.model_validate({"classes": [{"name": name, "color": (0, 0, 0)} for name in names]})


def test_what_was_stated_is_read_back(path: Path) -> None:
    image = pyramid_from_array(np.zeros((*SHAPE, 3), np.uint8), name="blank", georeference=PLACE)
    with Corrections.create(path, image, TABLE) as made:
        assert made.writable
        assert made.authors == ()
        stroke = made.write(3, 4, np.full((5, 6), 2, np.uint8), author="ann", kind="fill")
        assert stroke is not None
        assert (stroke.author, stroke.kind, stroke.window, stroke.pixels) == ("ann", "fill", (3, 4, 8, 10), 30)
    found = Corrections.open(path)
    assert not found.writable
    assert (found.shape, found.class_table, found.georeference) == (SHAPE, TABLE, PLACE)
    assert found.authors == ("ann",)
    assert found.area_by_class() == {"sea": 0, "wood": 30, "town": 0, "not sure": 0}
    described = ImageLabel.from_zarr(zarr.open_group(path, mode="r")).ome_attributes.image_label
    assert [p.label_value for p in described.properties] == [1, 2, 3]
    assert found.read((-1, 0, 4, 6)).tolist() == [[0] * 6] * 4 + [[0] * 4 + [2] * 2]
    assert found.read_authors((3, 3, 4, 6)).tolist() == [[0, 1, 1]]


def test_only_the_box_of_what_changed_is_kept(path: Path) -> None:
    with Corrections.create(path, blank(), TABLE) as corrections:
        block = np.zeros((200, 200), np.uint8)
        assert corrections.write(100, 100, block, author="ann") is None
        block[50:60, 70:90] = 1
        stroke = corrections.write(100, 100, block, author="ann")
        assert stroke is not None
        assert (stroke.window, stroke.pixels) == ((150, 170, 160, 190), 200)
        assert corrections.write(100, 100, block, author="bob") is None
        mask = np.zeros((200, 200), bool)
        mask[55:57, 75:95] = True
        stroke = corrections.write(100, 100, block, mask=mask, author="bob", kind="paint")
        assert stroke is not None
        assert stroke.pixels == 40, "with a mask it is said who painted, also where nothing differs"
        assert corrections.regions()[0].authors == {"ann": 170, "bob": 30}


def test_other_images_and_other_things_are_refused(path: Path, tmp_path: Path) -> None:
    Corrections.create(path, blank(), TABLE).close()
    with pytest.raises(InputError, match=r"c\.ome\.zarr: .* another image \(blank with other pixels\)"):
        Corrections.open_or_create(path, blank(seed=1), TABLE)
    with pytest.raises(OutputError, match="exists already"):
        Corrections.create(path, blank(), TABLE)
    with pytest.raises(InputError, match="no such file"):
        Corrections.open(tmp_path / "nothing.ome.zarr")
    LabelPyramid.create(tmp_path / "labels.ome.zarr", SHAPE)
    with pytest.raises(InputError, match=r"labels\.ome\.zarr: holds no corrections"):
        Corrections.open(tmp_path / "labels.ome.zarr")
    with pytest.raises(InputError, match=r"labels\.ome\.zarr: holds no corrections"):
        Corrections.open_or_create(tmp_path / "labels.ome.zarr", blank(), TABLE)
    shutil.rmtree(path / "authors")
    with pytest.raises(InputError, match="parts of these corrections are missing"):
        Corrections.open(path)


def test_painted_classes_keep_their_names_whatever_table_they_are_opened_with(path: Path) -> None:
    block = np.array([[1, 2, 3, 255]], np.uint8)
    with Corrections.create(path, blank(), TABLE) as corrections:
        corrections.write(0, 0, block, author="ann")
        corrections.write(9, 9, block, author="ann")
        corrections.undo()
        content = corrections.content_hash()
    colored = TABLE.model_copy(update={"classes": tuple(c.model_copy(update={"color": (9, 9, 9)}) for c in TABLE)})
    for wanted, names in (
        (table("wood", "sea", "town"), ("sea", "wood", "town")),  # another order
        (table("moor", "sea"), ("sea", "wood", "town", "moor")),  # one more, two fewer
        (colored, ("sea", "wood", "town", "moor")),
        (table("red", "green"), ("sea", "wood", "town", "moor", "red", "green")),
        (table("cloud"), ("sea", "wood", "town", "moor", "red", "green", "cloud")),  # was ignored
    ):
        with Corrections.open_or_create(path, blank(), wanted) as corrections:
            assert corrections.class_table.names == names
            np.testing.assert_array_equal(corrections.read((0, 0, 1, 4)), block)
            assert [corrections.area_by_class()[n] for n in ("sea", "wood", "town", "not sure")] == [1] * 4
            assert corrections.content_hash() == content
            assert corrections.can_redo()
            assert {info.name: info.color for info in wanted}.items() <= {
                info.name: info.color for info in corrections.class_table
            }.items()
            assert [c["name"] for c in LabelPyramid.open(path).classes] == list(names)
    assert corrections.unknown_to(table("wood", "sea")) == ("town",)
    with Corrections.open(path, "r+") as corrections:
        assert corrections.class_table.names == names
        corrections.redo()
        np.testing.assert_array_equal(corrections.read((9, 9, 10, 13)), block)
        corrections.write(20, 20, np.full((1, 1), 4, np.uint8), author="bob")
        assert corrections.area_by_class()["moor"] == 1
        assert Corrections.open(path).class_table == corrections.class_table


def test_corrections_that_are_blank_take_the_classes_that_are_wanted(path: Path) -> None:
    Corrections.create(path, blank(), TABLE).close()
    for names in (("red", "green"), ("green", "red", "blue")):
        with Corrections.open_or_create(path, blank(), table(*names)) as corrections:
            assert corrections.blank
            assert corrections.class_table.names == names
    with Corrections.open(path, "r+") as corrections:
        corrections.write(0, 0, np.ones((1, 1), np.uint8), author="ann")
        corrections.undo()  # it may be redone
        corrections.add_classes(table("sea"))
        assert corrections.class_table.names == ("green", "red", "blue", "sea")
    with pytest.raises(InputError, match="too many"), Corrections.open(path, "r+") as corrections:
        corrections.add_classes(table(*map(str, range(250))))


def test_half_made_corrections_are_replaced(path: Path) -> None:
    made = Corrections.create(path, blank(), TABLE)
    made.labels.set_attributes({"fctl": {"kind": "corrections"}})  # as if killed while they were created
    made.close()
    with pytest.raises(InputError, match="holds no corrections yet"):
        Corrections.open(path)
    with Corrections.open_or_create(path, blank(), TABLE) as corrections:
        paint(corrections, 0, 0, (4, 4), 1)


@pytest.mark.parametrize(
    ("y", "block", "complaint"),
    [
        (SHAPE[0] - 3, np.ones((4, 4), np.uint8), "outside"),
        (-1, np.ones((4, 4), np.uint8), "outside"),
        (0, np.ones((4, 4), np.int64), "uint8"),
        (0, np.full((4, 4), 4, np.uint8), "value 4 is no class"),
    ],
)
def test_what_is_no_correction_is_refused(path: Path, y: int, block: np.ndarray, complaint: str) -> None:
    with Corrections.create(path, blank(), TABLE) as corrections:
        with pytest.raises(InputError, match=complaint):
            corrections.write(y, 0, block, author="ann")
        assert not corrections.can_undo()
    with pytest.raises(InputError, match="not open for writing"):
        Corrections.open(path).write(0, 0, np.ones((4, 4), np.uint8), author="ann")


def test_one_writes_and_others_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fctl_napari.segmentation.store.store_lock.LOCK_TIMEOUT", 0.05)
    writer = Corrections.create(path, blank(), TABLE)
    paint(writer, 500, 500, (30, 30), 1)
    with pytest.raises(OutputError, match="is in use"):
        Corrections.open(path, "r+")
    reader = Corrections.open(path)
    assert reader.area_by_class() == writer.area_by_class() == {"sea": 900, "wood": 0, "town": 0, "not sure": 0}
    assert reader.regions() == writer.regions()
    paint(writer, 515, 505, (30, 30), 2)
    assert Corrections.open(path).area_by_class()["wood"] == 900
    np.testing.assert_array_equal(state(reader), state(writer))
    writer.close()
    writer.close()
    Corrections.open(path, "r+").close()


def test_a_reader_puts_right_what_a_dead_writer_left(path: Path) -> None:
    writer = Corrections.create(path, blank(), TABLE)
    paint(writer, 500, 500, (30, 30), 1)
    expected = state(writer)
    writer._lock.release()  # type: ignore[union-attr]
    # as if it had died before the levels were written
    for file in [*path.rglob("c/*/*")]:
        file.unlink()
    (path / "0" / "c" / "0").mkdir(exist_ok=True)
    (path / "0" / "c" / "0" / "0.abc.partial").write_bytes(b"half a chunk")
    reader = Corrections.open(path)
    np.testing.assert_array_equal(state(reader), expected)
    assert not [*path.rglob("*.partial")]
    assert json.loads((path / "painted.json").read_text())["number"] == 1


def test_the_counts_can_be_made_again_of_the_chunks(path: Path) -> None:
    with Corrections.create(path, blank(), TABLE) as corrections:
        paint(corrections, 500, 500, (30, 30), 1)
        paint(corrections, 10, 10, (3, 3), 255)
        areas, regions, content = corrections.area_by_class(), corrections.regions(), corrections.content_hash()
    for damage in (lambda file: file.unlink(), lambda file: file.write_text("{")):
        damage(path / "painted.json")
        found = Corrections.open(path)
        assert (found.area_by_class(), found.regions(), found.content_hash()) == (areas, regions, content)
        with Corrections.open(path, "r+") as again:
            assert again.undo() is not None
            assert again.redo() is not None


def test_the_hash_is_that_of_what_is_painted(path: Path, tmp_path: Path) -> None:
    hashes = []
    for name, order in (("a", (0, 1)), ("b", (1, 0))):
        with Corrections.create(tmp_path / name, blank(), TABLE) as corrections:
            for k in order:
                paint(corrections, 600 * k, 0, (9, 9), 1 + k, author=f"author {k}")
            hashes.append(corrections.content_hash())
            paint(corrections, 0, 0, (1, 1), 3)
            assert corrections.content_hash() not in hashes
    assert hashes[0] == hashes[1]


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def no_room(*_: Any, **__: Any) -> None:
    raise OutputError("the disk is full")


def test_a_stroke_that_the_journal_refused_is_not_there(path: Path) -> None:
    with Corrections.create(path, blank(), TABLE) as corrections:
        paint(corrections, 10, 10, (5, 5), 1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", full)  # the journal's
            with pytest.raises(OutputError, match="disk is full"):
                paint(corrections, 500, 10, (40, 40), 2)
        assert corrections.area_by_class()["wood"] == 0
        paint(corrections, 900, 500, (4, 4), 255)
        assert corrections.area_by_class() == {"sea": 25, "wood": 0, "town": 0, "not sure": 16}
        undone = corrections.undo(), corrections.undo()
        assert [stroke.pixels for stroke in undone if stroke] == [16, 25]


def test_what_cannot_be_made_durable_now_is_later(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_ahead_log, "SETTLE_EVERY", 1)
    with Corrections.create(path, blank(), TABLE) as corrections:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("fctl_napari.correcting.chunk_counts.write_json", no_room)
            paint(corrections, 0, 0, (4, 4), 1)
        assert json.loads((path / "painted.json").read_text())["number"] == 0
        paint(corrections, 0, 0, (4, 4), 2)
        assert json.loads((path / "painted.json").read_text())["number"] == 2


def test_a_torn_stroke_is_not_there_wherever_it_was_torn(path: Path, tmp_path: Path) -> None:
    """The journal cut at every byte of its last record: the levels are as before that stroke, or as after it."""
    with Corrections.create(path, blank((40, 40)), TABLE) as corrections:
        paint(corrections, 3, 3, (9, 9), 1)
        corrections._log.settle()
        before, start = state(corrections), (path / "journal").stat().st_size
        shutil.copytree(path, tmp_path / "before")
        paint(corrections, 5, 5, (9, 9), 2)
        after, journal = state(corrections), (path / "journal").read_bytes()
    for end in range(start, len(journal) + 1):
        # the journal is written first: only a whole record can have reached the levels
        candidate_review = tmp_path / "trial"
        shutil.copytree(tmp_path / "before", candidate_review)
        (candidate_review / "journal").write_bytes(journal[:end])
        with Corrections.open(candidate_review, "r+") as found:
            np.testing.assert_array_equal(state(found), after if end == len(journal) else before)
            assert found.area_by_class()["wood"] == (81 if end == len(journal) else 0)
        shutil.rmtree(candidate_review)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_regions_joined_from_chunks_are_those_of_the_whole(data: st.DataObject) -> None:
    height, width = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    side = data.draw(st.sampled_from([3, 7, 16]))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    values = rng.choice(np.array([0, 1, 2, 255], np.uint8), (height, width), p=[0.45, 0.35, 0.1, 0.1])
    planes = np.stack([values, np.where(values > 0, rng.integers(1, 3, values.shape), 0).astype(np.uint8)])
    regions = ChunkRegions()
    for row in range(0, height, side):
        for column in range(0, width, side):
            part = planes[:, row : row + side, column : column + side]
            if part.any():
                window = (row, column, row + part.shape[1], column + part.shape[2])
                regions.add((row // side, column // side), part, window)
    labels, count = ndimage.label(values)
    expected = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), 1):
        inside = labels == number
        y, x = np.argwhere(inside)[0].tolist()
        own, authors = values[inside], planes[1][inside]
        expected.append(
            CorrectedRegion(
                window=(rows.start, columns.start, rows.stop, columns.stop),
                point=(y, x),
                pixels=int(inside.sum()),
                by_class={k - 1: n for k in (1, 2) if (n := int((own == k).sum()))},
                not_sure=int((own == 255).sum()),
                authors={f"author {k}": n for k in (1, 2) if (n := int((authors == k).sum()))},
            )
        )
    found = [CorrectedRegion.of(blob, ("author 1", "author 2")) for blob in regions.join()]
    assert found == sorted(expected, key=lambda region: region.point)
    assert len(found) == count


class Huge:
    """Pixels of a huge image that is not there."""

    shape = (100_000, 100_000, 3)
    dtype = np.dtype(np.uint8)

    def __getitem__(self, key: Any) -> Any:
        return np.zeros([len(range(*part.indices(size))) for part, size in zip(key, self.shape, strict=True)], "u1")


@pytest.fixture
def huge() -> Pyramid:
    return Pyramid("huge", [Level(Huge())])


@pytest.fixture
def reads(path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Names of the chunk files that were read, or looked for, since the last call."""
    from zarr.storage import LocalStore

    seen: list[str] = []
    get = LocalStore.get

    async def counting(self: LocalStore, key: str, *arguments: Any, **options: Any) -> Any:
        if "/c/" in key:
            seen.append(key)
        return await get(self, key, *arguments, **options)

    read = ChunkFiles._read

    def counting_too(self: ChunkFiles, index: tuple[int, int]) -> Any:
        seen.append(str(Path(self._path(index)).relative_to(path)))
        return read(self, index)

    monkeypatch.setattr(LocalStore, "get", counting)
    monkeypatch.setattr(ChunkFiles, "_read", counting_too)

    def taken() -> list[str]:
        found = sorted(seen)
        seen.clear()
        return found

    return taken


def test_of_a_huge_image_only_what_is_painted_is_touched(
    path: Path, huge: Pyramid, reads: Callable[[], list[str]]
) -> None:
    with Corrections.create(path, huge, TABLE) as corrections:
        assert len(corrections.labels.levels) == 8
        paint(corrections, 1000, 1000, (100, 100), 1)  # crosses from chunk to chunk
        paint(corrections, 99_000, 50_000, (60, 60), 2, author="bob")
        assert len(reads()) < 80
    files = chunk_files(path)
    assert len(files) < 40
    found = Corrections.open(path)
    assert found.area_by_class() == {"sea": 10_000, "wood": 3600, "town": 0, "not sure": 0}
    assert next(found.corrected_windows()) == (512, 512, 1024, 1024)
    assert reads() == [], "opening reads no chunk"
    first, second = found.regions()
    assert (first.window, first.authors) == ((1000, 1000, 1100, 1100), {"ann": 10_000})
    assert (second.window, second.by_class) == ((99_000, 50_000, 99_060, 50_060), {1: 3600})
    once = reads()
    assert sorted({*once}) == once == sorted(name for name in files if name.startswith(("0/", "authors/")))
    assert len(found.regions()) == 2
    assert reads() == [], "listing again reads nothing"


def test_erasing_leaves_no_files(path: Path) -> None:
    with Corrections.create(path, blank(), TABLE) as corrections:
        paint(corrections, 400, 400, (300, 100), 1)
        assert chunk_files(path)
        paint(corrections, 400, 400, (300, 100), 0)
        assert not chunk_files(path)
        assert corrections.regions() == []
        assert [*corrections.corrected_windows()] == []
        corrections.undo()
        assert len(corrections.regions()) == 1


def test_the_journal_stays_short(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fctl_napari.correcting.undo_history.KEPT_ACTIONS", 5)
    monkeypatch.setattr(write_ahead_log, "SETTLE_EVERY", 2)
    sizes = []
    with Corrections.create(path, blank((60, 60)), TABLE) as corrections:
        for number in range(40):
            paint(corrections, number, number, (9, 9), 1 + number % 3)
            sizes.append((path / "journal").stat().st_size)
    assert max(sizes[20:]) <= max(sizes[:20]) * 1.05
    with Corrections.open(path, "r+") as corrections:
        count = 0
        while corrections.undo():
            count += 1
        assert 5 <= count <= 12
        while corrections.redo():
            count -= 1
        assert count == 0


def test_no_torch_is_loaded() -> None:
    code = "import sys, fctl_napari.correcting.files; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
