"""An image and its conversions are one image, until the file is changed; what older versions stored is recognised."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.formats import open_image
from fctl_napari.imagery.origin import fingerprint
from fctl_napari.imagery.pyramid import Pyramid, pyramid_from_array
from fctl_napari.segmentation.identity import image_fingerprint, same_image

PIXELS = np.random.default_rng(0).integers(0, 256, (90, 1100, 3), np.uint8)


def stored(image: Pyramid, *, old: bool = False) -> dict[str, Any]:
    """What a store says of its image; ``old``: as versions did that took a conversion for another image."""
    return {"path": image.path, "fingerprint": fingerprint(image) if old else image_fingerprint(image)}


def forget(pyramid: Path) -> None:
    """Make a conversion look like one of a version that did not write the image's fingerprint down."""
    group = zarr.open_group(pyramid, mode="r+")
    ours = dict(group.attrs["fctl"])
    assert len(ours.pop("source_fingerprint")) == 32
    group.update_attributes({"fctl": ours})


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
    assert len({image_fingerprint(image) for image in images}) == 1


def test_together_in_another_place_they_stay_one(file: Path, tmp_path: Path) -> None:
    convert(open_image(file), file.with_name("photo.ome.zarr"))
    shutil.copytree(tmp_path, tmp_path / "copy")
    file.unlink()
    assert same_image(stored(open_image(tmp_path / "copy/photo.ome.zarr")), open_image(tmp_path / f"copy/{file.name}"))


@pytest.mark.parametrize("old", [False, True])
def test_a_file_that_was_changed_since_is_another_image(file: Path, old: bool) -> None:
    before = stored(open_image(file))
    pyramid = convert(open_image(file), file.with_name("photo.ome.zarr"))
    if old:
        forget(pyramid)
    result = stored(open_image(pyramid), old=old)
    assert same_image(result, open_image(file))
    file.write_bytes(file.read_bytes() + b"\0")
    assert not same_image(before, open_image(file))
    for one in (result, before):
        assert not same_image(one, open_image(file))
    assert not same_image(stored(open_image(pyramid)), open_image(file))
    assert not same_image(stored(open_image(file)), open_image(pyramid))


def test_a_change_that_the_fingerprint_does_not_see_parts_them_too(tmp_path: Path) -> None:
    file = tmp_path / "photo.tif"
    pixels = PIXELS.repeat(3, 0)
    tifffile.imwrite(file, pixels, rowsperstrip=1)
    pyramid = convert(open_image(file), tmp_path / "photo.ome.zarr")
    pixels[150, 600] ^= 1  # far from both ends of the file
    tifffile.imwrite(file, pixels, rowsperstrip=1)
    os.utime(file, (2e9, 2e9))
    assert not same_image(stored(open_image(file)), open_image(pyramid))
    assert not same_image(stored(open_image(pyramid)), open_image(file))


def test_what_older_versions_stored_is_recognised(file: Path) -> None:
    pyramid = convert(open_image(file), file.with_name("photo.ome.zarr"))
    of_pyramid, of_file = stored(open_image(pyramid), old=True), stored(open_image(file), old=True)
    assert of_pyramid["fingerprint"] != of_file["fingerprint"]
    for written_down in (True, False):
        if not written_down:
            forget(pyramid)
        for one in (of_pyramid, of_file):
            assert same_image(one, open_image(pyramid))
            assert same_image(one, open_image(file))
            assert same_image(one, stored(open_image(pyramid)))
        assert same_image(of_pyramid, of_file)
        assert same_image(of_file, of_pyramid)
    shutil.rmtree(pyramid)  # nothing tells any more what the fingerprint was of
    assert not same_image(of_pyramid, open_image(file))


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
    unknown = {"path": None, "fingerprint": None}
    assert same_image(unknown, unknown)
    assert not same_image(unknown, images[0][0])
    assert not same_image(stored(images[0][0]), unknown)
    array = pyramid_from_array(PIXELS)
    assert same_image(stored(array), array)
