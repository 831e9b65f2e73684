"""Where the time of a tile goes on a CPU: milliseconds, FLOPs and bytes by part, against what the machine can do.

    python benchmarks/tile_budget.py [--checkpoint earth] [--precision bf16]

Each part runs alone on one thread, through OpenVINO. The floor is the time of all FLOPs at the rate of a product of
large bf16 matrices on one thread. The second table divides the passes of the network by kind of operation, as OpenVINO
measures them.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from laptop import run
from processes import writing
from throughput_rates import matrix_rate
from torch.utils.flop_counter import FlopCounterMode

from fctl_napari.evaluation.cost import random_inputs
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.sample import sample_files
from fctl_napari.model.build import make_network
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.model_card import checkpoint_hash, read_card, resolve_checkpoint
from fctl_napari.segmentation.inference.openvino_cache import kept_parts
from fctl_napari.segmentation.inference.openvino_network import HINTS, OpenVinoNetwork
from fctl_napari.segmentation.inference.openvino_parts import TILE
from fctl_napari.segmentation.inference.openvino_runtime import ov
from fctl_napari.segmentation.inference.tile_cutting import read_inputs
from fctl_napari.segmentation.inference.tile_prefetch import TileReader
from fctl_napari.segmentation.store.store import Segmentation

LEVEL_0 = "write, level 0"

KINDS = {"GroupConvolution": "depthwise convolution", "Subgraph": "fused operations on single values"}
"""Kinds of operations whose names of OpenVINO do not speak for themselves."""

TILES = 60
FLUSH = 40
"""Number of cells whose coarser levels are written together, about as many as a run on two cores finishes in 1 s."""


def milliseconds(call: Callable[[int], object]) -> float:
    """Return the median time of a call with the numbers of tiles, ms."""
    found = []
    for index in range(TILES):
        begun = time.perf_counter()
        call(index)
        found.append(1e3 * (time.perf_counter() - begun))
    return statistics.median(found)


def flops_of(config: FCtLConfig) -> dict[str, int]:
    """Count the FLOPs of each part of a tile."""
    with torch.device("meta"):
        model = make_network(config).eval()
    tile, contexts, windows = random_inputs(config, "meta")
    found = {}
    with torch.no_grad():
        features = {name: model.encode_context(name, images) for name, images in contexts.items()}
        for name, images in contexts.items():
            with FlopCounterMode(display=False) as counted:
                model.encode_context(name, images)
            found[name] = counted.get_total_flops()
        with FlopCounterMode(display=False) as counted:
            model.decode(model.encode_tile(tile), features, windows)
        found[TILE] = counted.get_total_flops()
    return found


def by_operation(core: ov.Core, models: list[ov.Model], precision: str) -> Counter[str]:
    """Return the milliseconds of the operations of some models, by kind."""
    found: Counter[str] = Counter()
    for model in models:
        settings = {"INFERENCE_PRECISION_HINT": HINTS[precision], "INFERENCE_NUM_THREADS": 1, "PERF_COUNT": "YES"}
        request = core.compile_model(model, "CPU", settings).create_infer_request()
        for _ in range(TILES):
            request.infer()
        for node in request.get_profiling_info():
            found[KINDS.get(node.node_type, node.node_type)] += 1e3 * node.real_time.total_seconds()
    return found


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="earth")
    parser.add_argument("--precision", choices=list(HINTS), default="bf16")
    options = parser.parse_args()
    checkpoint = str(resolve_checkpoint(options.checkpoint))
    config, core = read_card(checkpoint).config, ov.Core()
    parts, _ = kept_parts(checkpoint, checkpoint_hash(checkpoint), core)
    network = OpenVinoNetwork(parts, config, options.precision, 1, core)
    network.compile("classes")
    with tempfile.TemporaryDirectory() as folder:
        image = convert(open_image(sample_files().image), Path(folder) / "image.ome.zarr")
        out = Path(folder) / "out.ome.zarr"
        run(image, out, options.checkpoint, ("openvino", options.precision))
        pyramid, store = open_image(image), Segmentation.open(out)
        cells = store.grid.tiles_over((0, 0, *store.shape))
        inputs = [read_inputs(pyramid, store.grid.window(cell), config) for cell in cells[:TILES]]
        own = [context.name for context in config.outer_contexts if context.scale != "global"]
        encoded = [
            {name: network.encode_context(name, pixels) for name, pixels in tile.contexts.items()} for tile in inputs
        ]
        windows = [{name: tuple(window.tolist()) for name, window in tile.windows.items()} for tile in inputs]
        with ThreadPoolExecutor(1) as thread:
            reader = TileReader(pyramid, config, False, thread)  # chunks and contexts that tiles share are kept

            def read(index: int) -> None:
                for pixels in reader.start(index, store.grid.window(cells[index])).pixels.values():
                    pixels.result()

            rows = {"read": milliseconds(read)}
        for name in own:
            rows[name] = milliseconds(lambda i, name=name: network.encode_context(name, inputs[i].contexts[name]))
        rows[TILE] = milliseconds(lambda i: network.run("classes", inputs[i].tile, encoded[i], windows[i]))
        written = writing(out, FLUSH)
        rows |= {
            "write, level 0": written["ms a cell: level 0"],
            "write, coarser": written["ms a cell: coarser levels"],
        }
    torch.set_num_threads(1)
    peak = matrix_rate(torch.device("cpu"))
    flops = flops_of(config)
    size = {"read": config.in_channels * config.tile_size**2 * (1 + len(own)), LEVEL_0: 2 * store.grid.step**2}
    print(f"{options.checkpoint}, {options.precision}, tiles of {config.tile_size} px, one thread\n")
    print("| part of a tile | ms | GFLOP | GFLOP/s | of the matrix rate | kB of pixels |\n|---|---|---|---|---|---|")
    for part, took in rows.items():
        work = flops.get(part, 0)
        rate = work / took * 1e3
        of_rate = [f"{work / 1e9:.2f}", f"{rate / 1e9:.0f}", f"{100 * rate / peak:.0f} %"] if work else ["", "", ""]
        kilobytes = f"{size[part] / 1e3:.0f}" if part in size else ""
        print(f"| {part} | {took:.2f} | {' | '.join(of_rate)} | {kilobytes} |")
    total = sum(flops[name] for name in (*own, TILE))
    print(f"| all | {sum(rows.values()):.2f} | {total / 1e9:.2f} | | | |")
    print(f"| floor: all FLOPs at {peak / 1e9:.0f} GFLOP/s | {1e3 * total / peak:.2f} | | | | |\n")
    classes = ov.Model(parts.tile.get_results()[1:3], parts.tile.get_parameters(), "classes")
    found = by_operation(core, [classes, *(parts.contexts[name] for name in own)], options.precision)
    print("| operation | ms a tile | share |\n|---|---|---|")
    for kind, took in found.most_common(8):
        print(f"| {kind} | {took:.2f} | {100 * took / sum(found.values()):.0f} % |")


if __name__ == "__main__":
    sys.exit(main())
