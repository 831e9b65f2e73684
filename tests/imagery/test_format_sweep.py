"""Formats crossed with marks of px without data, overviews and places: all is as rasterio and openslide read it.

By day each format has each third mark, nightly each. Hypothesis draws types, sizes, overviews and places as well.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from helpers_slides import write_mirax, write_svs, write_vms
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.open import open_image

rasterio = pytest.importorskip("rasterio")
from helpers_formats import FORMATS, MARKS, PLACES, Case, differences, write  # noqa: E402
from rasterio._err import CPLE_BaseError  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


UNWRITABLE = (rasterio.errors.RasterioError, CPLE_BaseError, SystemError, TypeError)
"""Errors of rasterio where a format does not hold bands of a type and number."""

FLOATING = ("more digits than px", "NaN", "NaN px", "infinite px")


def compare(folder: Path, case: Case) -> list[str] | None:
    """Write a case and compare it. None where GDAL cannot write it."""
    if not case.possible or FORMATS[case.form].driver not in drivers():
        return None
    try:
        path = write(folder, case)
        with rasterio.open(path) as file:
            inner = file.subdatasets if file.count == 0 else []
    except UNWRITABLE:
        return None
    image = open_image(path)
    return differences(image, inner[0] if inner else path, case)


def drivers() -> dict[str, str]:
    with rasterio.Env() as env:
        return dict(env.drivers())


@pytest.mark.parametrize(
    "third", [0, pytest.param(1, marks=pytest.mark.nightly), pytest.param(2, marks=pytest.mark.nightly)]
)
@pytest.mark.parametrize("mark", MARKS)
def test_each_format_with_each_mark(tmp_path: Path, mark: str, third: int) -> None:
    found = {}
    for number, (name, form) in enumerate(FORMATS.items()):
        case = Case(
            name,
            mark,
            "float32" if mark in FLOATING and "float32" in form.dtypes else form.dtypes[number % len(form.dtypes)],
            bands=(3, 1)[number % 2] if mark == "alpha" else (3, 1, 4)[number // 3 % 3],
            overviews=("none", "inside", "beside")[number // 2 % 3] if form.driver == "GTiff" else "none",
            place=PLACES[number % len(PLACES)],
        )
        if (number + MARKS.index(mark)) % 3 == third and case.possible:
            (tmp_path / name).mkdir()
            found[case] = compare(tmp_path / name, case)
    assert {case: wrong for case, wrong in found.items() if wrong} == {}
    assert [] in found.values(), "GDAL wrote none"


@pytest.mark.parametrize("mark", MARKS)
def test_a_conversion_keeps_px_marks_names_and_place(tmp_path: Path, mark: str) -> None:
    for dtype in ("uint8", "float32"):
        case = Case("tiles", mark, dtype, bands=1 if mark == "alpha" else 4, place="turned")
        folder = tmp_path / dtype
        folder.mkdir()
        if not case.possible:
            continue
        image = open_image(write(folder, case))
        copy, window = open_image(convert(image, folder / "copy.ome.zarr")), (0, 0, *image.shape)
        assert np.array_equal(copy.read_native(window), image.read_native(window), equal_nan=True)
        assert np.array_equal(copy.read_valid(window), image.read_valid(window))
        assert copy.rgb_channels == image.rgb_channels
        assert copy.georeference == image.georeference
        assert image.band_names[:3] == copy.band_names[:3]


@pytest.mark.parametrize("name", ["plain.svs", "jpeg.svs", "lzw.svs", "slide.vms", "slide.mrxs"])
def test_each_level_of_a_slide(tmp_path: Path, name: str) -> None:
    openslide = pytest.importorskip("openslide")
    compression = Path(name).stem
    if name.endswith(".svs"):
        write_svs(tmp_path / name, **({} if compression == "plain" else {"compression": compression}))
    else:
        (write_vms if name.endswith(".vms") else write_mirax)(tmp_path)
    image, slide = open_image(tmp_path / name), openslide.OpenSlide(tmp_path / name)
    assert image.native_levels == slide.level_count
    for level, size in enumerate(slide.level_dimensions):
        right = np.asarray(slide.read_region((0, 0), level, size))
        window = (0, 0, *image.levels[level].shape[:2])
        assert right.shape[:2] == window[2:]
        valid = image.read_valid(window, level)
        assert np.array_equal(valid, right[..., 3] > 0)
        off = np.abs(image.read_native(window, level)[..., :3].astype(int) - right[..., :3])[valid]
        assert off.max() <= (3 if name == "jpeg.svs" else 0)  # decoders of JPEG differ by a rounding
    size = (float(slide.properties[f"openslide.mpp-{axis}"]) for axis in "yx")
    assert (image.pixel_size, image.unit) == (pytest.approx(tuple(size)), "micrometer")


def cases() -> st.SearchStrategy[Case]:
    """Any raster."""
    return st.sampled_from(sorted(FORMATS)).flatmap(
        lambda form: st.builds(
            Case,
            st.just(form),
            st.sampled_from(MARKS),
            st.sampled_from(FORMATS[form].dtypes),
            st.sampled_from((1, 3, 4)),
            st.tuples(st.integers(2, 70), st.integers(3, 70)),
            st.sampled_from(("none", "inside", "beside")),
            st.sampled_from(PLACES),
            st.integers(0, 9),
        )
    )


def check_any(case: Case) -> None:
    assume(case.possible)
    with tempfile.TemporaryDirectory() as folder:
        wrong = compare(Path(folder), case)
    assume(wrong is not None)
    assert wrong == []


@settings(max_examples=10, suppress_health_check=[HealthCheck.filter_too_much])
@given(cases())
def test_any_raster(case: Case) -> None:
    check_any(case)


@pytest.mark.nightly
@settings(max_examples=1000, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(cases())
def test_very_many_rasters(case: Case) -> None:
    check_any(case)
