"""An image is known by its pixels: not by its name, place, format, compression, overviews or georeference."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
import zarr
from helpers_progress import stop_after
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rasterio.enums import Resampling
from rasterio.transform import from_origin

from fctl_napari.exceptions import Cancelled, InputError
from fctl_napari.imagery import fingerprint as fingerprints
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.fingerprint import fingerprint, whole_fingerprint
from fctl_napari.imagery.level import Level
from fctl_napari.imagery.old_fingerprint import old_fingerprint, old_fingerprints
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.segmentation.store.identity import (
    contradict,
    difference,
    image_facts,
    open_image_of,
    refreshed,
    same_image,
)

PIXELS = np.random.default_rng(0).integers(0, 256, (90, 1100, 3), np.uint8)
LARGE = np.random.default_rng(1).integers(0, 256, (1500, 1700, 3), np.uint8)
"""More than is sampled whole."""

GEOTIFF: dict[str, Any] = {
    "driver": "GTiff",
    "count": 3,
    "dtype": "uint8",
    "crs": "EPSG:32640",
    "transform": from_origin(320000, 2790000, 0.5, 0.5),
}


def stored(image: Pyramid, *, old: bool = False) -> dict[str, Any]:
    """What a store says of its image; ``old``: as versions before 0.2 did."""
    facts = image_facts(image)
    return facts | {"fingerprint": old_fingerprints(image)[0]} if old else facts


def forget(pyramid: Path) -> None:
    """Make a conversion look like one of a version that did not write the image's fingerprint down."""
    group = zarr.open_group(pyramid, mode="r+")
    ours = dict(group.attrs["fctl"])
    assert len(ours.pop("source_fingerprint")) == 32
    group.update_attributes({"fctl": ours})


def write_geotiff(path: Path, pixels: np.ndarray = LARGE, **options: Any) -> Path:
    height, width = pixels.shape[:2]
    with rasterio.open(path, "w", **{**GEOTIFF, "width": width, "height": height, **options}) as file:
        file.write(pixels.transpose(2, 0, 1))
    return path


