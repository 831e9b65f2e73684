"""Labels of layers in the px of other layers: where they are seen, or refused."""

from __future__ import annotations

from typing import Any

import dask.array
import numpy as np
import pytest
import zarr
from hypothesis import event, given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image, Labels

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.labels.placed_labels import PlacedLabels
from fctl_napari.plugin.layers.resampled_labels import lies_over, placed_labels

HEIGHT, WIDTH = 30, 50


def shown(viewer: ViewerModel, layer: Labels, image: Image) -> np.ndarray:
    """What one sees of the labels in the middle of each px of the image."""
    data = np.asarray(layer.data[0] if layer.multiscale else layer.data).reshape(layer.data.shape[-2:])
    seen = np.zeros((HEIGHT, WIDTH), data.dtype)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            world = np.asarray(image.data_to_world((y, x)))
            i, j = np.floor(np.asarray(layer.world_to_data((*np.zeros(layer.ndim - 2), *world)))[-2:] + 0.5).astype(int)
            if 0 <= i < data.shape[0] and 0 <= j < data.shape[1]:
                seen[y, x] = data[i, j]
    return seen


def with_image(**location: Any) -> tuple[ViewerModel, Image]:
    viewer = ViewerModel()
    return viewer, viewer.add_image(np.zeros((HEIGHT, WIDTH, 3), np.uint8), rgb=True, **location)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_each_px_has_the_label_that_is_seen_in_its_middle(data: st.DataObject) -> None:
    pixel = data.draw(st.sampled_from([1.0, 0.3, 2.5]))
    corner = data.draw(st.tuples(st.integers(-9, 9), st.integers(-9, 9)))
    turn = data.draw(st.sampled_from([0, 90, 33]))
    viewer, image = with_image(scale=(pixel, pixel), translate=corner, rotate=turn)
    times = data.draw(st.sampled_from([1, 2, 3, 5, 1 / 3, 1 / 5]))
    flips = np.diag(data.draw(st.tuples(*[st.sampled_from([-1.0, 1.0])] * 2)))
    axes = np.eye(2)[:, :: data.draw(st.sampled_from([1, -1]))]
    offset = np.array(data.draw(st.tuples(st.integers(-20, 40), st.integers(-20, 40))), float)
    # px of the labels begin where px of the image begin
    linear = flips @ axes * times
    shift = offset - 0.5 - linear @ np.array([-0.5, -0.5])
    own = np.eye(3)
    own[:2, :2], own[:2, 2] = linear, shift
    shape = data.draw(st.tuples(st.integers(1, 70), st.integers(1, 70)))
    values = np.random.default_rng(0).integers(0, 7, shape).astype(np.uint8)
    layer = viewer.add_labels(values, affine=np.asarray(image._data_to_world.affine_matrix) @ own)
    expected = shown(viewer, layer, image)
    try:
        placed = placed_labels(viewer, layer, image)
    except InputError:
        event("lies beside")
        assert not expected.any()
        return
    np.testing.assert_array_equal(np.asarray(placed), expected)
    np.testing.assert_array_equal(placed[3:20:2, 5:50:7], expected[3:20:2, 5:50:7])
    if isinstance(placed, PlacedLabels) and times >= 1:
        inside = np.zeros(shape, bool)
        rows, columns = placed._indices
        picked = np.ix_(rows[rows >= 0], columns[columns >= 0])
        (inside.T if placed._swapped else inside)[picked] = True
        assert placed.count_beside() == np.count_nonzero(values[~inside])


def test_what_lies_like_the_image_is_used_as_it_is() -> None:
    viewer, image = with_image(scale=(0.5, 0.5), translate=(7, 8), rotate=20, units=("um", "um"))
    values = np.ones((HEIGHT, WIDTH), int)
    location = {"scale": image.scale, "translate": image.translate, "rotate": image.rotate, "units": image.units}
    layer = viewer.add_labels(values, **location)
    assert placed_labels(viewer, layer, image) is values
    assert lies_over(viewer, layer, image)
    layer.translate = (8, 8)
    assert not lies_over(viewer, layer, image)


