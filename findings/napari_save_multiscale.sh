#!/usr/bin/env bash
# A multiscale layer of napari cannot be saved: a TypeError about `__array__`, and a file that is no image stays behind.
#
# Setting: napari without a window, an Image and a Labels layer of two levels each, `napari.save_layers` with a path that
#   ends in .tif, as "File > Save Selected Layers" does.
# Expected: the finest level is saved, as it is for a layer of one level, or a sentence says that this is not possible.
# Seen: `TypeError: MultiScaleData.__array__() takes 1 positional argument but 2 were given`: NumPy hands a dtype to
#   `__array__`, which takes none. For the image the file is there all the same, without an image in it, and would have
#   replaced a good one.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check napari==0.9.2 numpy==2.4.6 tifffile==2026.3.3
cd "$folder"
cat >save.py <<'PYTHON'
from pathlib import Path

import napari
import numpy as np
import tifffile
from napari.layers import Image, Labels
from napari.plugins import _initialize_plugins

_initialize_plugins()
pixels = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
(saved,) = napari.save_layers("single.tif", [Image(pixels)])
assert np.array_equal(tifffile.imread(saved), pixels)
print("one level: saved as it is")
for kind in (Image, Labels):
    path = Path(f"{kind.__name__}.tif")
    path.write_bytes(Path(saved).read_bytes())  # an earlier, good file
    try:
        napari.save_layers(str(path), [kind([pixels, pixels[::2, ::2]], multiscale=True)])
    except TypeError as error:
        print(f"{kind.__name__} of two levels: {error}")
    else:
        raise SystemExit("changed: a multiscale layer is saved")
    with tifffile.TiffFile(path) as file:
        pages = len(file.pages)
    print(f"  what is at its path now: {path.stat().st_size} bytes, {pages} page(s)")
    assert pages == (0 if kind is Image else 1), "changed"
PYTHON
"$folder/venv/bin/python" -m pip list --disable-pip-version-check 2>/dev/null | grep -iE "^(napari|numpy|tifffile|npe2) "
venv/bin/python save.py