@pytest.fixture(params=[".png", ".jpg", ".tif"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file that the window gives a pyramid to; rows of the TIFF are strips."""
    path = tmp_path / f"photo{request.param}"
    if request.param == ".tif":
        tifffile.imwrite(path, PIXELS, rowsperstrip=1)
    else:
        Image.fromarray(PIXELS).save(path)
    return path


def test_a_file_and_its_conversions_are_one_image(file: Path) -> None:
    first = convert(open_image(file), file.with_name("first.ome.zarr"))
    second = convert(open_image(first), file.with_name("second.ome.zarr"))
    images = [open_image(path) for path in (file, first, second)]
    for one in images:
        for other in images:
            assert same_image(stored(one), other)
            assert same_image(stored(one), stored(other))


def test_together_in_another_place_they_stay_one(file: Path, tmp_path: Path) -> None:
    convert(open_image(file), file.with_name("photo.ome.zarr"))
    shutil.copytree(tmp_path, tmp_path / "copy")
    file.unlink()
    assert same_image(stored(open_image(tmp_path / "copy/photo.ome.zarr")), open_image(tmp_path / f"copy/{file.name}"))


def add_overviews(path: Path) -> None:
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4], Resampling.average)


def mend_crs(path: Path) -> None:
    with rasterio.open(path, "r+") as file:
        file.crs = "EPSG:32639"
        file.update_tags(TIFFTAG_SOFTWARE="another", AREA_OR_POINT="Area")


@pytest.mark.parametrize("pixels", [PIXELS, LARGE], ids=["sampled whole", "sampled in blocks"])
@pytest.mark.parametrize("change", [add_overviews, mend_crs])
def test_edits_of_overviews_and_georeference_keep_it(
    change: Callable[[Path], None], pixels: np.ndarray, tmp_path: Path
) -> None:
    path = write_geotiff(tmp_path / "scene.tif", pixels, tiled=True, blockxsize=256, blockysize=256)
    before = stored(open_image(path))
    change(path)
    assert same_image(before, open_image(path))


@pytest.mark.parametrize(
    "options",
    [
        {"compress": "deflate"},
        {"compress": "deflate", "predictor": 2, "tiled": True, "blockxsize": 128, "blockysize": 128},
        {"compress": "lzw", "interleave": "band"},
        {"compress": "zstd", "blockysize": 7},
        {"BIGTIFF": "YES", "ENDIANNESS": "BIG"},
        {"driver": "COG", "compress": "deflate"},
        {"crs": None, "transform": None},
    ],
    ids=str,
)
@pytest.mark.parametrize("pixels", [PIXELS, LARGE], ids=["sampled whole", "sampled in blocks"])
def test_another_compression_or_layout_keeps_it(options: dict[str, Any], pixels: np.ndarray, tmp_path: Path) -> None:
    known = stored(pyramid_from_array(pixels))
    write_geotiff(tmp_path / "again.tif", pixels, **options)
    assert same_image(known, open_image(tmp_path / "again.tif"))


def test_sixteen_bits_in_another_byte_order_keep_it(tmp_path: Path) -> None:
    pixels = LARGE.astype(np.uint16) * 17
    for order in "<>":
        tifffile.imwrite(tmp_path / f"{ord(order)}.tif", pixels, byteorder=order, photometric="rgb", tile=(256, 256))
    one, other = (open_image(path) for path in sorted(tmp_path.glob("*.tif")))
    assert same_image(stored(one), other)
    assert whole_fingerprint(one) == whole_fingerprint(other)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 400),
    st.integers(1, 500),
    st.integers(1, 4),
    st.sampled_from(["u1", "<u2", ">i4", "<f4"]),
    st.tuples(st.integers(1, 600), st.integers(1, 600)),
    st.integers(0, 2**32),
)
def test_chunks_and_byte_order_do_not_matter(
    height: int, width: int, channels: int, dtype: str, chunk: tuple[int, int], seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 200, (height, width, channels)).astype(dtype)
    chunked = zarr.create_array(
        zarr.storage.MemoryStore(),
        shape=pixels.shape,
        chunks=(min(chunk[0], height), min(chunk[1], width), channels),
        dtype=pixels.dtype.newbyteorder("="),
    )
    chunked[:] = pixels
    for whole_px in (0, fingerprints.WHOLE_PX):  # blocks even of small images, too
        plain, in_chunks = pyramid_from_array(pixels), Pyramid("chunked", [Level(chunked, "yxc")])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fingerprints, "WHOLE_PX", whole_px)
            patch.setattr(fingerprints, "STRIP_BYTES", 1)
            assert fingerprint(plain) == fingerprint(in_chunks)
            assert whole_fingerprint(plain) == whole_fingerprint(in_chunks)


def test_any_px_of_a_small_image_breaks_it(tmp_path: Path) -> None:
    known = stored(pyramid_from_array(PIXELS))
    for y, x in ((0, 0), (45, 600), (89, 1099)):
        changed = PIXELS.copy()
        changed[y, x, 1] ^= 1
        assert not same_image(known, pyramid_from_array(changed))


def test_any_px_of_the_sampled_blocks_breaks_it() -> None:
    known = fingerprint(pyramid_from_array(LARGE))
    for number in range(fingerprints.BLOCKS):
        y0, x0, y1, x1 = fingerprints._block(number, LARGE.shape[:2])
        for y, x in ((y0, x0), (y1 - 1, x1 - 1)):
            changed = LARGE.copy()
            changed[y, x, 0] ^= 1
            assert fingerprint(pyramid_from_array(changed)) != known


def test_the_whole_is_compared_on_demand() -> None:
    image = pyramid_from_array(LARGE)
    sampled = np.zeros(LARGE.shape[:2], bool)
    for number in range(fingerprints.BLOCKS):
        y0, x0, y1, x1 = fingerprints._block(number, LARGE.shape[:2])
        sampled[y0:y1, x0:x1] = True
    y, x = np.argwhere(~sampled)[len(LARGE) // 2]
    retouched = LARGE.copy()
    retouched[y, x] ^= 1
    other = pyramid_from_array(retouched)
    assert fingerprint(image) == fingerprint(other)
    assert whole_fingerprint(image) != whole_fingerprint(other)
    rows: list[int] = []
    assert whole_fingerprint(image, progress=lambda done, _: rows.append(done)) == whole_fingerprint(image)
    assert rows[-1] == len(LARGE)
    with pytest.raises(Cancelled):
        whole_fingerprint(image, progress=stop_after(0))


@pytest.mark.parametrize("side", [100, 300])
def test_pictures_that_are_mostly_empty_are_distinguished(side: int) -> None:
    """Slides of one scanner: of one size, and white but for some tissue."""
    rng = np.random.default_rng(side)
    slides = []
    for location in (200, 3100):
        slide = np.full((4000, 4000, 3), 255, np.uint8)
        for y in range(location, 3900 - side, 700):
            for x in range(location, 3900 - side, 700):
                slide[y : y + side, x : x + side] = rng.integers(0, 255, (side, side, 3))
        slides.append(slide)
    assert fingerprint(pyramid_from_array(slides[0])) != fingerprint(pyramid_from_array(slides[1]))


def test_size_and_type_count() -> None:
    zeros = [np.zeros((50, 60, 3), np.uint8), np.zeros((60, 50, 3), np.uint8), np.zeros((50, 60, 3), np.uint16)]
    zeros += [np.zeros((50, 60, 4), np.uint8), np.zeros((50, 60), np.uint8), np.zeros((50, 60, 3), np.int8)]
    assert len({fingerprint(pyramid_from_array(pixels)) for pixels in zeros}) == len(zeros)


def test_a_tall_strip_is_read_once(tmp_path: Path) -> None:
    reads: list[object] = []

    class Counted:
        shape, dtype, chunks = LARGE.shape, LARGE.dtype, LARGE.shape

        def __getitem__(self, key: object) -> np.ndarray:
            reads.append(key)
            return LARGE[key]  # type: ignore[index]

    assert fingerprint(Pyramid("one strip", [Level(Counted(), "yxc")])) == fingerprint(pyramid_from_array(LARGE))
    assert len(reads) == 1


def test_a_file_that_was_changed_since_is_another_image(file: Path) -> None:
    pyramid = convert(open_image(file), file.with_name("photo.ome.zarr"))
    before, result = stored(open_image(file)), stored(open_image(pyramid))
    if file.suffix == ".tif":
        tifffile.imwrite(file, PIXELS[::-1], rowsperstrip=1)
    else:
        Image.fromarray(PIXELS[::-1]).save(file)
    for one in (before, result):
        assert not same_image(one, open_image(file))
        assert same_image(one, open_image(pyramid))  # it holds the earlier pixels still
    assert not same_image(stored(open_image(file)), open_image(pyramid))


def test_what_older_versions_stored_is_recognised(file: Path) -> None:
    pyramid = convert(open_image(file), file.with_name("photo.ome.zarr"))
    of_pyramid = stored(open_image(pyramid)) | {"fingerprint": old_fingerprint(open_image(pyramid))}
    of_file = stored(open_image(file), old=True)
    assert of_pyramid["fingerprint"] != of_file["fingerprint"]
    for written_down in (True, False):
        if not written_down:
            forget(pyramid)
        for one in (of_pyramid, of_file):
            assert same_image(one, open_image(pyramid))
            assert same_image(one, open_image(file))
            assert same_image(one, stored(open_image(pyramid)))
            assert same_image(stored(open_image(pyramid)), one)
        assert same_image(of_pyramid, of_file)
        assert same_image(of_file, of_pyramid)
    shutil.rmtree(pyramid)  # nothing tells any more what the fingerprint was of
    assert not same_image(of_pyramid, open_image(file))


def test_an_old_fingerprint_does_not_fit_a_changed_file(file: Path) -> None:
    before = stored(open_image(file), old=True)
    file.write_bytes(file.read_bytes() + b"\0")
    assert not same_image(before, open_image(file))
    assert "earlier version" in difference(before, (90, 1100), open_image(file))


def test_what_is_said_of_the_image_is_brought_up_to_date(tmp_path: Path) -> None:
    path = write_geotiff(tmp_path / "scene.tif", PIXELS)
    image = open_image(path)
    assert image.georeference is not None
    facts = {"image": stored(image), "georeference": asdict(image.georeference)}
    assert refreshed(facts, image) is None
    old = refreshed(facts | {"image": stored(image, old=True)}, image)
    assert old is not None
    assert old == facts

    mend_crs(path)
    mended = refreshed(facts, open_image(path))
    assert mended is not None
    assert mended["georeference"]["crs"] == "EPSG:32639"
    Image.fromarray(PIXELS).save(tmp_path / "scene.png")
    assert refreshed(facts, open_image(tmp_path / "scene.png")) is None  # knows nothing of places on Earth

    path.rename(tmp_path / "moved.tif")
    moved = refreshed(facts, open_image(tmp_path / "moved.tif"))
    assert moved is not None
    assert moved["image"]["path"] == str(tmp_path / "moved.tif")


def test_the_image_of_a_store_is_found_beside_it_or_refused(tmp_path: Path) -> None:
    path = write_geotiff(tmp_path / "scene.tif", PIXELS)
    facts = stored(open_image(path))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path.rename(elsewhere / "scene.tif")
    assert open_image_of(facts, elsewhere / "store.ome.zarr").path == str(elsewhere / "scene.tif")
    with pytest.raises(InputError, match="there is no"):
        open_image_of(facts, tmp_path / "store.ome.zarr")
    write_geotiff(path, PIXELS[::-1])
    with pytest.raises(InputError, match=r"scene\.tif: is not the image that .*store\.ome\.zarr is of"):
        open_image_of(facts, tmp_path / "store.ome.zarr")


def test_what_differs_is_said(tmp_path: Path) -> None:
    path = write_geotiff(tmp_path / "scene.tif", PIXELS)
    facts = stored(open_image(path))
    write_geotiff(path, PIXELS[::-1])
    assert difference(facts, (90, 1100), open_image(path)) == "scene.tif with other pixels than this file has now"
    write_geotiff(path, PIXELS[:, :900])
    assert "90 x 1100 px where this image has 90 x 900" in difference(facts, (90, 1100), open_image(path))


def test_other_images_stay_other_images(tmp_path: Path) -> None:
    images = []
    for name, pixels in (("a", PIXELS), ("b", PIXELS[::-1]), ("c", PIXELS[:, :-1])):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        image = open_image(tmp_path / f"{name}.png")
        images.append((image, open_image(convert(image, tmp_path / f"{name}.ome.zarr"))))
    for one in images:
        for other in images:
            for left in one:
                for right in other:
                    assert same_image(stored(left), right) == (one is other)
                    assert contradict(stored(left), stored(right)) == (one is not other)
    unknown = {"path": None, "fingerprint": None}
    assert same_image(unknown, unknown)
    assert not same_image(unknown, images[0][0])
    assert not same_image(stored(images[0][0]), unknown)
    assert not contradict(stored(images[0][0]), unknown)
    array = pyramid_from_array(PIXELS)
    assert same_image(stored(array), array)
