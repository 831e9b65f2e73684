"""Gain from a few strokes of correction: a simulated annotator, fine-tuning, and figures before and after.

    python benchmarks/learn.py earth --strokes 10 --seeds 0
    python benchmarks/learn.py aerial --data AERIAL --holdout 5 --checkpoint CELL.safetensors --strokes 10 20 40
    python benchmarks/learn.py river --data SCENES --only 26607 31180 --strokes 10 20 40

The scene is one that the checkpoint was not trained on: the test bands of the Earth scene; a held-out group of the
aerial scenes (give the checkpoint of that cell, see ``scripts/build_checkpoints.py``), perhaps with ``--change`` of
its look; or the scenes of another set, on which a built-in checkpoint is corrected in those of its classes that the
set has as well (SCENES holds the folders ``river``, ``dunes``, ``deepglobe10`` and ``aerial``). The annotator draws
along the largest errors with a round brush, and paints only where the ground truth has the class; which of the large
errors he comes to first depends on the seed. Measured on the whole unseen scene, on the
neighborhood of the strokes (boxes 256 px wider), on the rest, and on tiles of the scenes that were trained on.
``rounds`` is ``ours`` as it is used: after each count of strokes the network is fine-tuned on all of them and kept if
the gate says so, and the next strokes follow the errors that the network at hand still makes; its gate is right where
it tells whether the network is better than the one before.
``plain`` is the usual way: all weights, corrected pixels only, no replay, no gate. The gate's result on ``ours`` is
printed, and whether the unseen scene got better as it says; figures are of the new network either way. With
``--wrong`` a share of the strokes has a wrong class.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from annotator import mislabel, strokes
from corrected_scenes import ELSEWHERE, Case, aerial, earth, elsewhere
from numpy.typing import NDArray

from fctl_napari.evaluation.metrics import Scores, confusion_matrix
from fctl_napari.finetuning.finetune import finetune
from fctl_napari.finetuning.request import PARTS, FinetuneRequest
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.classes import IGNORE
from fctl_napari.model.model_card import read_card
from fctl_napari.segmentation.inference.predictor import Predictor
from fctl_napari.segmentation.tiling.grid import TileGrid, default_overlap
from fctl_napari.training.data import Scene
from fctl_napari.windows import IntWindow

NEAR = 256
"""How far the neighbourhood of a stroke reaches, px."""

OLD_TILES = 80
"""Tiles of the old scenes that forgetting is measured on."""

PLAIN: dict[str, Any] = {
    "parts": PARTS,
    "near": 0.0,
    "replay": 0.0,
    "pull": 0.0,
    "replay_share": 0.0,
    "held_out": 0.0,
    "steps": 40,
    "batch": 4,
}
PLAIN_RATE = 1e-4

BOUND: dict[str, Any] = {"held_out": 0.0, "steps": 150}
"""What ``ours`` comes to with every pixel of the unseen scene painted."""

KEYS = ("scene", "strokes", "seed", "way", "wrong")

SHOWN = {"unseen": "unseen scene", "near": "near the strokes", "rest": "rest", "old": "old scenes"}


def segmented(checkpoint: Path, scene: Scene, regions: Sequence[IntWindow]) -> NDArray[np.uint8]:
    """Predict the classes of regions of a scene as ``fctl segment`` does.

    Elsewhere the class index is 255.
    """
    model, card = load_checkpoint(checkpoint)
    predictor = Predictor(model)
    grid = TileGrid(scene.pyramid.shape, card.config.tile_size, default_overlap(card.config.tile_size))
    out = np.full(scene.ground_truth.shape, IGNORE, np.uint8)
    try:
        cells = sorted({cell for region in regions for cell in grid.cells_in(region)})
        for index, labels, _ in predictor.classify(scene.pyramid, [grid.window(c) for c in cells]):
            y0, x0, y1, x1 = grid.core(cells[index])
            top, left = grid.window(cells[index])[:2]
            out[y0:y1, x0:x1] = labels[y0 - top : y1 - top, x0 - left : x1 - left] - np.uint8(1)
    finally:
        predictor.close()
    return out


def inside(shape: tuple[int, int], regions: Sequence[IntWindow]) -> NDArray[np.bool_]:
    """Return the mask of regions."""
    mask = np.zeros(shape, bool)
    for y0, x0, y1, x1 in regions:
        mask[max(y0, 0) : y1, max(x0, 0) : x1] = True
    return mask


def mean_iou(
    ground_truth: NDArray[np.uint8], predicted: NDArray[np.uint8], mask: NDArray[np.bool_], names: Sequence[str]
) -> float:
    """Compute the mean IoU within a mask, over the classes that the ground truth has there.

    A class that is only predicted would count as 0 from its first px on, and as nothing before.
    """
    matrix = confusion_matrix(np.where(mask, ground_truth, IGNORE), predicted, len(names))
    iou = Scores.from_confusion(matrix, names).iou
    return float(np.mean([iou[name] for name, row in zip(names, matrix, strict=True) if row.any()]))


def old_regions(scenes: Sequence[Scene], tile: int) -> list[tuple[Scene, list[IntWindow]]]:
    """Choose parts of the old scenes, evenly."""
    found = []
    for scene in scenes:
        spots = [
            (y, x, y + tile, x + tile)
            for y0, x0, y1, x1 in scene.train
            for y in range(y0, y1 - tile + 1, tile)
            for x in range(x0, x1 - tile + 1, tile)
        ]
        chosen = np.linspace(0, len(spots) - 1, min(OLD_TILES // len(scenes), len(spots))).round().astype(int)
        found.append((scene, [spots[i] for i in chosen]))
    return found


def old_miou(checkpoint: Path, parts: Sequence[tuple[Scene, list[IntWindow]]], names: Sequence[str]) -> float:
    """Compute the mean IoU on parts of the old scenes."""
    matrix = np.zeros((len(names), len(names)), np.int64)
    for scene, regions in parts:
        ground_truth = np.where(inside(scene.ground_truth.shape, regions), scene.ground_truth, IGNORE)
        matrix += confusion_matrix(ground_truth, segmented(checkpoint, scene, regions), len(names))
    return Scores.from_confusion(matrix, names).miou


def run(case: Case, options: argparse.Namespace, folder: Path) -> None:
    """Measure the rows of one case that are not in the table yet."""
    name = f"{options.scene} {case.scene.name}" if options.scene != "earth" else f"earth {options.bands} bands"
    if options.scene == "aerial":
        name = f"aerial {case.image.stem}"
    counts = [0] if options.ways == ["bound"] else options.strokes
    done = {tuple(row[key] for key in KEYS) for row in read_rows(options.csv)}
    measured: Measured | None = None
    for seed in options.seeds:
        for way in options.ways:
            wanted = [n for n in counts if (name, str(n), str(seed), way, str(options.wrong)) not in done]
            if not wanted:
                continue
            measured = measured or Measured(case, name, options, folder)
            if way == "rounds":
                measured.rounds(counts, seed)
            else:
                for count in wanted:
                    measured.once(count, seed, way)


class Measured:
    """Fine-tunings of the checkpoint of one case, and their rows."""

    def __init__(self, case: Case, name: str, options: argparse.Namespace, folder: Path) -> None:
        self.case, self.name, self.options, self.folder = case, name, options, folder
        self.card = read_card(case.checkpoint)
        self.names = self.card.classes.names
        self.ground_truth = np.asarray(case.scene.ground_truth)
        self.counted = inside(self.ground_truth.shape, case.scene.test)
        self.before = segmented(case.checkpoint, case.scene, case.scene.test)
        self.old = old_regions(case.old, self.card.config.tile_size)
        self.old_before = old_miou(case.checkpoint, self.old, self.names)

    def once(self, count: int, seed: int, way: str) -> None:
        """Measure one fine-tuning of the checkpoint itself."""
        if way == "bound":
            labelled = self.counted & (self.ground_truth != IGNORE)
            corrections = np.where(labelled, self.ground_truth + 1, 0).astype(np.uint8)
            boxes = list(self.case.scene.test)
        else:
            corrections, boxes = strokes(self.ground_truth, self.before, self.counted, count, seed)
            mislabel(corrections, self.options.wrong, len(self.names), seed)
        parts = {"ours": {}, "bound": BOUND, "plain": PLAIN | {"learning_rate": self.options.plain_rate}}[way]
        self._learn(self.case.checkpoint, corrections, boxes, (count, seed, way), parts, self.before)

    def rounds(self, counts: Sequence[int], seed: int) -> None:
        """Measure fine-tunings one after the other, each of the network that was kept before."""
        checkpoint, predicted = self.case.checkpoint, self.before
        corrections, boxes = np.zeros_like(self.ground_truth), []
        for count, earlier in zip(counts, [0, *counts], strict=False):
            left = self.counted & (corrections == 0)
            added, places = strokes(self.ground_truth, predicted, left, count - earlier, seed + earlier)
            mislabel(added, self.options.wrong, len(self.names), seed)
            corrections, boxes = np.maximum(corrections, added), [*boxes, *places]
            out, after, keep = self._learn(checkpoint, corrections, boxes, (count, seed, "rounds"), {}, predicted)
            if keep:
                checkpoint, predicted = out, after

    def _learn(
        self,
        checkpoint: Path,
        corrections: NDArray[np.uint8],
        boxes: Sequence[IntWindow],
        key: tuple[int, int, str],
        settings: Mapping[str, Any],
        parents: NDArray[np.uint8],
    ) -> tuple[Path, NDArray[np.uint8], bool]:
        """Fine-tune, and add the row; return the network, its labels and what the gate says."""
        case, options, ground_truth, counted = self.case, self.options, self.ground_truth, self.counted
        count, seed, way = key
        near = counted & inside(ground_truth.shape, [(a - NEAR, b - NEAR, c + NEAR, d + NEAR) for a, b, c, d in boxes])
        location = self.folder / f"{self.name} {count} {seed} {way}.ome.zarr"
        painted = LabelPyramid.create(
            location, ground_truth.shape, classes=[info.model_dump() for info in self.card.classes]
        )
        painted.write(0, 0, corrections)
        out = self.folder / f"{self.name} {count} {seed} {way}.safetensors"
        request = FinetuneRequest(
            image=str(case.image),
            checkpoint=str(checkpoint),
            corrections=str(location),
            out=str(out),
            data_folder=case.data_folder,
            seed=seed,
            **(settings | options.set),
        )
        started, used = time.monotonic(), time.process_time()
        result = finetune(request, keep_anyway=True)
        seconds, used = time.monotonic() - started, time.process_time() - used
        after = segmented(out, case.scene, case.scene.test)
        row: dict[str, Any] = {"scene": self.name, "strokes": count, "seed": seed, "way": way, "wrong": options.wrong}
        row["px"] = np.count_nonzero(corrections)
        keep = result.gate_result.keep
        shown = after if keep or way != "rounds" else parents  # what is rolled back is not used on
        for part, mask in (("unseen", counted), ("near", near), ("rest", counted & ~near)):
            pair = [mean_iou(ground_truth, predicted, mask, self.names) for predicted in (self.before, shown)]
            row |= dict(zip((f"{part} before", f"{part} after"), pair, strict=True))
        used_on = out if keep or way != "rounds" else checkpoint
        row |= {"old before": self.old_before, "old after": old_miou(used_on, self.old, self.names)}
        row |= {"steps": result.steps, "seconds": round(seconds), "cpu seconds": round(used)}
        row |= {"load": round(os.getloadavg()[0], 1), "gate": "keep" if keep else "roll back"}
        better = [mean_iou(ground_truth, predicted, counted, self.names) for predicted in (parents, after)]
        row["gate is right"] = keep == (better[1] > better[0])
        gain = result.card.gain
        row |= {key: "" if gain is None else round(getattr(gain, key), 5) for key in ("before", "after", "low", "high")}
        print(line(row), flush=True)
        if options.verbose:
            print(f"    {better[0]:.4f} -> {better[1]:.4f}", *result.gate_result.reasons, sep="\n      ", flush=True)
        known = {tuple(other[key] for key in KEYS) for other in read_rows(options.csv)}
        if options.csv and tuple(str(row[key]) for key in KEYS) not in known:  # rounds begin anew after a stop
            fresh = not options.csv.exists()
            with options.csv.open("a", newline="") as file:
                writer = csv.DictWriter(file, list(row))
                if fresh:
                    writer.writeheader()
                writer.writerow(row)
        return out, after, keep


def read_rows(table: Path | None) -> list[dict[str, str]]:
    """Read the rows that were measured already."""
    if table is None or not table.exists():
        return []
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def line(row: Mapping[str, Any]) -> str:
    """Format a row for people."""
    pairs = [(float(row[f"{part} before"]), float(row[f"{part} after"])) for part in SHOWN]
    changes = [f"{a:.4f} -> {b:.4f} ({100 * (b - a):+.1f})" for a, b in pairs]
    ends = [row[name] for name in ("steps", "seconds", "cpu seconds", "load", "gate", "gate is right")]
    return "| " + " | ".join(str(v) for v in (*(row[name] for name in KEYS), row["px"], *changes, *ends)) + " |"


def summary(rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Format the mean gains over seeds, in points, with the lowest and the highest in brackets."""
    heads = ["scene", "strokes", "way", "wrong", "seeds", *SHOWN.values(), "kept", "gate is right", "CPU seconds"]
    yield f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}"
    for key in dict.fromkeys((r["scene"], r["strokes"], r["way"], r["wrong"]) for r in rows):
        group = [r for r in rows if (r["scene"], r["strokes"], r["way"], r["wrong"]) == key]
        scene, count, way, wrong = key
        cells = []
        for part in SHOWN:
            gains = [100 * (float(r[f"{part} after"]) - float(r[f"{part} before"])) for r in group]
            cells.append(f"{np.nanmean(gains):+.1f} ({min(gains):+.1f} to {max(gains):+.1f})")
        kept, right = (
            f"{sum(r[key] == value for r in group)} of {len(group)}" if way in ("ours", "rounds") else ""
            for key, value in (("gate", "keep"), ("gate is right", "True"))
        )
        seconds = f"{np.mean([float(r['cpu seconds']) for r in group]):.0f}"
        seeds = ", ".join(r["seed"] for r in group)
        count = count if int(count) else ""
        yield "| " + " | ".join([scene, count, way, wrong, seeds, *cells, kept, right, seconds]) + " |"


