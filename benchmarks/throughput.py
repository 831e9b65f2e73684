"""Tiles per second of this project, a plain loop and MONAI: same weights, image, merge and threads.

    python benchmarks/throughput.py [--device cuda] [--networks fctl_lite fcn8s] [--tiles 64] [--no-scenes]

"Model only" starts from pixels on the device and leaves the logits there; "end to end" goes from an OME-Zarr on disk to
a segmentation on disk, the worker process (which loads the network once) being up. Networks with contexts are
cropped to their cores, ``fcn8s`` averages the logits of overlapping tiles, as MONAI's ``SlidingWindowInferer`` does.
``fctl_lite`` is the built-in ``earth`` checkpoint, the others have random weights.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from throughput_rates import Rate, bytes_read, bytes_read_by_children, matrix_rate, rate, seconds_of, timed
from torch import Tensor

from fctl_napari.evaluation.cost import count_flops
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.imagery.sample import sample_files
from fctl_napari.model.checkpoint import load_checkpoint, save_checkpoint
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.model.config import Context
from fctl_napari.model.encoders.vgg16 import VGG16
from fctl_napari.model.fctl import FCtL
from fctl_napari.model.model_card import Card, checkpoint_hash, read_card, resolve_checkpoint
from fctl_napari.model.presets import preset
from fctl_napari.segmentation.inference.device import numerics
from fctl_napari.segmentation.inference.predictor import CUDA_BATCH, Predictor
from fctl_napari.segmentation.inference.tile_cutting import TileInputs, read_inputs
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest
from fctl_napari.segmentation.jobs.worker_process import HEAP
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.segmentation.tiling.grid import TileGrid, default_overlap

NETWORKS = ("fctl_lite", "fctl_vgg16", "fcn8s")
READY_TILES = 32
"""How many tiles lie ready on the device for "model only"; it goes round them."""


@dataclass(frozen=True)
class Case:
    """A network and the image that it segments.

    Attributes
    ----------
    checkpoint, image
        The file and the OME-Zarr.
    folder
        Folder for results.
    device, precision
        Device and arithmetic of the network (the plain loop: always fp32).
    """

    checkpoint: Path
    image: Path
    folder: Path
    device: torch.device
    precision: str = "fp32"

    @property
    def merge(self) -> str:
        """Merge of tiles into a mask."""
        return "crop" if read_card(self.checkpoint).config.contexts else "average"

    def grid(self, pyramid: Pyramid) -> TileGrid:
        """Return the grid of tiles."""
        size = read_card(self.checkpoint).config.tile_size
        return TileGrid(pyramid.shape, size, default_overlap(size))

    def store(self, pyramid: Pyramid) -> Segmentation:
        """Make an empty segmentation."""
        return Segmentation.create(
            Path(tempfile.mkdtemp(dir=self.folder)) / "mask.ome.zarr",
            image=pyramid,
            grid=self.grid(pyramid),
            card=read_card(self.checkpoint),
            checkpoint_hash=checkpoint_hash(self.checkpoint),
            settings={},
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--tiles", type=int, default=64, help="of the image, about")
    parser.add_argument("--plain-tiles", type=int, default=16, help="of these, how many the plain loop runs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--no-scenes", action="store_true", help="leave out the DeepGlobe- and Inria-sized images")
    options = parser.parse_args()
    use_the_workers_heap()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    cuda = device.type == "cuda"
    name = torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine()
    print(f"{name}, {options.threads} threads, torch {torch.__version__}; best of {options.rounds} rounds")
    with tempfile.TemporaryDirectory() as location, Engine(threads=options.threads) as engine:
        folder = Path(location)
        for network in options.networks:
            print(
                "\n| network | engine | model only, tiles/s | against plain | end to end, tiles/s | against plain "
                "| of model only | kB read a tile | of the matrix rate |\n|---|---|---|---|---|---|---|---|---|"
            )
            checkpoint = make_checkpoint(network, folder)
            size = read_card(checkpoint).config.tile_size
            side = math.ceil(math.sqrt(options.tiles)) * (size - default_overlap(size))
            image = make_image(side, folder / f"{network}.ome.zarr")
            compare(Case(checkpoint, image, folder, device), network, engine, options.plain_tiles, options.rounds)
        if not options.no_scenes:
            scenes(folder, device, engine)


def compare(case: Case, network: str, engine: Engine, plain_tiles: int, rounds: int) -> None:
    """Print the rows of one network: the best of some rounds, in which every engine has its turn."""
    contestants = {
        "plain loop, fp32": lambda: (plain_model_only(case, plain_tiles), plain_end_to_end(case, plain_tiles))
    }
    for precision in ("fp32", "bf16"):
        same = replace(case, precision=precision)
        if network == "fcn8s" and find_spec("monai") is not None:
            contestants[f"MONAI, {precision}"] = partial(monai, same)
        contestants[f"ours, {precision}"] = lambda same=same: (our_model_only(same), our_end_to_end(same, engine))
    best: dict[str, tuple[Rate, Rate]] = {}
    peak = 0.0
    for _ in range(rounds):
        peak = max(peak, matrix_rate(case.device))
        for label, contestant in contestants.items():
            before = best.get(label, (Rate(0), Rate(0)))
            found = contestant()
            best[label] = max(before[0], found[0]), max(before[1], found[1])
    flops = sum(count_flops(read_card(case.checkpoint).config, shared_contexts=True).values())
    plain_model, plain_whole = best["plain loop, fp32"]
    for label, (model, whole) in best.items():
        share = f"{100 * model.tiles * flops / peak:.0f} %" if label == "ours, bf16" else ""
        print(
            f"| {network} | {label} | {model.tiles:.2f} | {model.tiles / plain_model.tiles:.2f}x | {whole.tiles:.2f} "
            f"| {whole.tiles / plain_whole.tiles:.2f}x | {100 * whole.tiles / model.tiles:.0f} % "
            f"| {whole.bytes / 1000:.0f} | {share} |",
            flush=True,
        )
    print(f"\n{network}: bf16 matrices {peak / 1e12:.2f} TFLOP/s, {flops / 1e9:.1f} GFLOP a tile; ", end="")
    print(f"{stored_bytes(case) / 1000:.0f} kB of image files a tile")
    if network == "fcn8s" and find_spec("monai") is None:
        print("MONAI is not installed: its rows are left out; install the extra `bench` for them.")


# ---- what is compared


def plain_model_only(case: Case, tiles: int) -> Rate:
    """Run one tile at a time, with all its contexts, in fp32."""
    model = plain_model(case)
    ready = [on_device([inputs], case.device) for inputs in some_inputs(case, min(tiles, READY_TILES))]

    def run(index: int) -> None:
        with torch.inference_mode():
            model(*ready[index % len(ready)])

    return rate(run, tiles, case.device)


def plain_end_to_end(case: Case, tiles: int) -> Rate:
    """Read a tile and its contexts, run the network, merge, write; then the next."""
    model = plain_model(case)
    pyramid = open_image(case.image)
    store = case.store(pyramid)
    grid = store.grid
    cells = store.missing()[:tiles]
    total = np.zeros((model.config.classes, *pyramid.shape), np.float32) if case.merge == "average" else None

    def run(index: int) -> None:
        cell = cells[index]
        window = grid.window(cell)
        with torch.inference_mode():
            logits = model(*on_device([read_inputs(pyramid, window, model.config)], case.device))[0]
        if total is not None:
            total[:, window[0] : window[2], window[1] : window[3]] += logits.cpu().numpy()
            return
        probability, chosen = logits.softmax(0).max(0)
        core = grid.core(cell)
        part = np.s_[core[0] - window[0] : core[2] - window[0], core[1] - window[1] : core[3] - window[1]]
        confidence = (probability * 255).round().clamp(1, 255).byte().cpu().numpy()[part]
        store.write_cell(cell, (chosen + 1).byte().cpu().numpy()[part], confidence)

    def finish() -> None:
        if total is not None:
            write_all(store, torch.from_numpy(total), cells)
        store.finish(cells)

    return rate(run, tiles, case.device, finish)


def monai(case: Case) -> tuple[Rate, Rate]:
    """Run MONAI's sliding window over the whole image in memory."""
    from monai.inferers import SlidingWindowInferer

    model = plain_model(case)
    size = model.config.tile_size
    # MONAI cuts the step to whole px: half a px less overlap makes it ours.
    overlap = (default_overlap(size) - 0.5) / size
    inferer = SlidingWindowInferer(
        size, sw_batch_size=CUDA_BATCH if case.device.type == "cuda" else 1, overlap=overlap, mode="constant"
    )
    pyramid = open_image(case.image)
    window = (0, 0, *pyramid.shape)
    seen = 0

    def predict(tiles: Tensor) -> Tensor:
        nonlocal seen
        seen += len(tiles)
        return model(tiles, {}, {}).float()

    def infer(pixels: np.ndarray | Tensor) -> Tensor:
        with torch.inference_mode(), numerics(case.device, case.precision):
            image = torch.as_tensor(pixels).to(case.device)
            return inferer(image.permute(2, 0, 1)[None].float(), predict)

    ready = torch.from_numpy(pyramid.read(window)).to(case.device)
    infer(ready)
    seen = 0
    seconds = timed(lambda: infer(ready), case.device)
    model_only = seen / seconds
    store = case.store(pyramid)

    def end_to_end() -> None:
        write_all(store, infer(pyramid.read(window))[0], store.missing())
        store.finish(store.missing())

    seen, before = 0, bytes_read()
    seconds = timed(end_to_end, case.device)
    return Rate(model_only), Rate(seen / seconds, (bytes_read() - before) / seen)


