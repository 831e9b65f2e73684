"""The overlay's levels equal a plain computation at every level, whatever the ground truth is read from."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Labels

from fctl_napari.evaluation.error_types import PAPER, by_table, comparison_kinds, confusion_table, error_table
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.labels.class_mapping import ClassMapping, MappedGroundTruth
from fctl_napari.imagery.labels.label_source import LabelSource
from fctl_napari.plugin.errors.overlay import ErrorLevels, add_overlay, kinds_style
from fctl_napari.plugin.errors.showing import MISSES, Showing
from fctl_napari.plugin.layers.ground_truth import GroundTruthChoice, layer_choices, open_choice
from fctl_napari.plugin.layers.segmentation_layers import STORE_KEY, levels_of
from fctl_napari.progress import no_progress

CLASSES = ("a", "b", "c")
MAPPING = ClassMapping(CLASSES, {0: 255, 5: 0, 6: 1, 9: 2})


def halved(values: np.ndarray, count: int) -> list[np.ndarray]:
    return [values[:: 2**k, :: 2**k] for k in range(count)]


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 45), st.integers(1, 45)),
    seed=st.integers(0, 99),
    levels=st.integers(1, 4),
    native=st.integers(0, 2),
    positive=st.sampled_from([None, 0, 2]),
    data=st.data(),
)
def test_every_level_equals_plain_numpy(
    shape: tuple[int, int], seed: int, levels: int, native: int, positive: int | None, data: st.DataObject
) -> None:
    random = np.random.default_rng(seed)
    predicted = random.integers(0, 4, shape, np.uint8)
    values = random.choice(np.array([0, 5, 6, 9], np.int32), shape)
    source = LabelSource("made", values, shape, one_based=False, coarser=halved(values, native + 1)[1:])
    ground_truth = MappedGroundTruth(source, MAPPING)
    overlay = ErrorLevels(halved(predicted, levels), ground_truth, None, by_table(error_table(positive, background=0)))

    # the plain computation: classes 0, 1, 2; -1 is none
    was = np.select([values == 5, values == 6, values == 9], [0, 1, 2], -1)
    says = predicted.astype(int) - 1
    wrong = (was >= 0) & (says >= 0) & (was != says)
    there, found = (was != 0, says != 0) if positive is None else (was == positive, says == positive)
    plain = np.where(wrong & there & ~found, 1, 0) + np.where(wrong & found & ~there, 2, 0)
    if positive is None:
        plain += np.where(wrong & there & found, 3, 0)

    for index, level in enumerate(overlay.levels):
        expected = plain[:: 2**index, :: 2**index]
        assert level.shape == expected.shape
        assert np.array_equal(np.asarray(level), expected)
        y0, x0 = (data.draw(st.integers(0, size)) for size in expected.shape)
        step = data.draw(st.integers(1, 3))
        assert np.array_equal(level[y0 : y0 + 9 : step, x0:], expected[y0 : y0 + 9 : step, x0:])

    overlay.show(by_table(confusion_table()))
    expected = np.where(wrong, says + 1, 0)
    for index, level in enumerate(overlay.levels):
        assert np.array_equal(np.asarray(level), expected[:: 2**index, :: 2**index])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), scored=st.booleans())
def test_two_segmentations_whose_classes_stand_in_another_order(seed: int, scored: bool) -> None:
    random = np.random.default_rng(seed)
    first, second = random.integers(0, 4, (2, 21, 30), np.uint8)
    values = random.choice(np.array([0, 5, 6, 9], np.uint8), (21, 30))
    ground_truth = (
        MappedGroundTruth(LabelSource("made", values, (21, 30), one_based=False), MAPPING) if scored else None
    )
    order = [2, 0, 1]  # class 0 of the second is class 2 of the first
    overlay = ErrorLevels(halved(first, 3), ground_truth, halved(second, 3), comparison_kinds, second_classes=order)
    was = np.select([values == 5, values == 6, values == 9], [0, 1, 2], 255) if scored else np.full((21, 30), 255)
    other = np.array([255, *order])[second]
    expected = comparison_kinds(was.astype(np.uint8), first - np.uint8(1), other.astype(np.uint8))
    for index, level in enumerate(overlay.levels):
        assert np.array_equal(np.asarray(level), expected[:: 2**index, :: 2**index])


def test_it_follows_what_grows() -> None:
    predicted = np.zeros((40, 60), np.uint8)
    levels = [predicted, predicted[::2, ::2].copy()]
    source = LabelSource("made", np.full((40, 60), 5, np.uint8), (40, 60), one_based=False)
    overlay = ErrorLevels(levels, MappedGroundTruth(source, MAPPING), None, by_table(confusion_table()))
    assert not np.asarray(overlay.levels[0]).any()
    assert not overlay.follow()
    predicted[10:20, 10:30] = 2
    levels[1][:] = predicted[::2, ::2]
    coarse = overlay.levels[-1]
    assert overlay.follow()
    assert overlay.levels[-1] is coarse  # napari holds this very array
    assert np.array_equal(coarse, np.where(levels[1] == 2, 2, 0))
    assert np.array_equal(np.asarray(overlay.levels[0]), np.where(predicted == 2, 2, 0))
    assert not overlay.follow()


def test_other_sizes_are_refused() -> None:
    predicted = [np.zeros((40, 60), np.uint8)]
    source = LabelSource("made", np.zeros((41, 60), np.uint8), (41, 60), one_based=False)
    with pytest.raises(InputError, match="the ground truth is 41 x 60 px"):
        ErrorLevels(predicted, MappedGroundTruth(source, MAPPING), None, comparison_kinds)
    with pytest.raises(InputError, match="the segmentation to compare with is 40 x 61 px"):
        ErrorLevels(predicted, None, [np.zeros((40, 61), np.uint8)], comparison_kinds)


@pytest.mark.parametrize(
    "location",
    [
        {"scale": (0.5, 0.25), "translate": (100, -40)},
        {"scale": (3.0, 3.0), "rotate": 30.0},
        {"shear": [0.4], "affine": np.array([[1, 0.2, 5], [0, 1, -7], [0, 0, 1]])},
    ],
)
def test_it_lies_where_the_mask_lies(location: dict[str, object]) -> None:
    viewer = ViewerModel()
    predicted = np.ones((40, 60), np.uint8)
    viewer.add_image(np.zeros((40, 60), np.uint8), **location)
    mask = viewer.add_labels(predicted, **location)
    viewer.layers.selection = {mask}
    source = LabelSource("made", np.full((40, 60), 6, np.uint8), (40, 60), one_based=False)
    overlay = ErrorLevels(
        levels_of(mask), MappedGroundTruth(source, MAPPING), None, by_table(error_table(background=0))
    )
    showing = Showing(MISSES, None, None, PAPER, background=0)
    style = kinds_style(showing.legend([(name, (1, 2, 3)) for name in CLASSES]))
    layer = add_overlay(viewer, mask, overlay, "errors", style)
    for point in ((0, 0), (7, 9), (39.5, 59.5)):
        assert np.allclose(layer.data_to_world(point), mask.data_to_world(point))
    assert viewer.layers.index(layer) == viewer.layers.index(mask) + 1
    assert viewer.layers.selection == {mask}
    assert np.allclose(layer.colormap.map(np.array([1], np.uint8)), [0, 0, 1, 1])


def test_layers_are_ground_truths_by_what_they_say(tmp_path: Path) -> None:
    viewer = ViewerModel()
    values = np.random.default_rng(0).integers(0, 4, (30, 40), np.int32)
    viewer.add_labels(values, name="plain", features={"class": ["", "a", "b", "c"]})
    viewer.add_labels([values, values[::2, ::2]], name="levels", multiscale=True)
    viewer.add_labels(values, name="mask", metadata={STORE_KEY: "somewhere"})
    viewer.add_image(values, name="image")
    plain, levels = layer_choices(viewer)
    assert (plain.name, levels.name) == ("plain", "levels")
    source = open_choice(plain, no_progress)
    assert (source.one_based, source.class_names) == (True, ("a", "b", "c"))
    assert np.array_equal(source.read((0, 0, 30, 40)), (values.astype(np.uint8) - np.uint8(1)))
    source = open_choice(levels, no_progress)
    assert (source.one_based, source.class_names) == (True, None)  # label 0 is nothing there, too
    assert np.array_equal(source.read_values(slice(0, 30), slice(0, 40)), values)
    with pytest.raises(InputError, match="3 dimensions"):
        open_choice(GroundTruthChoice("deep", None, Labels(np.zeros((3, 4, 5), int), name="deep")), no_progress)


@pytest.mark.parametrize(
    ("features", "names"),
    [
        ({"class": ["", "a", "b"]}, ("a", "b")),
        ({"class": ["background", "a", "b"]}, ("a", "b")),
        ({"class": ["b", "a", ""], "index": [2, 1, 0]}, ("a", "b")),
        ({"class": ["a", "c"], "index": [1, 3]}, ("a", "", "c")),
        ({"class": [""]}, None),
        ({"area": [1.0, 2.0]}, None),
    ],
)
def test_names_of_a_layer_are_those_of_its_labels(features: dict[str, list[object]], names: object) -> None:
    layer = Labels(np.zeros((3, 4), int), features=features)
    source = open_choice(GroundTruthChoice("layer", None, layer), no_progress)
    assert (source.one_based, source.class_names) == (True, names)


@pytest.mark.parametrize("width", [300, 4300])
def test_a_file_of_colors_holds_the_classes_that_have_them(tmp_path: Path, cache: Path, width: int) -> None:
    values = np.random.default_rng(0).integers(0, 3, (40, width), np.uint8)
    colors = [(10, 20, 30), (40, 50, 60), (70, 80, 90)]
    path = tmp_path / "colors.tif"
    tifffile.imwrite(path, np.array(colors, np.uint8)[values], tile=(32, 32), photometric="rgb")
    choice = GroundTruthChoice("colors", str(path))
    for turned in (colors, colors[::-1]):
        source = open_choice(choice, no_progress, turned)
        expected = values if turned is colors else 2 - values
        assert np.array_equal(source.read((0, 0, 40, width)), expected)
    with pytest.raises(InputError, match="channels"):
        open_choice(choice, no_progress)


def test_a_large_file_gets_levels_in_the_cache(tmp_path: Path, cache: Path) -> None:
    values = np.random.default_rng(0).integers(0, 6, (300, 4300), np.uint8)
    path = tmp_path / "wide.tif"
    tifffile.imwrite(path, values, tile=(128, 128))
    counts: list[tuple[int, int]] = []
    choice = GroundTruthChoice("wide", str(path))
    source = open_choice(choice, lambda *count: counts.append(count))
    assert source.native_levels == 4
    assert counts[-1] == (300, 300)
    (made,) = (cache / "fctl-napari").glob("wide-*.labels.ome.zarr")
    assert np.array_equal(source.read_values(slice(0, 75), slice(0, 1075), 2), values[::4, ::4])
    counts.clear()
    open_choice(choice, lambda *count: counts.append(count))
    assert counts == []
    tifffile.imwrite(path, values[:, ::-1], tile=(128, 128))  # another file by now
    os.utime(path, ns=(1, 1))
    source = open_choice(choice, lambda *count: counts.append(count))
    assert np.array_equal(source.read_values(slice(0, 300), slice(0, 4300)), values[:, ::-1])
    assert made.exists()
