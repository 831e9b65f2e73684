"""Images that are opened when they are read are the images."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from PIL import Image

from fctl_napari.datasets.image_cache import Shelf
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.formats.png_jpeg import raster_header, read_raster
from fctl_napari.imagery.open import open_image

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (1100, 1300, 3)).astype(np.uint8)


def write(folder):
    Image.fromarray(PIXELS).save(folder / "a.jpg")
    tifffile.imwrite(folder / "strips.tif", PIXELS, photometric="rgb")
    tifffile.imwrite(folder / "tiles.tif", PIXELS, photometric="rgb", tile=(256, 256), compression="deflate")
    convert(pyramid_from_array(PIXELS), folder / "z.ome.zarr", chunk=256)
    return [folder / name for name in ("a.jpg", "strips.tif", "tiles.tif", "z.ome.zarr")]


def test_reads_are_those_of_the_opened_image(tmp_path):
    shelf = Shelf()
    for path in write(tmp_path):
        shown, opened = shelf.image(path), open_image(path)
        assert [level.shape for level in shown.levels] == [level.shape for level in opened.levels]
        assert [level.stored_in_chunks for level in shown.levels] == [x.stored_in_chunks for x in opened.levels]
        assert (shown.factors, shown.native_levels, shown.dtype) == (opened.factors, opened.native_levels, opened.dtype)
        for window in ((10.0, 20.0, 300.0, 310.0), (-40.5, 3.0, 1159.5, 1203.0)):
            np.testing.assert_array_equal(shown.read_resized(window, 100), opened.read_resized(window, 100))


def test_several_threads_may_read_more_than_is_kept(tmp_path):
    paths = write(tmp_path)
    shelf = Shelf(PIXELS.nbytes)
    images = [shelf.image(path) for path in paths]
    spots = [(k % 4, int(y), int(x)) for k, (y, x) in enumerate(RNG.integers(0, 1000, (60, 2)))]

    def read(spot):
        index, y, x = spot
        return images[index].read((y, x, y + 50, x + 60))

    with ThreadPoolExecutor(6) as pool:
        for (index, y, x), found in zip(spots, pool.map(read, spots), strict=True):
            np.testing.assert_array_equal(found, open_image(paths[index]).read((y, x, y + 50, x + 60)))
    assert shelf.held <= PIXELS.nbytes


@pytest.mark.parametrize("mode", ["L", "LA", "1", "P", "RGB", "RGBA", "I;16", "CMYK"])
def test_a_header_says_what_will_be_read(tmp_path, mode):
    array = PIXELS[:7, :9]
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    image = Image.fromarray(array[..., 0].astype(np.uint16)) if mode == "I;16" else Image.fromarray(array).convert(mode)
    image.save(path)
    shape, dtype, transparency = raster_header(path)
    read, alpha = read_raster(path)
    assert (shape, dtype, transparency) == (read.shape, read.dtype, alpha is not None)


def test_what_is_damaged_is_found_when_it_is_read(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(PIXELS).save(path)
    path.write_bytes(path.read_bytes()[:5000])
    image = Shelf().image(path)
    with pytest.raises(InputError, match="truncated or damaged"):
        image.read((0, 0, 10, 10))
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="is not an image"):
        Shelf().image(path)