def setting(text: str) -> tuple[str, Any]:
    """Parse ``FIELD=VALUE`` of a request."""
    name, _, value = text.partition("=")
    return name, tuple(value.split(",")) if name == "parts" else value


def main() -> None:
    """Measure rows, and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", choices=["earth", "aerial", *ELSEWHERE, "table"])
    parser.add_argument("--strokes", type=int, nargs="+", default=[10, 20, 40])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ways", nargs="+", choices=["ours", "rounds", "plain", "bound"], default=["ours", "plain"])
    parser.add_argument("--bands", choices=["test", "val"], default="test", help="Which bands of the Earth scene.")
    parser.add_argument("--data", type=Path, help="Folder of the aerial scenes, or of the folders of all sets.")
    parser.add_argument("--only", nargs="+", default=[], help="Scenes of another set.")
    parser.add_argument("--wrong", type=float, default=0.0, help="Share of the strokes that get a wrong class.")
    parser.add_argument("--holdout", default="5", help="Group of aerial scenes that the checkpoint did not see.")
    parser.add_argument("--checkpoint", type=Path, help="Trained without that group.")
    parser.add_argument("--change", choices=["none", "colour", "haze", "scale"], default="none")
    parser.add_argument("--plain-rate", type=float, default=PLAIN_RATE, help="Learning rate of the plain way.")
    parser.add_argument("--set", type=setting, nargs="*", default=[], metavar="FIELD=VALUE", help="Of the requests.")
    parser.add_argument("--csv", type=Path, help="Rows are added to this file; what is in it is not measured again.")
    parser.add_argument("--verbose", action="store_true", help="The gate's reasons, too.")
    options = parser.parse_args()
    options.set = dict(options.set)
    if options.scene == "table":
        rows = read_rows(options.csv)
        print(*summary(rows), "", *map(line, rows), sep="\n")
        return
    heads = [*KEYS, "px", *SHOWN.values(), "steps", "seconds", "CPU seconds", "load", "gate", "gate is right"]
    print(f"mIoU before -> after (points)\n\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.scene == "earth":
            cases: Iterable[Case] = [earth(options.bands)]
        elif options.scene in ELSEWHERE:
            if options.data is None:
                parser.error(f"{options.scene} needs --data")
            cases = elsewhere(options.scene, options.data, options.only)
        else:
            if options.data is None or options.checkpoint is None:
                parser.error("aerial needs --data and --checkpoint")
            cases = list(aerial(options.data, options.holdout, options.checkpoint, options.change, folder))
        for case in cases:
            run(case, options, folder)


if __name__ == "__main__":
    main()
