#!/usr/bin/env bash
# rasterio: boundless=True gives other pixels than an ordinary read where the image is rotated.
#
# Setting: a GeoTIFF whose geotransform is rotated by 20 degrees (drone and aerial images are delivered so), and a window
#   that lies wholly inside of it, in pixels.
# Expected: read(window=w, boundless=True) equals read(window=w). The option only allows windows beyond the edge, and
#   windows count rows and columns, whatever the geotransform.
# Seen: without an error or a warning the boundless read gives pixels from elsewhere in the image, shifted and stretched.
#   Their place is computed from the corners and the pixel size along each axis, as if there were no rotation.
#   The same image with a geotransform without rotation is read right.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check rasterio==1.4.4 affine==2.4.0 numpy==2.4.6
cd "$folder"
venv/bin/python -W error::RuntimeWarning - <<'PYTHON'
import affine
import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window

print("rasterio", rasterio.__version__, "with GDAL", rasterio.__gdal_version__, "affine", affine.__version__)
image = (np.arange(100 * 100).reshape(100, 100) % 251 + 1).astype(np.uint8)
corner = Affine.translation(500_000, 5_000_000)
inside = Window(10, 20, 40, 50)  # column, row, width, height


def differing(transform):
    """Share of the pixels of a window inside the image that the two reads give otherwise."""
    profile = dict(driver="GTiff", width=100, height=100, count=1, dtype="uint8", crs="EPSG:32633")
    with rasterio.open("image.tif", "w", transform=transform, **profile) as file:
        file.write(image, 1)
    with rasterio.open("image.tif") as file:
        plain = file.read(1, window=inside)
        boundless = file.read(1, window=inside, boundless=True)
    assert np.array_equal(plain, image[20:70, 10:50]), "the ordinary read is wrong"
    return (plain != boundless).mean(), plain[0, :6].tolist(), boundless[0, :6].tolist()


upright, *_ = differing(corner * Affine.scale(2, -2))
rotated, plain, boundless = differing(corner * Affine.rotation(20) * Affine.scale(2, -2))
print(f"pixels that differ, north up: {upright:.0%}; rotated by 20 degrees: {rotated:.0%}")
print("first row, rotated: ordinary", plain, "boundless", boundless)
assert upright == 0
assert rotated > 0.9, "changed: boundless reads of a rotated image are right"
PYTHON
