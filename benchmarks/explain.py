"""Seconds of ``Engine.explain`` from a click to its maps, on the sample scene, messages included.

    python benchmarks/explain.py [--checkpoint earth] [--device cpu] [--threads N] [--clicks 20]

A new tile is one that no click was in before; the large context of ``earth``, the whole image, is encoded for the first
click only. Options of the network (``gpe``, a context) that are left out cost another decoding.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.sample import write_sample
from fctl_napari.model.feature_ablation import WHOLE, Without
from fctl_napari.model.model_card import read_card, resolve_checkpoint
from fctl_napari.segmentation.jobs.engine import Engine
from fctl_napari.segmentation.jobs.explanation import ExplainRequest
from fctl_napari.segmentation.tiling.grid import TileGrid, default_overlap


def measure(engine: Engine, requests: Sequence[ExplainRequest]) -> tuple[list[float], list[float], str]:
    """Explain pixels one after the other.

    Returned are the seconds that the caller waits, the seconds in the worker, and the worker's device.
    """
    seen, inside = [], []
    where = ""
    for request in requests:
        begun = time.perf_counter()
        state_changed = engine.explain(request).result()
        seen.append(time.perf_counter() - begun)
        inside.append(state_changed.seconds)
        where = state_changed.where
    return seen, inside, where


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="earth")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--clicks", type=int, default=20)
    options = parser.parse_args()
    config = read_card(resolve_checkpoint(options.checkpoint)).config
    without = Without(gpe=config.gpe and config.lcf and bool(config.contexts))
    with tempfile.TemporaryDirectory() as folder, Engine(threads=options.threads) as engine:
        image = write_sample(Path(folder) / "earth.ome.zarr")
        grid = TileGrid(open_image(image).shape, config.tile_size, default_overlap(config.tile_size))
        cores = [grid.core((r, c)) for r in range(grid.rows) for c in range(grid.cols)]
        chosen = np.random.default_rng(0).permutation(len(cores))[: 2 * options.clicks + 3]
        middles = [((y0 + y1) / 2, (x0 + x1) / 2) for y0, x0, y1, x1 in (cores[i] for i in chosen)]
        first, *warm = middles[:3]
        new, compared = middles[3 : 3 + options.clicks], middles[3 + options.clicks :]

        def ask(pixel: tuple[float, float], without: Without = WHOLE) -> ExplainRequest:
            return ExplainRequest(str(image), options.checkpoint, pixel, device=options.device, without=without)

        table = [("the very first (the worker starts, the network is loaded)", measure(engine, [ask(first)]))]
        measure(engine, [ask(pixel) for pixel in warm])
        table.append(("a new tile", measure(engine, [ask(pixel) for pixel in new])))
        dragged = [ask((new[-1][0] + i / 2, new[-1][1] - i / 2)) for i in range(options.clicks)]
        table.append(("another pixel of the same tile", measure(engine, dragged)))
        if without:
            table.append(("a new tile, with and without GPE", measure(engine, [ask(p, without) for p in compared])))
    load = os.getloadavg()[0]
    print(f"{options.checkpoint}, {table[0][1][2]}, load {load:.1f}, {options.clicks} clicks each\n")
    print("| click | median s | longest s | median in the worker s |\n|---|---|---|---|")
    for name, (seen, inside, _) in table:
        print(f"| {name} | {np.median(seen):.3f} | {max(seen):.3f} | {np.median(inside):.3f} |")


if __name__ == "__main__":
    main()