@pytest.mark.parametrize("kind", ["dask", "zarr", "planes", "multiscale", "small", "large"])
def test_other_arrays(kind: str) -> None:
    viewer, image = with_image()
    whole = np.random.default_rng(1).integers(0, 5, (HEIGHT, WIDTH)).astype(np.uint8)
    location: dict[str, Any] = {"translate": (3, 4)}
    data: Any = {
        "dask": lambda: dask.array.from_array(whole, chunks=(16, 16)),
        "zarr": lambda: zarr.array(whole, chunks=(16, 16)),
        "planes": lambda: whole[None],
        "multiscale": lambda: [whole, whole[::2, ::2]],
        "small": lambda: whole[:10, :20],
        "large": lambda: np.pad(whole, 40),
    }[kind]()
    if kind == "planes":
        location["translate"] = (12, 3, 4)
    layer = viewer.add_labels(data, **location)
    np.testing.assert_array_equal(np.asarray(placed_labels(viewer, layer, image)), shown(viewer, layer, image))


class Counted:
    """Labels that are read by slices, and count what is read."""

    shape, dtype, ndim = (HEIGHT, WIDTH), np.dtype(np.uint8), 2

    def __init__(self) -> None:
        self.reads: list[tuple[int, ...]] = []

    def __getitem__(self, key: Any) -> np.ndarray:
        part = np.zeros(self.shape, self.dtype)[key]
        self.reads.append(part.shape)
        return part

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:, :]


def test_nothing_is_read_before_it_is_looked_at() -> None:
    lazy = Counted()
    viewer, image = with_image()
    layer = Labels(lazy, translate=(10, 0))
    viewer.layers.append(layer)
    lazy.reads.clear()
    placed = placed_labels(viewer, layer, image)
    assert lazy.reads == []
    placed[10:20, 0:10]
    assert lazy.reads == [(10, 10)]


def test_units_count_as_napari_shows_them() -> None:
    viewer, image = with_image(scale=(0.5, 0.5), units=("m", "m"))
    values = np.ones((HEIGHT, WIDTH), np.uint8)
    layer = viewer.add_labels(values, scale=(500, 500), translate=(1000, 0), units=("mm", "mm"))
    placed = np.asarray(placed_labels(viewer, layer, image))
    assert not placed[:2].any()
    assert placed[2:].all()
    viewer.add_labels(values)  # in px: napari mixes no kinds of units, and shows numbers as they are
    with pytest.raises(InputError):
        placed_labels(viewer, layer, image)


@pytest.mark.parametrize(
    ("shape", "location", "words"),
    [
        ((HEIGHT, WIDTH), {"rotate": 10}, "is rotated or sheared against image"),
        ((HEIGHT, WIDTH), {"shear": [0.2]}, "is rotated or sheared against image"),
        ((15, 25), {"scale": (2, 2)}, r"set its translate to \(0.5, 0.5\)"),
        ((60, 100), {"scale": (0.5, 0.5), "translate": (-0.25, -0.25)}, "lie between those of image; resample it"),
        ((15, 25), {"scale": (1.37, 1.37)}, "lie between those of image; resample it"),
        ((HEIGHT, WIDTH), {"scale": (2, 2)}, r"give it the scale \(1, 1\) and the translate \(0, 0\) of image"),
        ((HEIGHT, WIDTH), {"translate": (0.5, 0)}, "lie between those of image"),
        ((HEIGHT, WIDTH), {"translate": (0, 500)}, "lies beside image; move it over it"),
        ((2, HEIGHT, WIDTH), {}, "has more than one plane"),
        ((1, HEIGHT, WIDTH), {"affine": [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]}, "out of the plane"),
    ],
)
def test_what_is_not_px_for_px_is_refused(shape: tuple[int, ...], location: dict[str, Any], words: str) -> None:
    viewer, image = with_image(name="image")
    layer = viewer.add_labels(np.ones(shape, np.uint8), name="mine", **location)
    with pytest.raises(InputError, match=words) as caught:
        placed_labels(viewer, layer, image)
    assert str(caught.value).startswith("mine: ")


@pytest.mark.parametrize("times", [2, 3, 4])
@pytest.mark.parametrize("turn", [0, 90])
def test_the_advice_can_be_followed(times: int, turn: int) -> None:
    viewer, image = with_image(scale=(0.3, 0.3), translate=(5, -4))
    values = np.random.default_rng(2).integers(1, 5, (9, 13)).astype(np.uint8)
    layer = viewer.add_labels(values, scale=(0.3 * times,) * 2, translate=(5.13, -3.9), rotate=turn)
    layer.translate = np.asarray(layer.translate) + np.array([0.15 * (times + 1) % 0.3 + 0.02, 0.15])
    try:
        placed_labels(viewer, layer, image)
    except InputError as error:
        text = str(error).split("translate to (")[1].split(")")[0]
        layer.translate = [float(part) for part in text.split(", ")]
    placed = np.asarray(placed_labels(viewer, layer, image))
    np.testing.assert_array_equal(placed, shown(viewer, layer, image))