def our_model_only(case: Case) -> Rate:
    """Run the predictor's computation on tiles that lie ready in batches.

    A context that all tiles share was encoded before.
    """
    model, _ = load_checkpoint(case.checkpoint)
    predictor = Predictor(model, device=str(case.device), precision=case.precision)
    inputs = some_inputs(case, READY_TILES)
    size = predictor.batch
    batches = [on_device(inputs[i : i + size], case.device) for i in range(0, len(inputs) - size + 1, size)]
    shared: dict[str, Tensor] = {}
    with torch.inference_mode(), numerics(case.device, predictor.precision):
        for context in model.config.outer_contexts:
            if context.scale == "global":
                shared[context.name] = model.encode_context(context.name, batches[0][1][context.name][:1])
                for _, contexts, windows in batches:
                    del contexts[context.name]
                    windows[context.name] = windows[context.name][:1]

    def run(index: int) -> None:
        tiles, contexts, windows = batches[index % len(batches)]
        with torch.inference_mode(), numerics(case.device, predictor.precision):
            encoded = {name: model.encode_context(name, images) for name, images in contexts.items()}
            model.decode(model.encode_tile(tiles), encoded | shared, windows).float()

    found = rate(run, 2 * len(batches), case.device)
    predictor.close()
    return Rate(found.tiles * size)


