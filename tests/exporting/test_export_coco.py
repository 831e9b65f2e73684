"""COCO files, as pycocotools reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fctl_napari.exceptions import OutputError
from fctl_napari.exporting.coco import write_coco
from fctl_napari.exporting.export import export
from fctl_napari.exporting.extract import Extract
from fctl_napari.model.classes import numbered_classes
from fctl_napari.segmentation.store.store import Segmentation

pytest.importorskip("rasterio")
COCO = pytest.importorskip("pycocotools.coco").COCO

MakeSegmentation = Callable[..., Segmentation]


def decoded(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Class indices as pycocotools has them; no px belongs to two annotations."""
    coco = COCO(str(path))
    mask = np.full(shape, 255, np.uint8)
    for annotation in coco.loadAnns(coco.getAnnIds()):
        inside = coco.annToMask(annotation).astype(bool)
        assert (mask[inside] == 255).all()
        mask[inside] = annotation["category_id"] - 1
        y, x = np.nonzero(inside)
        box = [x.min(), y.min(), x.max() + 1 - x.min(), y.max() + 1 - y.min()]
        assert annotation["bbox"] == box
        assert annotation["area"] == inside.sum()
    return mask


@settings(max_examples=60, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 2)))
def test_pycocotools_sees_the_mask(tmp_path_factory: pytest.TempPathFactory, labels: np.ndarray) -> None:
    store = SimpleNamespace(
        labels=SimpleNamespace(chunk=4, read=lambda window: labels[window[0] : window[2], window[1] : window[3]]),
        shape=labels.shape,
        path=Path("store"),
        image_path=None,
        class_table=numbered_classes(2),
    )
    out = tmp_path_factory.mktemp("coco") / "out.coco.json"
    write_coco(Extract.of(store, None), out, min_area=0, progress=None)  # type: ignore[arg-type]
    np.testing.assert_array_equal(decoded(out, labels.shape), labels - np.uint8(1))


def test_a_whole_file(tmp_path: Path, make_segmentation: MakeSegmentation) -> None:
    y, x = np.mgrid[:150, :220]
    labels = (1 + (np.sin(x / 9) + np.sin(y / 7) > 0.3)).astype(np.uint8)
    labels[:40, :40] = 0
    segmentation = make_segmentation(labels)
    out = export(segmentation, tmp_path / "out.coco.json")
    np.testing.assert_array_equal(decoded(out, labels.shape), labels - np.uint8(1))
    found = json.loads(out.read_text())
    assert found["images"] == [{"id": 1, "file_name": "", "width": 220, "height": 150}]
    assert [(c["id"], c["name"]) for c in found["categories"]] == [(1, "red"), (2, "green"), (3, "blue")]
    assert [a["id"] for a in found["annotations"]] == list(range(1, len(found["annotations"]) + 1))
    kinds = {type(annotation["segmentation"]) for annotation in found["annotations"]}
    assert kinds == {list, dict}  # polygons, and runs where there are holes


def test_part_of_it_keeps_the_coordinates_of_the_image(tmp_path: Path, make_segmentation: MakeSegmentation) -> None:
    labels = np.ones((60, 80), np.uint8)
    labels[20:30, 40:70] = 2
    labels[5, 5] = 3
    segmentation = make_segmentation(labels)
    out = export(segmentation, tmp_path / "a.json", kind="coco", region=(4, 2, 50, 60), min_area=2)
    mask = decoded(out, labels.shape)
    expected = labels - np.uint8(1)
    expected[:4] = expected[50:] = 255
    expected[:, :2] = expected[:, 60:] = 255
    expected[5, 5] = 255
    np.testing.assert_array_equal(mask, expected)
    second = export(segmentation, tmp_path / "b.json", kind="coco", region=(4, 2, 50, 60), min_area=2)
    assert second.read_text() == out.read_text()  # the same every time


def test_an_earlier_export_is_replaced_and_another_file_is_not(
    tmp_path: Path, make_segmentation: MakeSegmentation
) -> None:
    segmentation = make_segmentation(np.ones((10, 12)))
    out = tmp_path / "out.coco.json"
    out.write_text('{"images": []}')
    with pytest.raises(OutputError, match="not an earlier export"):
        export(segmentation, out)
    assert out.read_text() == '{"images": []}'
    out.unlink()
    export(segmentation, out)
    export(segmentation, out)
