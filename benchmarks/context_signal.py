"""How much the surroundings of a pixel tell about its class, with no network in between.

    python benchmarks/context_signal.py earth
    python benchmarks/context_signal.py aerial --data AERIAL

Boosted trees see the pixel's colour and the mean, the standard deviation and the fine texture of Gaussian windows
around it, of growing width; they learn on the training regions and are scored on the regions that were held out (each
group in turn). Where the score outside rises with the width, contexts can help a network; where only the score on the
training regions does, they can do nothing but recognise the scene. The last row per place forbids the trees to combine
the widest windows with the rest: what contexts can give when they only add to the tile's own scores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from fctl_napari.evaluation.metrics import Scores, confusion_matrix
from fctl_napari.training.config import load_train_config
from fctl_napari.training.data import Scene, open_scenes

WIDTHS = (0, 6, 40, 250)
"""Widest Gaussian window, standard deviation in px; each row of the table has those up to it."""
SIGMAS = (2, 6, 16, 40, 100, 250)
APART = "added"


def features(scene: Scene) -> dict[int, NDArray[np.float32]]:
    """Features [H, W, F] by the window's standard deviation in px (0: the pixel itself)."""
    height, width = scene.pyramid.shape
    image = scene.pyramid.read((0, 0, height, width)).astype(np.float32)
    gray = image.mean(-1)
    texture = _spread(gray, 2)
    found = {0: image}
    for sigma in SIGMAS:
        maps = [blur(texture, sigma)]
        for channel in np.moveaxis(image, -1, 0):
            maps += [blur(channel, sigma), _spread(channel, sigma)]
        found[sigma] = np.stack(maps, -1)
    return found


def _spread(channel: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    mean = blur(channel, sigma)
    return np.sqrt(np.maximum(blur(channel * channel, sigma) - mean * mean, 0))


def blur(channel: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Gaussian mean, wide ones on a smaller picture."""
    factor = max(1, int(sigma // 8))
    if factor == 1:
        return gaussian_filter(channel, sigma, mode="nearest")
    size = channel.shape[1], channel.shape[0]
    small = Image.fromarray(channel).resize([max(1, n // factor) for n in size], Image.Resampling.BOX)
    wide = gaussian_filter(np.asarray(small), sigma / factor, mode="nearest")
    return np.asarray(Image.fromarray(wide).resize(size, Image.Resampling.BILINEAR))


def draw(scene: Scene, part: str, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Labelled pixels of a part (flat indices); while training, rare classes are drawn more often, as in training."""
    whole = np.asarray(scene.ground_truth)
    inside = np.zeros(whole.shape, bool)
    for y0, x0, y1, x1 in getattr(scene, part):
        inside[y0:y1, x0:x1] = True
    flat = np.flatnonzero(inside & (whole != 255))
    weights = None
    if part == "train":
        labels = whole.ravel()[flat]
        weights = 1 / np.sqrt(np.bincount(labels)[labels])
        weights /= weights.sum()
    return rng.choice(flat, min(count, len(flat)), replace=False, p=weights)


def measure(name: str, data: Path, holdout: str, cache: dict[str, dict[int, NDArray[np.float32]]]) -> list[float]:
    """Print the rows of one held-out group; returns the scores outside, row by row."""
    settings = load_train_config(name, {"data.holdout": holdout} if holdout else {})
    scenes, table = open_scenes(settings.data, data)
    outside = "val" if holdout else "test"
    rng = np.random.default_rng(0)
    training = [s for s in scenes if s.train]
    drawn = {
        "train": [(s, draw(s, "train", 60_000 // len(training), rng)) for s in training],
        outside: [(s, draw(s, outside, 150_000, rng)) for s in scenes if getattr(s, outside)],
    }
    ground_truth = {
        part: np.concatenate([np.asarray(s.ground_truth).ravel()[at] for s, at in found])
        for part, found in drawn.items()
    }

    def columns(part: str, sigmas: list[int]) -> NDArray[np.float32]:
        rows = []
        for scene, at in drawn[part]:
            if scene.name not in cache:
                cache[scene.name] = features(scene)
            maps = cache[scene.name]
            rows.append(np.concatenate([maps[k].reshape(-1, maps[k].shape[-1])[at] for k in sigmas], -1))
        return np.concatenate(rows)

    scores = []
    for width in (*WIDTHS, APART):
        sigmas = [k for k in (0, *SIGMAS) if width == APART or k <= int(width)]
        seen = columns("train", sigmas)
        own = 3 + 7 * sum(k <= 40 for k in SIGMAS)
        apart = [set(range(own)), set(range(own, seen.shape[1]))] if width == APART else None
        trees = HistGradientBoostingClassifier(
            max_iter=60, learning_rate=0.15, l2_regularization=1.0, early_stopping=False, interaction_cst=apart
        ).fit(seen, ground_truth["train"])
        figures = {}
        for part in drawn:
            predicted = trees.predict(columns(part, sigmas)).astype(np.uint8)
            figures[part] = Scores.from_confusion(
                confusion_matrix(ground_truth[part].astype(np.uint8), predicted, len(table.names)), table.names
            ).miou
        label = "250, only added" if width == APART else width
        print(f"| {holdout or outside} | {label} | {figures['train']:.3f} | {figures[outside]:.3f} |", flush=True)
        scores.append(figures[outside])
    return scores


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["earth", "aerial"])
    parser.add_argument("--data", type=Path, default=Path())
    arguments = parser.parse_args()
    settings = load_train_config(arguments.name)
    groups = list(dict.fromkeys(s.group for s in settings.data.scenes)) or [""]
    print("| held out | widest window, sigma px | mIoU on training regions | mIoU outside |\n|---|---|---|---|")
    cache: dict[str, dict[int, NDArray[np.float32]]] = {}
    with threadpool_limits(1):  # threads that wait for each other are slower on a busy machine
        rows = np.array([measure(arguments.name, arguments.data, group, cache) for group in groups])
    if len(groups) > 1:
        for width, value in zip((*WIDTHS, "250, only added"), rows.mean(0), strict=True):
            print(f"| mean | {width} | | {value:.3f} |")


if __name__ == "__main__":
    main()
