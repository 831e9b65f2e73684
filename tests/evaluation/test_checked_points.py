"""Points that people check: kept in a file, filled in by tables and ground truths, and counted as NumPy counts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fctl_napari.evaluation.points.checked_points import (
    CheckedPoints,
    draw_sample,
    points_path,
    sample_notes,
    set_classes,
    true_classes,
)
from fctl_napari.evaluation.points.point_estimate import estimate_points
from fctl_napari.evaluation.points.point_sample import MapCounts, count_classes
from fctl_napari.evaluation.points.point_table import read_table, write_table
from fctl_napari.exceptions import InputError, OutputError
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.segmentation.store.store import Segmentation

LABELS = np.ones((90, 120), np.uint8)
LABELS[:, 70:] = 2
LABELS[80:] = 0
TRUE = LABELS.copy()
TRUE[:40, 60:75] = 3
TRUE[50:] = 1


class Truth:
    """A ground truth in memory."""

    class_names = None
    shape = TRUE.shape

    def read(self, window: tuple[int, int, int, int]) -> np.ndarray:
        y0, x0, y1, x1 = window
        return (TRUE - np.uint8(1))[y0:y1, x0:x1]


def counts_of(store: Segmentation) -> MapCounts:
    return count_classes(store.labels, 3)


@pytest.fixture
def store(make_segmentation: Callable[..., Segmentation]) -> Segmentation:
    return make_segmentation(LABELS)


@pytest.fixture
def path(store: Segmentation) -> Path:
    return points_path(store.path)


def draw(store: Segmentation, path: Path, **options: object) -> CheckedPoints:
    return draw_sample(store, counts_of(store), path, final=False, total=120, least=30, **options)  # type: ignore[arg-type]


def test_points_are_drawn_and_read_back(store: Segmentation, path: Path) -> None:
    points = draw(store, path, seed=3)
    assert CheckedPoints.read(path) == points
    assert path.name == f"{store.path.name}.points.json"
    assert points.mapped == {"red": 80 * 70, "green": 80 * 50, "blue": 0}
    assert len(points.points) == 120
    assert {point.true for point in points.points} == {None}
    for point in points.points:
        assert LABELS[point.y, point.x] == 1 + store.class_table.names.index(point.mapped)
    assert draw(store, path, seed=3) == points
    assert draw(store, path, seed=4) != points


def test_figures_are_those_of_numpy(store: Segmentation, path: Path) -> None:
    points = draw(store, path)
    classes = true_classes(points, store, Truth())
    points = points.with_classes(classes, "ann")
    found = estimate_points(points, store, counts_of(store), path)
    y, x = np.array([(point.y, point.x) for point in points.points]).T
    table = np.zeros((3, 3), int)
    np.add.at(table, (LABELS[y, x] - 1, TRUE[y, x] - 1), 1)
    np.testing.assert_array_equal(found.counts, table)
    weights = np.array([5600, 4000]) / 9600
    shares = weights @ (table[:2] / table[:2].sum(1, keepdims=True))
    assert found.estimate.shares == pytest.approx(shares)
    assert found.px[0] == pytest.approx(shares * 9600)
    document = json.loads(json.dumps(found.to_json(hectares=96.0), allow_nan=False))
    assert document["classes"]["blue"]["hectares"] == pytest.approx(shares[2] * 96)
    assert document["classes"]["blue"]["users_accuracy"] is None
    assert (document["checked"], document["unchecked"]) == (120, 0)


def test_an_interval_without_an_error_is_explained(store: Segmentation, path: Path) -> None:
    points = draw(store, path)
    points = points.with_classes({one.id: one.mapped for one in points.points[1:]}, "ann")
    red = sum(one.true == "red" for one in points.points)
    notes = estimate_points(points, store, counts_of(store), path).notes()
    assert notes[0] == "1 point is not checked, and left out."
    assert notes[1].startswith(f"All {red} points in red are red: ± 0 means that up to {300 / red:.0f} % of it may be")
    assert len(notes) == 3


def test_checked_points_are_not_dropped_in_silence(store: Segmentation, path: Path) -> None:
    draw(store, path).with_classes({1: "red"}, "ann").write(path)
    before = path.read_bytes()
    with pytest.raises(OutputError, match="holds 1 checked point; keep to them, or drop them with fctl points draw"):
        draw(store, path, seed=9)
    assert path.read_bytes() == before
    assert draw(store, path, seed=9, fresh=True).checked == 0


def test_who_and_when_stay_where_nothing_changes(store: Segmentation, path: Path) -> None:
    points = draw(store, path).with_classes({1: "red", 2: "green"}, "ann")
    again = points.with_classes({1: "red", 2: "blue"}, "bob")
    assert again.points[0] == points.points[0]
    assert (again.points[1].true, again.points[1].by) == ("blue", "bob")
    assert again.points[1].when is not None
    assert again.checked == 2


@pytest.mark.parametrize("change", ["a px", "two px that keep the counts"])
def test_points_of_a_map_that_has_changed_are_refused(
    store: Segmentation, path: Path, make_segmentation: Callable[..., Segmentation], tmp_path: Path, change: str
) -> None:
    points = draw(store, path).with_classes({1: "red"}, "ann")
    labels = LABELS.copy()
    labels[0, 0] = 2
    if change != "a px":
        labels[0, 119] = 1
    other = make_segmentation(labels, path=tmp_path / "other.ome.zarr")
    words = r"\(red had 5,600 px and has 5,599; green" if change == "a px" else "before it was changed, and"
    with pytest.raises(InputError, match=words):
        estimate_points(points, other, counts_of(other), path)


def test_points_of_another_image_are_refused(
    store: Segmentation, path: Path, make_segmentation: Callable[..., Segmentation], tmp_path: Path
) -> None:
    points = draw(store, path)
    for shape in ((90, 100), (80, 120)):
        small = make_segmentation(np.ones(shape, np.uint8), path=tmp_path / f"{shape[0]}.ome.zarr")
        with pytest.raises(InputError, match="holds points of another image"):
            points.require_image(small, path)


def test_what_cannot_be_estimated_is_one_sentence(store: Segmentation, path: Path) -> None:
    points = draw(store, path)
    with pytest.raises(InputError, match=r"points\.json: class red has 0 checked points, and 2 are needed"):
        estimate_points(points, store, counts_of(store), path)
    with pytest.raises(InputError, match="point 1 is kelp, which is no class of the map; its classes are red, green"):
        estimate_points(points.with_classes({1: "kelp"}, "ann"), store, counts_of(store), path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"fctl_points": 2}', '{"fctl_marks": 2, "marks": []}'])
def test_damaged_files_are_refused(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(InputError, match="holds no checked points, or is damaged"):
        CheckedPoints.read(path)
    path.unlink()
    with pytest.raises(InputError, match="there are no points yet; draw some with fctl points draw"):
        CheckedPoints.read(path)


def test_a_table_is_filled_in(store: Segmentation, path: Path, tmp_path: Path) -> None:
    points, names = draw(store, path), store.class_table.names
    write_table(points, tmp_path / "t.csv", Georeference("EPSG:32633", (10, 0, 5000, 0, -10, 9000)))
    header, first, *rest = (tmp_path / "t.csv").read_text().splitlines()
    one = points.points[0]
    assert header == "id,y,x,map_x,map_y,class"
    assert first == f"1,{one.y},{one.x},{5005 + 10 * one.x},{8995 - 10 * one.y},"
    assert len(rest) == 119
    assert read_table(tmp_path / "t.csv", points, names) == {}
    (tmp_path / "t.csv").write_text(f"{header}\n{first}blue\n{rest[0]} red \n")
    assert read_table(tmp_path / "t.csv", points, names) == {1: "blue", 2: "red"}
    spreadsheet = f"\ufeffX;Y;note;Class\r\n{one.x};{one.y}.0;far, away;blue\r\n"
    (tmp_path / "t.csv").write_bytes(spreadsheet.encode())
    assert read_table(tmp_path / "t.csv", points, names) == {1: "blue"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "needs a first line that names the columns id, or y and x, and class; it has none"),
        ("id,true\n1,red\n", "it has id, true"),
        ("id,class\n1,kelp\n", "line 2: kelp is no class of the map; its classes are red, green, blue"),
        ("id,class\n999,red\n", r"line 2 is no point of the sample \(id 999\)"),
        ("id,class\n,red\n", r"line 2 is no point of the sample \(id empty\)"),
        ("y,x,class\n1.5,2,red\n", r"line 2 is no point of the sample \(y 1.5, x 2\)"),
        ("id,class\n1,red\n1,blue\n", "line 3: point 1 is red further above"),
        (b"id,class\n1,\xff\n", "is no CSV file in UTF-8"),
    ],
)
def test_wrong_tables_are_one_sentence(
    store: Segmentation, path: Path, tmp_path: Path, content: str | bytes, words: str
) -> None:
    (tmp_path / "t.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InputError, match=words):
        read_table(tmp_path / "t.csv", draw(store, path), store.class_table.names)


def test_answers_are_written_beside_those_of_others_and_taken_back(store: Segmentation, path: Path) -> None:
    points = draw(store, path)
    mine = set_classes(path, points, {1: "red", 2: "red"}, "ann")
    others = set_classes(path, points, {3: "green"}, "bob")
    assert [(point.true, point.by) for point in others.points[:3]] == [("red", "ann"), ("red", "ann"), ("green", "bob")]
    assert set_classes(path, mine, {2: None}, "ann").checked == 2
    assert CheckedPoints.read(path).points[1] == points.points[1]
    draw(store, path, seed=5, fresh=True)
    with pytest.raises(InputError, match="other points were drawn meanwhile; check those instead"):
        set_classes(path, mine, {4: "red"}, "ann")
    assert CheckedPoints.read(path).checked == 0


@pytest.mark.parametrize(
    ("total", "least", "drawn", "note"),
    [
        (300, None, 300, []),
        (30, None, 30, ["some classes have only 15 points; 50 or more are advised, which 100 points in all give"]),
        (3, None, 4, ["there are more than 3 points, so that each class has 2 of them"]),
        (30, 40, 80, ["there are more than 30 points, so that each class has 40 of them"]),
        (30, 5, 30, []),
    ],
)
def test_fewer_points_than_advised_are_drawn_where_that_is_asked_for(
    store: Segmentation, path: Path, total: int, least: int | None, drawn: int, note: list[str]
) -> None:
    points = draw_sample(store, counts_of(store), path, final=False, total=total, least=least)
    assert len(points.points) == drawn
    assert sample_notes(points, total, least) == note


SETTER = """
import sys
from pathlib import Path
from fctl_napari.evaluation.points.checked_points import CheckedPoints, set_classes
path = Path(sys.argv[1])
for point in CheckedPoints.read(path).points:
    if point.id % 2 == int(sys.argv[2]):
        set_classes(path, CheckedPoints.read(path), {point.id: "red"}, "ann")
"""


def test_answers_of_two_processes_are_all_kept(store: Segmentation, path: Path) -> None:
    drawn = draw(store, path)
    running = [subprocess.Popen([sys.executable, "-c", SETTER, str(path), part]) for part in ("0", "1")]
    assert [one.wait(120) for one in running] == [0, 0]
    assert CheckedPoints.read(path).checked == len(drawn.points)


def test_an_answer_that_somebody_gave_meanwhile_is_not_overwritten(store: Segmentation, path: Path) -> None:
    seen = draw(store, path)
    set_classes(path, seen, {1: "red"}, "ann")
    with pytest.raises(InputError, match="ann said meanwhile that point 1 is red"):
        set_classes(path, seen, {1: "blue"}, "ben")
    now = CheckedPoints.read(path)
    assert set_classes(path, now, {1: "blue"}, "ann").points[0].true in ("blue", None)
    assert {point.true for point in CheckedPoints.read(path).points if point.id == 1} == {"blue"}
