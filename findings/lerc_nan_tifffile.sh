#!/usr/bin/env bash
# GDAL and tifffile disagree about a float32 GeoTIFF with LERC compression that contains NaN.
#
# Setting: a raster of elevations or reflectances with gaps (NaN), written by GDAL with COMPRESS=LERC. LERC has no NaN:
#   it keeps a mask of valid pixels. Where the gaps differ between bands, it keeps one mask for each band.
# Expected: whoever reads the file gets the pixels that were written, as GDAL does, or an error.
# Seen: tifffile reads without an error or a warning
#   1. 0.0 in place of NaN: a gap in the sea of a terrain model is sea level;
#   2. of three interleaved bands with a gap in one of them: bands and pixels mixed up, so that nearly every valid
#      pixel is wrong. imagecodecs decodes such a tile as (bands, y, x), and tifffile takes it for (y, x, bands).
#   The same file without NaN is read right.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check \
    rasterio==1.4.4 tifffile==2026.3.3 imagecodecs==2026.3.6 numpy==2.4.6
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import imagecodecs
import numpy as np
import rasterio
import tifffile

print("rasterio", rasterio.__version__, "with GDAL", rasterio.__gdal_version__)
print("tifffile", tifffile.__version__, "imagecodecs", imagecodecs.__version__, imagecodecs.lerc_version())

y, x = np.mgrid[:64, :64]
whole = np.stack([1 + x, 100 + y, 200 + x + y]).astype(np.float32)


def read_both(bands):
    """Write bands [c, y, x] with GDAL; read them with GDAL and with tifffile."""
    profile = dict(driver="GTiff", width=64, height=64, count=len(bands), dtype="float32", interleave="pixel")
    with rasterio.open("lerc.tif", "w", compress="lerc", tiled=True, blockxsize=64, blockysize=64, **profile) as file:
        file.write(bands)
    with rasterio.open("lerc.tif") as file:
        gdal = file.read()
    other = tifffile.imread("lerc.tif").reshape(64, 64, len(bands))
    return gdal, np.moveaxis(other, -1, 0)


def report(name, bands):
    gdal, other = read_both(bands)
    assert np.array_equal(gdal, bands, equal_nan=True), "GDAL does not read what it wrote"
    valid = ~np.isnan(bands)
    wrong = (other[valid] != bands[valid]).mean()
    print(f"{name}: NaN written {(~valid).sum()}, NaN read by GDAL {np.isnan(gdal).sum()}, by tifffile "
          f"{np.isnan(other).sum()}; valid pixels that tifffile reads otherwise: {wrong:.1%}")
    return other, wrong


other, wrong = report("three bands, no gap", whole)
assert wrong == 0

gap = whole[:1].copy()
gap[:, 10:20, 10:20] = np.nan
other, wrong = report("one band with a gap", gap)
assert wrong == 0
assert (other[np.isnan(gap)] == 0).all(), "changed: NaN is no longer read as 0"

gap = whole.copy()
gap[0, 10:20, 10:20] = np.nan
other, wrong = report("three bands, a gap in one", gap)
print("first pixels of each band, written:", gap[:, 0, :3].tolist(), "read by tifffile:", other[:, 0, :3].tolist())
assert wrong > 0.9, "changed: the bands are no longer mixed up"
PYTHON
