"""Truths that count otherwise than the network: every value becomes its class, and none is passed over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.labels.class_mapping import ClassMapping, MappedGroundTruth
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.labels.label_source import LabelSource

CLASSES = ("water", "forest", "town")


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    dtype=st.sampled_from([np.uint8, np.int16, np.uint16, np.int32, np.int64]),
    wanted=st.dictionaries(st.integers(0, 120), st.sampled_from([0, 1, 2, 255]), min_size=1, max_size=6),
    far=st.booleans(),
)
def test_every_value_becomes_its_class(data: st.DataObject, dtype: type, wanted: dict[int, int], far: bool) -> None:
    if far and np.iinfo(dtype).max > 100_000:
        wanted = {**wanted, 5_000_000: 1, 70_000: 255}
    mapping = ClassMapping(CLASSES, wanted)
    keys = st.sampled_from(sorted(wanted))
    values = np.array(data.draw(st.lists(keys, min_size=1, max_size=30)), dtype)
    indices, stray = mapping.apply(values)
    assert stray is None
    assert indices.dtype == np.uint8
    assert indices.tolist() == [wanted[int(value)] for value in values]
    odd = data.draw(st.integers(0, 127).filter(lambda value: value not in wanted))
    indices, stray = mapping.apply(np.append(values, dtype(odd)))
    assert stray == odd
    assert indices[-1] == 255


def test_negative_values_and_nothing_at_all() -> None:
    mapping = ClassMapping(CLASSES, {0: 1, -4: 2})
    assert mapping.apply(np.array([[0, -4]], np.int8))[0].tolist() == [[1, 2]]
    assert mapping.apply(np.array([[0, -1]], np.int8)) == (pytest.approx(np.array([[1, 255]])), -1)
    indices, stray = mapping.apply(np.zeros((0, 3), np.int32))
    assert (indices.shape, stray) == ((0, 3), None)
    assert mapping.apply(np.array([False]))[0].tolist() == [1]


def test_the_same_names_are_the_same_classes() -> None:
    named = ClassMapping.propose(CLASSES, one_based=True, names=["Town", "ice", " water"])
    assert named.values == {0: 255, 1: 2, 2: 255, 3: 0}
    assert ClassMapping.propose(CLASSES, one_based=True).values == {0: 255, 1: 0, 2: 1, 3: 2}
    assert ClassMapping.propose(CLASSES, one_based=False).values == {0: 0, 1: 1, 2: 2, 255: 255}
    # no name in common: by index
    strange = ClassMapping.propose(CLASSES, one_based=False, names=["eau", "bois", "ville"])
    assert strange.values == {0: 0, 1: 1, 2: 2, 255: 255}
    assert ClassMapping.propose(CLASSES, one_based=False, ignored=1).values == {0: 0, 1: 1, 2: 2, 3: 255, 255: 255}


def test_one_value_too_many_means_that_zero_is_none() -> None:
    assert ClassMapping.propose(CLASSES, one_based=False, values=[0, 1, 3]).values[3] == 2
    assert ClassMapping.propose(CLASSES, one_based=False, values=[0, 1, 3]).values[0] == 255
    assert ClassMapping.propose(CLASSES, one_based=False, values=[0, 2]).values[0] == 0


def test_saved_and_read_again(tmp_path: Path) -> None:
    mapping = ClassMapping(CLASSES, {0: 255, 7: 2, 300: 0})
    mapping.save(tmp_path / "m.json")
    assert ClassMapping.read(tmp_path / "m.json", CLASSES) == mapping
    (tmp_path / "m.json").write_text('{"values": {"7": 2, "0": null, "300": "WATER"}}')
    assert ClassMapping.read(tmp_path / "m.json", CLASSES) == mapping
    (tmp_path / "m.json").write_text('{"values": {"7": 2, "0": "Cloud", "300": "WATER"}}')
    assert ClassMapping.read(tmp_path / "m.json", CLASSES, ["cloud"]) == mapping


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"values": {"1": "ice"}}', "'ice'"),
        ('{"values": {"1": 3}}', "class 3"),
        ('{"values": {"one": 0}}', "not a class mapping"),
        ("[]", "not a class mapping"),
        ("{", "not a class mapping"),
        (None, "no such mapping"),
    ],
)
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "m.json").write_text(text)
    with pytest.raises(InputError, match=words):
        ClassMapping.read(tmp_path / "m.json", CLASSES)


def test_a_mapped_ground_truth_reads_like_any_other(tmp_path: Path) -> None:
    # an Inria mask: 255 is the building
    picture = np.where(np.random.default_rng(0).random((40, 50)) < 0.3, 255, 0).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "t.png")
    mapping = ClassMapping(("background", "building"), {0: 0, 255: 1})
    ground_truth = MappedGroundTruth(open_ground_truth(tmp_path / "t.png"), mapping)
    assert ground_truth.shape == (40, 50)
    assert ground_truth.class_names == ("background", "building")
    expected = np.pad((picture > 0).astype(np.uint8), 3, constant_values=255)
    assert np.array_equal(ground_truth.read((-3, -3, 43, 53)), expected)


def test_a_value_that_is_not_mapped_is_named(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 1], [1, 77]], np.uint8)).save(tmp_path / "t.png")
    ground_truth = MappedGroundTruth(
        open_ground_truth(tmp_path / "t.png"), ClassMapping.propose(CLASSES, one_based=False)
    )
    assert ground_truth.read((0, 0, 1, 2)).tolist() == [[0, 1]]
    with pytest.raises(InputError, match=r"t\.png: holds the value 77"):
        ground_truth.read((0, 0, 2, 2))
    assert ground_truth.peek(slice(0, 2), slice(0, 2)).tolist() == [[0, 1], [1, 255]]


@settings(max_examples=40, deadline=None)
@given(data=st.data(), native=st.integers(0, 2), level=st.integers(0, 4))
def test_levels_are_every_nth_pixel(data: st.DataObject, native: int, level: int) -> None:
    shape = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    values = np.random.default_rng(1).integers(0, 4, shape, np.uint8)
    coarser = [values[:: 2**k, :: 2**k] for k in range(1, native + 1)]
    source = LabelSource("made", values, shape, one_based=True, coarser=coarser)
    expected = values[:: 2**level, :: 2**level]
    assert source.level_shape(level) == expected.shape
    y0, x0 = (data.draw(st.integers(0, size)) for size in expected.shape)
    y1, x1 = data.draw(st.integers(y0, expected.shape[0])), data.draw(st.integers(x0, expected.shape[1]))
    assert np.array_equal(source.read_values(slice(y0, y1), slice(x0, x1), level), expected[y0:y1, x0:x1])


def test_our_label_files_lend_their_levels(tmp_path: Path) -> None:
    labels = LabelPyramid.create(
        tmp_path / "t.zarr", (1500, 1200), chunk=256, classes=[{"name": n, "color": (1, 2, 3)} for n in CLASSES]
    )
    values = np.random.default_rng(0).integers(0, 4, (1500, 1200), np.uint8)
    labels.write(0, 0, values)
    labels.update_levels((0, 0, 1500, 1200))
    source = open_ground_truth(tmp_path / "t.zarr")
    assert source.native_levels == len(labels.levels) == 2
    assert np.array_equal(source.read_values(slice(0, 750), slice(0, 600), 1), values[::2, ::2])
    ground_truth = MappedGroundTruth(source, ClassMapping.for_ground_truth(source, CLASSES))
    assert np.array_equal(ground_truth.read((0, 0, 1500, 1200)), source.read((0, 0, 1500, 1200)))
