"""Arguments of the public functions: what means the same is taken, and what is wrong is one sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
from helpers_commands import Fctl

import fctl_napari as fctl
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.exceptions import FctlError, InputError

WRONG_WINDOWS: list[Any] = [
    (1, 2, 3),
    (9, 9, 3, 3),
    (0, 0, 0, 5),
    (0.0, 0.0, 9.5, 9.0),
    (0, 0, float("nan"), 5),
    (0, 0, float("inf"), 5),
    "abcd",
    5,
    np.zeros((4, 4), int),
    (slice(0, 4), slice(0, 4)),
]


@pytest.fixture
def image(scene: Path) -> fctl.Image:
    """The scene, opened."""
    found = fctl.open(scene)
    assert isinstance(found, fctl.Image)
    return found


@pytest.fixture
def painted(segmented: fctl.Map, tmp_path: Path) -> Path:
    """Corrections of the scene, away from it."""
    with fctl.corrections(segmented, tmp_path / "c.ome.zarr") as corrections:
        corrections.write(0, 0, np.full((30, 40), 3, np.uint8), author="ann")
    return tmp_path / "c.ome.zarr"


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch": -3},
        {"device": "nope"},
        {"device": "cuda:99"},  # only the worker knows that it is not there
        {"engine": "x"},
        {"precision": "fp64"},
    ],
    ids=str,
)
def test_a_complete_map_is_refused_the_same_settings_as_one_that_is_not(
    scene: Path, network: Path, segmented: fctl.Map, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    said = []
    for out in (tmp_path / "new.ome.zarr", segmented.path):
        with pytest.raises(FctlError, match=re.escape(str(next(iter(wrong.values()))))) as error:
            fctl.segment(scene, network, out, progress=False, **{"device": "cpu", **wrong})
        said.append(str(error.value))
    assert said[0] == said[1]


def test_windows_may_be_anything_of_four_whole_numbers(image: fctl.Image, segmented: fctl.Map) -> None:
    window = (10, 20, 40, 90)
    for same in (list(window), np.array(window), tuple(map(float, window)), np.array(window, np.float32)):
        assert np.array_equal(image.read(same), image.read(window))  # type: ignore[arg-type]
        assert np.array_equal(segmented.read(same), segmented.read(window))  # type: ignore[arg-type]
        assert fctl.errors(segmented, region=same, progress=False).regions.found >= 0  # type: ignore[arg-type]


@pytest.mark.parametrize("window", WRONG_WINDOWS, ids=lambda window: str(window)[:30])
def test_no_window_is_one_sentence_wherever_one_is_taken(
    image: fctl.Image, segmented: fctl.Map, scene: Path, network: Path, truth: Path, tmp_path: Path, window: Any
) -> None:
    calls: list[Callable[[], object]] = [
        lambda: image.read(window),
        lambda: segmented.read(window),
        lambda: segmented.confidence(window),
        lambda: segmented.to_geopandas(window, progress=False),
        lambda: fctl.segment(scene, network, region=window, progress=False),
        lambda: fctl.refine(segmented, network, tmp_path / "r.ome.zarr", region=window, progress=False),
        lambda: fctl.evaluate(segmented, truth, region=window, progress=False),
        lambda: fctl.errors(segmented, region=window, progress=False),
        lambda: fctl.export(segmented, tmp_path / "m.png", region=window, progress=False),
    ]
    for call in calls:
        with pytest.raises(FctlError, match=r"give \(y0, x0, y1, x1\)"):
            call()


def test_what_is_wrong_is_one_sentence_of_the_argument(
    image: fctl.Image, segmented: fctl.Map, scene: Path, network: Path, truth: Path, pixels: np.ndarray, tmp_path: Path
) -> None:
    import xarray

    dataset = xarray.Dataset({"land": (("y", "x"), np.zeros((3, 4), np.uint8))})
    unknown = dask.array.from_array(pixels, chunks=64)
    unknown = unknown[dask.array.from_array(np.arange(len(pixels)) % 2 > 0, chunks=64)]
    out = tmp_path / "out.png"
    explain, anything = fctl.explain, getattr  # calls that type checkers refuse
    calls: dict[str, Callable[[], object]] = {
        "side cannot be 0": lambda: image.read(side=0),
        "side cannot be -3": lambda: image.read(side=-3),
        "side cannot be 2.5": lambda: image.read(side=2.5),  # type: ignore[arg-type]
        "side cannot be 'a'": lambda: image.read(side="a"),  # type: ignore[arg-type]
        "has no level 9; give 0": lambda: image.to_xarray(9),
        "has no level -1; give 0": lambda: image.to_xarray(-1),
        "Image.to_xarray: level cannot be 0.5": lambda: image.to_xarray(0.5),  # type: ignore[arg-type]
        "explain: pixel cannot be (1,)": lambda: explain(segmented, (1,)),  # type: ignore[arg-type]
        "explain: pixel cannot be None": lambda: explain(segmented, None),  # type: ignore[arg-type]
        "explain: pixel cannot be ('a', 'b')": lambda: explain(segmented, ("a", "b")),  # type: ignore[arg-type]
        "pixel (nan, 1) (y, x) lies outside": lambda: explain(segmented, (float("nan"), 1)),
        "export: source cannot be <Image scene": lambda: fctl.export(image, out),  # type: ignore[arg-type]
        "export: source cannot be None": lambda: fctl.export(None, out),  # type: ignore[arg-type]
        "kind cannot be 'x'": lambda: fctl.export(segmented, out, kind="x"),  # type: ignore[arg-type]
        "evaluate: source cannot be <Image": lambda: fctl.evaluate(image, truth),  # type: ignore[arg-type]
        "There is no ground truth": lambda: fctl.evaluate(segmented, None, progress=False),
        "boundary_px cannot be 0": lambda: fctl.evaluate(segmented, truth, boundary_px=0),
        "measure cannot be 'x'": lambda: fctl.errors(segmented, measure="x"),  # type: ignore[arg-type]
        "by cannot be 'x'": lambda: fctl.errors(segmented, by="x"),  # type: ignore[arg-type]
        "checkpoint cannot be None": lambda: fctl.segment(scene, None),  # type: ignore[arg-type]
        "batch cannot be 'x'": lambda: fctl.segment(scene, network, batch="x"),  # type: ignore[arg-type]
        "progress cannot be 'x'": lambda: fctl.segment(scene, network, progress="x"),  # type: ignore[arg-type]
        "progress cannot be 'yes'": lambda: fctl.errors(segmented, progress="yes"),  # type: ignore[arg-type]
        "progress cannot be 1": lambda: fctl.errors(segmented, progress=1),  # type: ignore[arg-type]
        "fresh cannot be 'no'": lambda: fctl.segment(scene, network, fresh="no"),  # type: ignore[arg-type]
        "open: source cannot be ''": lambda: fctl.open(""),
        "show: image cannot be ' '": lambda: fctl.show(" "),
        "segment: image cannot be ''": lambda: fctl.segment("", network),
        "segment: out cannot be ''": lambda: fctl.segment(scene, network, ""),
        "export: out cannot be ''": lambda: fctl.export(segmented, ""),
        "evaluate: ground_truth cannot be ''": lambda: fctl.evaluate(segmented, ""),
        "refine: foo: there is no such setting; it takes source": lambda: anything(fctl, "refine")(
            segmented, network, out, foo=1
        ),
        "fine-tuning: foo: there is no such setting": lambda: fctl.finetune(scene, corrections=truth, foo=1),
        "earth: foo: there is no such setting": lambda: fctl.train("earth", settings={"foo": 1}),
        "network settings: foo: there is no such setting": lambda: fctl.train("earth", settings={"network.foo": 1}),
        "ablate: foo: there is no such setting; it takes tables": lambda: anything(fctl, "ablate")(3, foo=1),
        "segment: missing a required argument: 'image'": lambda: anything(fctl, "segment")(),
        "load_checkpoint: name cannot be 5": lambda: fctl.load_checkpoint(5),  # type: ignore[arg-type]
        "seeds cannot be 0": lambda: fctl.ablate(3, seeds=0),
        "is a Dataset; give one of its arrays: land": lambda: fctl.open(dataset),
        "chunks of unknown size": lambda: fctl.open(unknown),
        "image: cannot be None; give a path, an address, or an array": lambda: fctl.segment(None),
        "image: cannot be {}": lambda: fctl.open({}),
        "image: cannot be 5;": lambda: fctl.corrections(5),
        "image: cannot be <object": lambda: fctl.explain(object(), (1, 1)),
        "rows of different lengths": lambda: fctl.open([[1, 2], [3]]),
        "value_range cannot be (1,)": lambda: fctl.open(scene, value_range=(1,)),  # type: ignore[arg-type]
        "bands cannot be (0, 1)": lambda: fctl.open(scene, bands=(0, 1)),  # type: ignore[arg-type]
        "bands cannot be 'rgb'": lambda: fctl.open(scene, bands="rgb"),  # type: ignore[arg-type]
        "Map: path cannot be None": lambda: fctl.Map(None),  # type: ignore[arg-type]
    }
    for sentence, call in calls.items():
        with pytest.raises(FctlError) as caught:
            call()
        assert sentence in str(caught.value)
        assert str(caught.value).endswith(".")
        assert "\n" not in str(caught.value)


def test_what_is_open_is_opened_as_it_is(image: fctl.Image, segmented: fctl.Map, painted: Path) -> None:
    corrections = fctl.open(painted)
    assert isinstance(corrections, Corrections)
    assert fctl.open(corrections) is corrections
    assert fctl.open(segmented) is segmented
    assert np.array_equal(np.asarray(fctl.open(image)), np.asarray(image))


def test_an_open_image_takes_another_range_and_other_bands(image: fctl.Image, pixels: np.ndarray) -> None:
    for source in (image, fctl.open(pixels)):
        shown = fctl.open(source, value_range=(0, 510), bands=(2, 1, 0))
        assert np.array_equal(np.asarray(shown), np.rint(pixels[..., ::-1] / 2).astype(np.uint8))
        assert np.array_equal(np.asarray(source), pixels)


def test_maps_and_corrections_are_no_images(segmented: fctl.Map, painted: Path, scene: Path, network: Path) -> None:
    corrections = fctl.open(painted)
    no_images: list[tuple[Any, str]] = [
        (segmented.path, f"is a map, not an image; give its image, {scene}"),
        (painted, f"holds corrections, not an image; give its image, {scene}"),
        (corrections, f"holds corrections, not an image; give its image, {scene}"),
    ]
    for source, sentence in no_images:
        for call in (
            lambda: fctl.segment(source, network, progress=False),  # noqa: B023
            lambda: fctl.explain(source, (3, 4), network),  # noqa: B023
            lambda: fctl.finetune(source, network, steps=1, progress=False),  # noqa: B023
            lambda: fctl.corrections(source),  # noqa: B023
        ):
            with pytest.raises(FctlError) as caught:
                call()
            assert sentence in str(caught.value)
    with pytest.raises(FctlError, match="is a map, not an image"):
        fctl.segment(segmented, network, progress=False)


def test_a_damaged_map_says_so(segmented: fctl.Map, tmp_path: Path) -> None:
    import shutil

    copy = shutil.copytree(segmented.path, tmp_path / "copy.ome.zarr")
    shutil.rmtree(copy / "confidence")
    with pytest.raises(FctlError, match="parts of this segmentation are missing"):
        fctl.open(copy)


def test_a_map_that_is_deleted_meanwhile_is_not_an_empty_one(segmented: fctl.Map, truth: Path, tmp_path: Path) -> None:
    import shutil

    land = fctl.Map(shutil.copytree(segmented.path, tmp_path / "land.ome.zarr"))
    shutil.rmtree(land.path)
    calls: list[Callable[[], object]] = [
        land.read,
        land.confidence,
        lambda: land.areas(progress=False),
        lambda: land.to_geopandas(progress=False),
        lambda: fctl.errors(land, progress=False),
        lambda: fctl.errors(land, truth, progress=False),
        lambda: fctl.evaluate(land, truth, progress=False),
        lambda: fctl.evaluate(segmented, land, progress=False),
        lambda: fctl.export(land, tmp_path / "land.tif", progress=False),
        lambda: fctl.export(land, tmp_path / "land.geojson", progress=False),
    ]
    for call in calls:
        with pytest.raises(InputError, match=r"land\.ome\.zarr(/confidence)?: (is gone; put it back|there is no such)"):
            call()
    assert "is gone; put it back" in land._repr_html_()
    assert not (tmp_path / "land.tif").exists()


def test_corrections_that_are_deleted_meanwhile_are_not_empty_ones(painted: Path) -> None:
    import shutil

    corrections = fctl.open(painted)
    assert isinstance(corrections, Corrections)
    assert not corrections.read((60, 60, 90, 90)).any()  # nothing is painted there
    shutil.rmtree(painted)
    with pytest.raises(InputError, match=r"c\.ome\.zarr: is gone"):
        corrections.read((0, 0, 30, 40))


def test_arrays_and_maps_are_ground_truths(segmented: fctl.Map, truth: Path, painted: Path) -> None:
    import xarray
    from PIL import Image

    values = np.asarray(Image.open(truth))
    wanted = fctl.evaluate(segmented, truth, progress=False)
    for same in (
        values,
        values.astype(np.int64),
        dask.array.from_array(values, chunks=50),
        xarray.DataArray(values.T, dims=("x", "y")),
        np.ma.masked_equal(values, 255),
    ):
        found = fctl.evaluate(segmented, same, progress=False)
        assert np.array_equal(found.evaluation.confusion, wanted.evaluation.confusion)
        assert len(fctl.errors(segmented, same, progress=False)) == len(fctl.errors(segmented, truth, progress=False))
    with_corrections = fctl.Map(segmented.path, corrections=painted)
    for itself, same in (
        (segmented, segmented),
        (segmented, str(segmented.path)),
        (with_corrections, fctl.Map(segmented.path, corrections=painted)),
    ):
        with pytest.raises(InputError, match="is the map itself"):
            fctl.evaluate(itself, same, progress=False)
    against = fctl.evaluate(segmented, with_corrections, progress=False)
    assert against.accuracy == pytest.approx((segmented.read() == with_corrections.read()).mean())
    for corrections in (painted, fctl.open(painted)):  # they are no part of what is compared with them
        found = fctl.evaluate(with_corrections, corrections, progress=False)
        assert found.accuracy == (segmented.read((0, 0, 30, 40)) == 2).mean()
        assert found.notes[0] == "without corrections, because they are the ground truth"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (np.zeros((3, 4), np.uint8), "is 3 x 4 px"),
        (np.zeros((128, 320), np.float32), "class indices"),
        (np.zeros((128, 320, 3), np.uint8), "class indices"),
        (np.full((128, 320), -1), "values from -1"),
        (np.full((128, 320), 300), "to 300"),
        (np.full((128, 320), 77, np.uint8), "class index 77"),
    ],
)
def test_other_arrays_are_no_ground_truths(segmented: fctl.Map, wrong: np.ndarray, sentence: str) -> None:
    with pytest.raises(FctlError, match=sentence):
        fctl.evaluate(segmented, wrong, progress=False)


def test_numpy_is_told_that_a_copy_is_made(image: fctl.Image, segmented: fctl.Map) -> None:
    for source in (image, segmented):
        with pytest.raises(ValueError, match="without a copy"):
            np.array(source, copy=False)
        assert np.array_equal(np.array(source, copy=True), source.read())
        assert np.asarray(source, dtype=np.int32).dtype == np.int32


def test_what_cannot_be_painted_is_one_sentence(segmented: fctl.Map, tmp_path: Path) -> None:
    block = np.ones((2, 3), np.uint8)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"block": np.ones((2, 3, 3), np.uint8)}, "a block of corrections is uint8 [y, x], not uint8 of shape"),
        ({"block": [[1, 1]]}, "a block of corrections is uint8 [y, x], not list"),
        ({"y0": [0]}, "([0], 0) is no (y0, x0) of a block"),
        ({"x0": "0"}, "(0, '0') is no (y0, x0) of a block"),
        ({"y0": 0.5}, "(0.5, 0) is no (y0, x0) of a block"),
        ({"author": 3}, "author cannot be 3"),
        ({"author": None}, "author cannot be None"),
        ({"kind": 3}, "kind cannot be 3"),
        ({"mask": "x"}, "the mask is of shape ()"),
        ({"mask": [[True, True], [True]]}, "the mask is of shape (0,)"),
        ({"mask": np.ones((2, 3, 3), bool)}, "the mask is of shape (2, 3, 3)"),
        ({"together": 7}, "together cannot be 7"),
    ]
    with fctl.corrections(segmented, tmp_path / "c.ome.zarr") as painted:
        for arguments, sentence in wrong:
            with pytest.raises(InputError, match=re.escape(sentence)):
                painted.write(**{"y0": 0, "x0": 0, "block": block, "author": "ann", **arguments})
        assert painted.blank
        assert painted.authors == ()
        stroke = painted.write(3.0, np.int64(4), block, author="ann")  # type: ignore[arg-type]
        assert stroke is not None
        assert stroke.window == (3, 4, 5, 7)
        for window in ((-1, 0, 2, 2), (0, 0, 2, 999), (2, 2, 2, 2), (3,)):
            with pytest.raises(InputError, match=re.escape("give (y0, x0, y1, x1)")):
                painted.read_authors(window)  # type: ignore[arg-type]
        for level in (9, -1):
            with pytest.raises(InputError, match=f"has no level {level}"):
                painted.read((0, 0, 2, 2), level)


def test_missing_folders_of_an_export_are_made_as_by_the_command(
    segmented: fctl.Map, tmp_path: Path, command: Fctl
) -> None:
    for name in ("land.tif", "land.png", "land.geojson", "land.gpkg", "land.coco.json", "land.ome.zarr"):
        assert fctl.export(segmented, tmp_path / "ours" / name / name, progress=False).exists()
        assert command("export", segmented.path, tmp_path / "theirs" / name / name).code == 0
        assert (tmp_path / "theirs" / name / name).exists()


@pytest.mark.parametrize("window", [(1, 2, 3), (9, 9, 3, 3), (0.0, 0.0, 9.5, 9.0), "abcd"], ids=str)
def test_corrections_are_read_by_windows_too(painted: Path, window: Any) -> None:
    corrections = fctl.open(painted)
    assert isinstance(corrections, Corrections)
    with pytest.raises(FctlError, match=r"give \(y0, x0, y1, x1\)"):
        corrections.read(window)
    assert (corrections.read(np.array([0, 0, 30, 40])) == 3).all()  # type: ignore[arg-type]
