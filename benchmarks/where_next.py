"""Orders of the regions to correct: wrong px found and the worth of correcting them, by the number of regions seen.

    python benchmarks/where_next.py earth
    python benchmarks/where_next.py aerial --data AERIAL --holdout 5 --checkpoint CELL.safetensors

The scenes are those of ``learn.py``: none that the checkpoint was trained on. All orders have the same regions to
order, those of ``fctl corrections next``, once with the entropy of the maps and once with that of the confidence. In
each region that is looked at the annotator of ``learn.py`` draws one stroke along the largest error that he sees (in
its bounding box and ``MARGIN`` px around): counted are the wrong px under the strokes. Then what it is worth to put
right the region as a whole: its wrong px, and by how much the mean IoU of the scene rises by that alone (nothing is
trained). ``random`` is the mean of ten orders.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from annotator import strokes
from corrected_scenes import Case, aerial, earth
from learn import inside, mean_iou
from numpy.typing import NDArray
from skimage.measure import label

from fctl_napari.evaluation import acquisition
from fctl_napari.evaluation.acquisition import Suggestion, find_next
from fctl_napari.model.classes import IGNORE
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.windows import IntWindow

ORDERS: dict[str, Callable[[Suggestion], float]] = {
    "gain": lambda one: one.gain,
    "gain without rarity": lambda one: one.entropy * one.size,
    "size": lambda one: one.region.pixels,
    "confidence": lambda one: one.entropy,
    "rarity": lambda one: one.rarity,
}
RANDOM = 10

MARGIN = 32
"""How much around a region is seen with it, px."""


def segment(case: Case, folder: Path) -> Segmentation:
    """Segment the scene with maps."""
    location = folder / f"{case.image.stem}.ome.zarr"
    engine = Engine()
    try:
        request = SegmentationRequest(str(case.image), str(location), str(case.checkpoint), maps=True)
        end = engine.start(request).wait()
    finally:
        engine.close()
    if end.error is not None:
        raise end.error
    return Segmentation.open(location)


def pieces(store: Segmentation, found: Sequence[Suggestion]) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return rows and columns of the px of each region, all labeled anew at once."""
    whole = (0, 0, *store.shape)
    entropy, labels = acquisition._Entropy(store), store.labels.read(whole)
    values = (labels + acquisition._checks(whole)) * (entropy.read(whole) >= entropy.threshold) * (labels > 0)
    regions = label(values, background=0, connectivity=1)
    coordinates = []
    for one in found:
        y0, x0, y1, x1 = one.region.window
        rows, columns = np.nonzero(regions[y0:y1, x0:x1] == regions[one.region.point])
        assert len(rows) == one.region.pixels
        coordinates.append((rows + y0, columns + x0))
    return coordinates


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", choices=["earth", "aerial"])
    parser.add_argument("--seen", type=int, nargs="+", default=[10, 20, 40])
    parser.add_argument("--data", type=Path, help="Folder of the aerial scenes.")
    parser.add_argument("--holdout", default="5", help="Group of aerial scenes that the checkpoint did not see.")
    parser.add_argument("--checkpoint", type=Path, help="Trained without that group.")
    parser.add_argument("--change", choices=["none", "colour", "haze", "scale"], default="none")
    parser.add_argument("--folder", type=Path, help="Where segmentations are kept for the next time.")
    options = parser.parse_args()
    heads = ["scene", "entropy of", "order", *(f"{n} regions: under strokes / in them / mIoU" for n in options.seen)]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        if options.scene == "earth":
            cases: Sequence[Case] = [earth()]
        else:
            if options.data is None or options.checkpoint is None:
                parser.error("aerial needs --data and --checkpoint")
            cases = list(aerial(options.data, options.holdout, options.checkpoint, options.change, folder))
        for case in cases:
            store = segment(case, folder)
            for kind in ("maps", "confidence"):
                if kind == "confidence":
                    store.maps.clear()
                show(case, store, kind, options.seen)


def show(case: Case, store: Segmentation, kind: str, seen: Sequence[int]) -> None:
    """Print the rows of one scene."""
    ground_truth, names = case.scene.ground_truth, store.class_table.names
    counted = inside(ground_truth.shape, case.scene.test)
    predicted = store.labels.read((0, 0, *store.shape)) - np.uint8(1)
    found = [one for one in find_next(store, most=10**6) if counted[one.region.point]]
    where = pieces(store, found)
    miou = mean_iou(ground_truth, predicted, counted, names)

    struck = [stroke(ground_truth, predicted, counted, one.region.window) for one in found]

    def row(order: Sequence[int]) -> list[tuple[int, int, float]]:
        right, under, wrong, state_changed = predicted.copy(), 0, 0, []
        for number, index in enumerate(order[: max(seen)], 1):
            location = where[index]
            known = (ground_truth[location] != IGNORE) & counted[location]
            under += struck[index]
            wrong += int(np.count_nonzero(known & (ground_truth[location] != predicted[location])))
            right[location] = np.where(known, ground_truth[location], predicted[location])
            if number in seen:
                state_changed.append((under, wrong, 100 * (mean_iou(ground_truth, right, counted, names) - miou)))
        return state_changed

    def tell(name: str, state_changed: NDArray[np.float64]) -> None:
        cells = [f"{under:,.0f} / {wrong:,.0f} / {points:+.2f}" for under, wrong, points in state_changed]
        print("| " + " | ".join([case.image.stem, kind, name, *cells]) + " |", flush=True)

    for name, key in ORDERS.items():
        tell(name, np.array(row(sorted(range(len(found)), key=lambda i: -key(found[i])))))
    rng = np.random.default_rng(0)
    tell("random", np.mean([row(rng.permutation(len(found)).tolist()) for _ in range(RANDOM)], axis=0))


def stroke(
    ground_truth: NDArray[np.uint8], predicted: NDArray[np.uint8], counted: NDArray[np.bool_], window: IntWindow
) -> int:
    """Return the wrong px under the annotator's stroke in a region."""
    y0, x0, y1, x1 = window
    part = np.s_[max(y0 - MARGIN, 0) : y1 + MARGIN, max(x0 - MARGIN, 0) : x1 + MARGIN]
    wrong = counted[part] & (ground_truth[part] != IGNORE) & (ground_truth[part] != predicted[part])
    if not wrong.any():
        return 0
    painted, _ = strokes(ground_truth[part], predicted[part], counted[part], 1, 0)
    return int(np.count_nonzero(wrong & (painted > 0)))


if __name__ == "__main__":
    main()
