#!/usr/bin/env bash
# Three readers, three answers for a grey PNG of 2 or 4 bits, and matplotlib's is not even in its own range.
#
# Setting: a mask of four classes as a grey PNG of 2 bits, as GDAL (NBITS=2) and many PNG optimisers write it. Samples
#   are 0, 1, 2, 3; the PNG specification calls 3 white.
# Expected: the samples (0 to 3), or their shades scaled to the reader's range. matplotlib states for imread that PNG
#   images are floats from 0 to 1.
# Seen: GDAL gives the samples, 0 to 3. Pillow gives shades, 0 to 255 by 85 (it has no way to ask for the samples).
#   matplotlib gives 0 to 85: it divides Pillow's shades, which are scaled to 8 bits, by the largest value of 2 bits.
#   At 4 bits it is 0 to 17. No error, no warning. One bit and eight bits are right.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check \
    matplotlib==3.11.2 pillow==13.0.0 rasterio==1.4.4 numpy==2.4.6
cd "$folder"
export MPLCONFIGDIR="$folder"
venv/bin/python -W ignore - <<'PYTHON'
import struct
import zlib

import matplotlib
import matplotlib.image
import numpy as np
import PIL
import rasterio
from PIL import Image

print("matplotlib", matplotlib.__version__, "Pillow", PIL.__version__, "rasterio", rasterio.__version__,
      "with GDAL", rasterio.__gdal_version__)


def write_grey_png(path, samples, bits):
    """Write samples [y, x] as the PNG specification has it: each row packed, high bits first, filter 0."""
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    height, width = samples.shape
    places = np.arange(bits - 1, -1, -1)
    packed = np.packbits((samples[:, :, np.newaxis] >> places & 1).reshape(height, -1).astype(np.uint8), axis=1)
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows))
                   + chunk(b"IEND", b""))


seen = {}
for bits in (1, 2, 4, 8):
    write_grey_png("mask.png", np.arange(256).reshape(16, 16) % 2**bits, bits)
    with rasterio.open("mask.png") as file:
        gdal = float(file.read(1).max())
    pillow = float(np.asarray(Image.open("mask.png").convert("L")).max())
    seen[bits] = (gdal, pillow, float(matplotlib.image.imread("mask.png").max()))
    print(f"{bits} bits: largest value with GDAL {gdal:g}, Pillow {pillow:g}, matplotlib {seen[bits][2]:g}")

assert seen[1][2] == seen[8][2] == 1, "matplotlib reads 1 or 8 bits wrong as well"
assert seen[2] == (3, 255, 85), "changed: 2 bits"
assert seen[4] == (15, 255, 17), "changed: 4 bits"
PYTHON