def our_end_to_end(case: Case, engine: Engine) -> Rate:
    """Run the whole image with the engine.

    A first run, of one cell, starts the worker and warms it up.
    """
    pyramid = open_image(case.image)
    out = Path(tempfile.mkdtemp(dir=case.folder)) / "mask.ome.zarr"
    request = SegmentationRequest(
        str(case.image),
        str(out),
        str(case.checkpoint),
        merge=case.merge,
        device=case.device.type,
        precision=case.precision,
        fresh=True,
    )
    seconds_of(engine, replace(request, region=(0, 0, 1, 1)))
    before = bytes_read_by_children()
    seconds = seconds_of(engine, request)
    grid = case.grid(pyramid)
    tiles = len(grid.tiles_over((0, 0, *pyramid.shape)))
    return Rate(tiles / seconds, (bytes_read_by_children() - before) / tiles)


def scenes(folder: Path, device: torch.device, engine: Engine) -> None:
    """Print the seconds of the paper's images, the worker being up."""
    print("\n| image | side, px | contexts | precision | tiles | seconds |\n|---|---|---|---|---|---|")
    local, tile = Context(name="local"), 508
    for name, side, scales in (("DeepGlobe", 2448, (3.0, "global")), ("Inria", 5000, (2.0, 3.0))):
        contexts = tuple(Context(name=n, scale=s) for n, s in zip(("medium", "large"), scales, strict=True))
        checkpoint = make_checkpoint("fctl_vgg16", folder, contexts=(local, *contexts), tile_size=tile)
        image = make_image(side, folder / f"{name}.ome.zarr")
        for precision in ("fp32", "bf16") if device.type == "cuda" else ("bf16",):
            case = Case(checkpoint, image, folder, device, precision)
            tiles = len(case.grid(open_image(image)).tiles_over((0, 0, side, side)))
            seconds = tiles / our_end_to_end(case, engine).tiles
            sides = " / ".join("whole" if s == "global" else f"{tile * s:.0f}" for s in (1, *scales))
            print(f"| {name} | {side} | {sides} | {precision} | {tiles} | {seconds:.1f} |", flush=True)


