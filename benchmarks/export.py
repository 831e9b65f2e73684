"""Seconds and peak memory of exports of a large segmentation.

    python benchmarks/export.py --side 20000 --kinds tif gpkg

The segmentation is synthetic: five classes in wavy patches of some tens to hundreds of px with a little noise along
their borders, and a part that was not computed; it is stored like any other. Every export has a process of its own,
whose peak the system reports (Linux: ``VmHWM``; its first line measures the imports alone).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SUFFIXES = ["tif", "gpkg", "geojson", "coco.json", "png", "ome.zarr"]


def labels(y0: int, x0: int, y1: int, x1: int) -> np.ndarray:
    """Compute the labels of a window, uint8 [y, x]: 0 = not computed, k + 1 = class k."""
    y = np.arange(y0, y1, dtype=np.float32)[:, None]
    x = np.arange(x0, x1, dtype=np.float32)[None, :]
    relief = np.sin(x / 41 + 3 * np.sin(y / 173)) + np.sin(y / 67 + 2 * np.sin(x / 131)) + np.sin((x + y) / 331)
    noise = np.random.default_rng(y0 * 100_003 + x0).normal(0, 0.02, relief.shape).astype(np.float32)
    classes = np.digitize(relief + noise, [-1.2, -0.3, 0.5, 1.4]).astype(np.uint8) + np.uint8(1)
    classes[(y > 15000)[:, 0]] *= (x < 18000)[0]
    return classes


def make(path: Path, side: int) -> None:
    """Store the segmentation, with a georeference."""
    from fctl_napari.imagery.georeference import Georeference
    from fctl_napari.imagery.level import Level
    from fctl_napari.imagery.pyramid import Pyramid
    from fctl_napari.model.classes import ClassInfo, ClassTable
    from fctl_napari.model.model_card import Card
    from fctl_napari.model.presets import preset
    from fctl_napari.segmentation.store.store import Segmentation
    from fctl_napari.segmentation.tiling.grid import TileGrid

    location = Georeference("EPSG:32632", (0.5, 0.0, 600000.0, 0.0, -0.5, 5200000.0))
    blank = np.broadcast_to(np.uint8(0), (side, side, 3))
    table = ClassTable(classes=tuple(ClassInfo(name=f"class {k}", color=(50 * k, 99, 0)) for k in range(5)))
    store = Segmentation.create(
        path,
        image=Pyramid("pattern", [Level(blank)], georeference=location),
        grid=TileGrid((side, side), 512, 0),
        card=Card(name="pattern", config=preset("fctl_lite", classes=5), classes=table),
        checkpoint_hash="0" * 64,
        settings={},
    )
    for row in range(store.grid.rows):
        cells = [(row, column) for column in range(store.grid.cols)]
        for cell in cells:
            block = labels(*store.grid.core(cell))
            store.write_cell(cell, block, np.uint8(200) * (block > 0))
        store.finish(cells)


def peak_megabytes() -> float:
    """Return the peak resident memory of this process so far, MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def measure(store: str, out: str, simplify: float | None) -> dict[str, float]:
    """Export in this process."""
    import pyogrio  # noqa: F401
    import rasterio.features
    import rasterio.warp  # noqa: F401
    import shapely  # noqa: F401

    from fctl_napari.exporting.export import export
    from fctl_napari.segmentation.store.store import Segmentation

    segmentation = Segmentation.open(store)
    imports = peak_megabytes()
    begun = time.monotonic()
    export(segmentation, out, simplify=simplify)
    return {"seconds": time.monotonic() - begun, "peak": peak_megabytes(), "imports": imports}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=20000)
    parser.add_argument("--kinds", nargs="+", choices=SUFFIXES, default=["tif", "gpkg"])
    parser.add_argument("--simplify", type=float, help="Also simplified by this many px (gpkg, geojson).")
    parser.add_argument("--store", type=Path, help="Make the segmentation here, or use the one that is here.")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(*options.one, options.simplify)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = options.store or folder / "pattern.fctl.ome.zarr"
        if not store.exists():
            make(store, options.side)
        runs = [(kind, None) for kind in options.kinds]
        if options.simplify:
            runs += [(kind, options.simplify) for kind in options.kinds if kind in ("gpkg", "geojson")]
        print(f"load before: {os.getloadavg()[0]:.1f}")
        print(f"{'kind':>10} {'simplify, px':>13} {'time, s':>8} {'peak, MB':>9} {'imports, MB':>12} {'file, MB':>9}")
        for kind, simplify in runs:
            out = folder / f"out.{kind}"
            command = [sys.executable, __file__, "--one", str(store), str(out)]
            command += [] if simplify is None else ["--simplify", str(simplify)]
            found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            files = [out] if out.is_file() else [file for file in out.rglob("*") if file.is_file()]
            size = sum(file.stat().st_size for file in files) / 1e6
            print(
                f"{kind:>10} {simplify or '-':>13} {found['seconds']:>8.0f} {found['peak']:>9.0f} "
                f"{found['imports']:>12.0f} {size:>9.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
