"""The table of a job over several images, as it is written and read again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fctl_napari.evaluation.class_areas import ClassAreas
from fctl_napari.evaluation.job_table import ImageRow, read_rows, sum_of, write_rows
from fctl_napari.exceptions import InputError

ODD = ('/a, "b".png', "/new\nline.png", "/caf\udce9.png", "https://host/ü.tif")


def areas(sea: int, wood: int, confidence: float | None = 0.5, hectares: bool = True) -> ClassAreas:
    found = {"sea": sea, "wood, dry": wood}
    return ClassAreas(found, {name: px / 4 for name, px in found.items()} if hectares else None, confidence)


def test_any_name_comes_back(tmp_path: Path) -> None:
    rows = [ImageRow(image, "done", f"{n}.fctl.ome.zarr", areas(n, 1), 1.25) for n, image in enumerate(ODD)]
    write_rows(tmp_path / "t.csv", rows)
    found = read_rows(tmp_path / "t.csv")
    assert [row["image"] for row in found] == [*ODD[:2], "/caf\\udce9.png", ODD[3]]
    assert [row["wood, dry share"] for row in found] == ["1.000000", "0.500000", "0.333333", "0.250000"]
    assert [row["sea ha"] for row in found] == ["0.0000", "0.2500", "0.5000", "0.7500"]
    write_rows(tmp_path / "t.csv", [ImageRow(image) for image in ODD], found)
    assert read_rows(tmp_path / "t.csv") == found, "what waits keeps its earlier row"
    json.dumps([row.to_json() for row in rows], allow_nan=False)


def test_rows_of_others_stay_while_their_results_do(tmp_path: Path) -> None:
    (tmp_path / "b.fctl.ome.zarr").mkdir()
    first = [
        ImageRow("/a", "done", "a.fctl.ome.zarr", areas(1, 1), 1.0),
        ImageRow("/b", "done", "b.fctl.ome.zarr", areas(1, 1), 1.0),
        ImageRow("/c", "failed", sentence="/c: is damaged."),
        ImageRow("/moved", "done", "d.fctl.ome.zarr", areas(1, 1)),
    ]
    table = tmp_path / "t.csv"
    write_rows(table, first)
    write_rows(table, [ImageRow("/d", "done", "d.fctl.ome.zarr", areas(1, 1))], read_rows(table))
    assert [row["image"] for row in read_rows(table)] == ["/d", "/b", "/c"]


def test_all_together() -> None:
    rows = [ImageRow("/a", "done", "a", areas(3, 1, 0.8)), ImageRow("/b", "failed"), ImageRow("/c", areas=areas(0, 4))]
    total = sum_of(rows)
    assert total is not None
    assert (total.pixels, total.hectares) == ({"sea": 3, "wood, dry": 5}, {"sea": 0.75, "wood, dry": 1.25})
    assert total.confidence == pytest.approx((4 * 0.8 + 4 * 0.5) / 8)
    part = sum_of([*rows, ImageRow("/d", areas=areas(0, 0, None, hectares=False))])
    assert part is not None
    assert part.hectares is None
    assert sum_of([ImageRow("/b", "failed")]) is None


@pytest.mark.parametrize(
    "text", ["", "a,b\n1,2\n", "image,state,result,px,confidence,seconds,sentence\n1,2,3,4,5,6,7,8\n"]
)
def test_another_file_is_not_overwritten(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=r"t\.csv: is no table of segmented images"):
        read_rows(tmp_path / "t.csv")