# ---- what they share


def use_the_workers_heap() -> None:
    """Start this process again with the memory settings of the engine's workers, so that all have the same."""
    settings = {name: str(value) for name, value in HEAP.items()}
    if settings.items() - os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | settings)


def make_checkpoint(network: str, folder: Path, **settings: object) -> Path:
    """Return the built-in ``earth`` for ``fctl_lite``, or save a network of random weights for another preset."""
    if network == "fctl_lite":
        return resolve_checkpoint("earth")
    torch.manual_seed(0)
    config = preset(network, **settings)
    table = ClassTable(classes=tuple(ClassInfo(name=f"class {k}", color=(k, k, k)) for k in range(config.classes)))
    path = folder / f"{network}.safetensors"
    save_checkpoint(path, FCtL(config), Card(name=network, config=config, classes=table))
    return path


def make_image(side: int, path: Path) -> Path:
    """Write a square of the sample scene, mirrored at its edges until it is large enough, as an OME-Zarr."""
    scene = open_image(sample_files().image)
    pixels = scene.read((0, 0, *scene.shape))[:side, :side]
    pixels = np.pad(pixels, ((0, side - pixels.shape[0]), (0, side - pixels.shape[1]), (0, 0)), "symmetric")
    return convert(pyramid_from_array(pixels, name=path.stem), path)


def plain_model(case: Case) -> FCtL:
    """Load the network without anything that saves time."""
    model, _ = load_checkpoint(case.checkpoint)
    for encoder in model.encoders.values():
        if isinstance(encoder, VGG16):
            encoder.skip_constant_border = False
    return model.to(case.device).eval()


def some_inputs(case: Case, tiles: int) -> list[TileInputs]:
    """Read the first tiles and their contexts."""
    pyramid = open_image(case.image)
    grid = case.grid(pyramid)
    config = read_card(case.checkpoint).config
    cells = grid.cells_in((0, 0, *pyramid.shape))[:tiles]
    return [read_inputs(pyramid, grid.window(cell), config) for cell in cells]


def on_device(
    inputs: Sequence[TileInputs], device: torch.device
) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """Return tiles, contexts and windows on the device, as the network takes them."""

    def images(arrays: Sequence[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(arrays)).to(device).contiguous(memory_format=torch.channels_last)

    contexts = {name: images([one.contexts[name] for one in inputs]) for name in inputs[0].contexts}
    windows = {
        name: torch.from_numpy(np.stack([one.windows[name] for one in inputs])).to(device) for name in inputs[0].windows
    }
    return images([one.tile for one in inputs]), contexts, windows


def write_all(store: Segmentation, logits: Tensor, cells: Sequence[tuple[int, int]]) -> None:
    """Write the cells of a whole image's logits [C, H, W]."""
    probability, chosen = logits.softmax(0).max(0)
    labels = (chosen + 1).byte().cpu().numpy()
    confidence = (probability * 255).round().clamp(1, 255).byte().cpu().numpy()
    for cell in cells:
        y0, x0, y1, x1 = store.grid.core(cell)
        store.write_cell(cell, labels[y0:y1, x0:x1], confidence[y0:y1, x0:x1])


def stored_bytes(case: Case) -> float:
    """Compute the size of the image's files, all levels, per tile.

    It is what has to be read if everything is read once.
    """
    pyramid = open_image(case.image)
    tiles = case.grid(pyramid).tiles_over((0, 0, *pyramid.shape))
    return sum(file.stat().st_size for file in case.image.rglob("*") if file.is_file()) / len(tiles)


if __name__ == "__main__":
    main()
