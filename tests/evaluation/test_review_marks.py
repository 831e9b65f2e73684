from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fctl_napari.evaluation.error_regions import Region
from fctl_napari.evaluation.review_marks import Marks, marks_path
from fctl_napari.exceptions import InputError

LAKE = Region((100, 200, 140, 260), (100, 230), 1200, 1, 0, 0.8)
UNCERTAIN = Region((10, 10, 20, 20), (10, 12), 80, None, 2, 0.3)


def test_marks_are_kept_beside_the_segmentation(tmp_path: Path) -> None:
    path = marks_path(tmp_path / "land.ome.zarr")
    assert path.parent == tmp_path
    marks = Marks(path)
    assert marks.of(LAKE) is None
    assert not path.exists()
    marks.set(LAKE, "done")
    marks.set(UNCERTAIN, "truth is wrong")
    again = Marks(path)
    assert (again.of(LAKE), again.of(UNCERTAIN), len(again)) == ("done", "truth is wrong", 2)
    again.set(LAKE, "truth is wrong")
    again.set(UNCERTAIN, None)
    assert (Marks(path).of(LAKE), Marks(path).of(UNCERTAIN), len(Marks(path))) == ("truth is wrong", None, 1)


@pytest.mark.parametrize(
    ("changed", "known"),
    [
        (replace(LAKE, confidence=0.2), True),
        # A segmentation made afresh: some pixels more or less, and so another first pixel and box.
        (replace(LAKE, window=(97, 198, 141, 262), point=(97, 222), pixels=1350), True),
        (replace(LAKE, window=(104, 205, 140, 255), point=(104, 240), pixels=900), True),
        (replace(LAKE, window=(100, 200, 180, 300), point=(100, 230), pixels=4000), True),  # grown, same first pixel
        (replace(LAKE, window=(97, 198, 180, 330), point=(97, 222), pixels=3900), False),  # grown too much
        (replace(LAKE, window=(100, 200, 140, 260), point=(101, 201), pixels=300), False),  # a thin one in its box
        (replace(LAKE, window=(150, 200, 190, 260), point=(150, 230)), False),  # beside it
        (replace(LAKE, ground_truth=2), False),
        (replace(LAKE, ground_truth=None), False),
        (replace(LAKE, predicted=2), False),
    ],
)
def test_a_region_is_known_again(tmp_path: Path, changed: Region, known: bool) -> None:
    marks = Marks(tmp_path / "m.json")
    marks.set(LAKE, "done")
    assert marks.of(changed) == ("done" if known else None)


def test_of_several_marks_the_nearest_counts(tmp_path: Path) -> None:
    marks = Marks(tmp_path / "m.json")
    shifted = replace(LAKE, window=(110, 210, 150, 270), point=(110, 240))
    marks.set(shifted, "truth is wrong")
    marks.set(replace(LAKE, window=(60, 200, 100, 260), point=(60, 230)), "done")
    assert marks.of(replace(LAKE, window=(109, 209, 149, 269), point=(109, 240))) == "truth is wrong"
    # marking it anew replaces the mark that it was known by
    marks.set(replace(LAKE, window=(109, 209, 149, 269), point=(109, 240)), "done")
    assert len(marks) == 2


def test_two_windows_do_not_lose_each_others_marks(tmp_path: Path) -> None:
    one, two = Marks(tmp_path / "m.json"), Marks(tmp_path / "m.json")
    one.set(LAKE, "done")
    two.set(UNCERTAIN, "done")
    assert (two.of(LAKE), len(Marks(tmp_path / "m.json"))) == ("done", 2)


@pytest.mark.parametrize(
    "content",
    [
        "",
        '{"fctl_marks": 1, "marks": [',
        "[]",
        '{"fctl_marks": 3, "marks": []}',
        '{"fctl_marks": 1, "marks": [{"truth": 1}]}',
        json.dumps(
            {
                "fctl_marks": 1,
                "marks": [
                    {"truth": 1, "called": 0, "point": [0, 0], "window": [0, 0, 2, 2], "pixels": 3, "mark": "what"}
                ],
            }
        ),
    ],
)
def test_a_damaged_file_is_said_and_stays(tmp_path: Path, content: str) -> None:
    path = tmp_path / "m.json"
    marks = Marks(path)
    path.write_text(content)
    with pytest.raises(InputError, match=r"m\.json: .* mend it"):
        Marks(path)
    with pytest.raises(InputError, match="mend it"):
        marks.set(LAKE, "done")
    assert path.read_text() == content


def test_marks_of_another_image_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    Marks(path, image="px1-aaaaaaaaaaaa").set(LAKE, "done")
    other = Marks(path, image="px1-bbbbbbbbbbbb")
    assert other.of(LAKE) is None
    assert Marks(path, image="px1-aaaaaaaaaaaa").of(LAKE) == "done"  # looking has changed nothing
    other.set(UNCERTAIN, "done")
    assert (other.of(LAKE), other.of(UNCERTAIN)) == (None, "done")
    assert Marks(tmp_path / "m.json.aaaaaaaa", image="px1-aaaaaaaaaaaa").of(LAKE) == "done"
    assert Marks(path).of(UNCERTAIN) == "done"  # who does not know the image sees what is there


def test_marks_go_by_the_names_of_classes(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    Marks(path, classes=("sea", "land", "town")).set(LAKE, "done")  # land, called sea
    Marks(path, classes=("sea", "land", "town")).set(UNCERTAIN, "done")  # called town
    turned = Marks(path, classes=("land", "sea"))
    assert turned.of(LAKE) is None
    assert turned.of(replace(LAKE, ground_truth=0, predicted=1)) == "done"
    turned.set(replace(LAKE, ground_truth=0, predicted=1), "truth is wrong")
    again = Marks(path, classes=("town", "land", "sea"))
    assert again.of(replace(LAKE, ground_truth=1, predicted=2)) == "truth is wrong"
    assert again.of(replace(UNCERTAIN, predicted=0)) == "done"  # town was not there in between, and is not lost


def test_marks_of_version_1_count_by_index(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    entry = {"truth": 1, "called": 0, "point": [100, 230], "window": [100, 200, 140, 260], "pixels": 1200}
    path.write_text(json.dumps({"fctl_marks": 1, "marks": [entry | {"mark": "done"}]}))
    marks = Marks(path, image="px1-aaaaaaaaaaaa", classes=("sea", "land", "town"))
    assert marks.of(LAKE) == "done"
    marks.set(UNCERTAIN, "done")
    assert Marks(path, classes=("land", "sea", "town")).of(replace(LAKE, ground_truth=0, predicted=1)) == "done"
