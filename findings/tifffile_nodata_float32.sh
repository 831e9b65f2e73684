#!/usr/bin/env bash
# tifffile fills the missing tiles of a float32 GeoTIFF with 0 where its nodata value is the lowest float32.
#
# Setting: a sparse GeoTIFF of float32, as GDAL writes it with SPARSE_OK: tiles without data are not stored. Its nodata
#   value is -3.4028234663852886e+38, the lowest float32, which many programs use by default.
# Expected: missing tiles read as the nodata value, as GDAL reads them, and as tifffile reads them for -9999.
# Seen: tifffile reads 0.0, a valid number; its page.nodata is 0. It logs that the value is not castable to float32,
#   although numpy casts it exactly. The highest float32 is treated alike.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check \
    rasterio==1.4.4 tifffile==2026.3.3 imagecodecs==2026.3.6 numpy==2.4.6
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
import rasterio
import tifffile

print("rasterio", rasterio.__version__, "with GDAL", rasterio.__gdal_version__)
print("tifffile", tifffile.__version__, "numpy", np.__version__)


def read_missing(nodata):
    """Write two tiles, the second of which is missing; read a pixel of it with GDAL and with tifffile."""
    profile = dict(driver="GTiff", width=512, height=256, count=1, dtype="float32", nodata=nodata, tiled=True)
    with rasterio.open("sparse.tif", "w", blockxsize=256, blockysize=256, sparse_ok=True, **profile) as file:
        file.write(np.ones((1, 256, 256), np.float32), window=((0, 256), (0, 256)))
    with rasterio.open("sparse.tif") as file:
        gdal = file.read(1)[0, 400]
    with tifffile.TiffFile("sparse.tif") as file:
        other, known = file.asarray()[0, 400], file.pages[0].nodata
    print(f"nodata {nodata}: missing px by GDAL {gdal}, by tifffile {other} (page.nodata {known})")
    return gdal, other


lowest = float(np.finfo(np.float32).min)
assert float(np.float32(lowest)) == lowest, "numpy does not cast it exactly"
assert read_missing(-9999.0) == (-9999, -9999)
for nodata in (lowest, -lowest):
    gdal, other = read_missing(nodata)
    assert gdal == np.float32(nodata), "GDAL does not read what it wrote"
    assert other == 0, "changed: missing tiles are no longer read as 0"
PYTHON
