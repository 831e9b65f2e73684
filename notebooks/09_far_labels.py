# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Do contexts reach that far?
#
# On real pictures a tile alone says much, so the gain from contexts is small and hard to tell from chance. Here are
# made scenes on which a tile says nothing: the same texture everywhere, and what decides between two classes lies a
# stated number of tiles away. A network without contexts is right as often as a coin. One with contexts is right as far
# as they reach, or it has not learnt to use them.
#
# Three networks are trained here, three minutes on two cores, without a GPU. The curves at the end are those of
# `benchmarks/far_labels.py`.

# %%
# %matplotlib inline
import csv
import json
import tempfile
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown
from PIL import Image

import fctl_napari as fctl
from fctl_napari.ablation.first_encoder import write_first_encoder
from fctl_napari.datasets.far_labels.data_set import make_far_labels
from fctl_napari.datasets.far_labels.record import nearest_locations, read_far_labels
from fctl_napari.figures.attention import attention_figure
from fctl_napari.imagery.open import open_image
from fctl_napari.segmentation.jobs.explain import explain
from fctl_napari.training.config import TrainConfig
from fctl_napari.training.train import train

folder = Path(tempfile.mkdtemp())
warnings.simplefilter("ignore")

# %% [markdown]
# ## Four kinds
# The same as `fctl data make far-labels DIR --kind KIND --distance 3`. Above the image, with its deciding locations
# (crosses) and a tile to scale; below the mask. Darker are *blind* px: no tile that holds them, wherever it lies, shows
# anything that decides them. What is black is not asked.

# %%
kinds = {
    "markers": "the nearest marker",
    "outlines": "inside or outside",
    "waters": "river or lake",
    "sizes": "the size",
}
tile = 64
colors = np.array([[230, 130, 20], [40, 130, 230], *[[0, 0, 0]] * 254], np.uint8)


def scene_of(data, name):
    """Read image, mask, blind px and deciding locations of a scene."""
    image, mask = (np.asarray(Image.open(data / part / f"{name}.png")) for part in ("images", "masks"))
    record = read_far_labels(data)
    return image, mask, record.blind(name, mask), [at for one in record.scenes[name] for at in one.locations]


def in_colors(mask, blind):
    """Color a mask, darker where px are blind."""
    return colors[mask] // np.where(blind, 2, 1)[..., None].astype(np.uint8)


figure, axes = plt.subplots(2, 4, figsize=(12, 6.3), layout="constrained")
for (kind, title), above, below in zip(kinds.items(), *axes, strict=True):
    data = make_far_labels(folder / kind, kind, distance=3, tile=tile, scenes=3)
    image, mask, blind, locations = scene_of(data, "scene001")
    above.imshow(image)
    above.plot(*np.array(locations).T[::-1], "x", color="white", markersize=4)
    above.add_patch(plt.Rectangle((8, 8), tile, tile, fill=False, edgecolor="white"))
    above.set(title=title, xlim=(0, mask.shape[1]), ylim=(mask.shape[0], 0))
    below.imshow(in_colors(mask, blind))
for one in axes.flat:
    one.set(xticks=[], yticks=[])

# %% [markdown]
# ## With a context and without
# The field of the nearest marker, up to three tiles away. The networks learn for the same number of steps on the same
# tiles; their encoders start from the one that the first stage of the built-in `earth` network trained without
# contexts. One sees its tile of 64 px, the others see 384 px around it as well, at a sixth of the resolution, and one
# of them has no gated position embeddings (GPE): it finds what it looks for by content alone.

# %%
scenes = 32  # short: 4
steps = 180  # short: 2

data = make_far_labels(folder / "learnt", "markers", distance=3, tile=tile, scenes=scenes)
encoder = write_first_encoder("earth", folder / "encoder.safetensors")
names = (data / "train.txt").read_text().split()
held_out = (data / "test.txt").read_text().split()
settings = {
    "init_from": str(encoder),
    "data": {
        "classes": json.loads((data / "classes.json").read_text()),
        "scenes": [{"image": f"images/{name}.png", "truth": f"masks/{name}.png"} for name in names],
    },
    "augment": {"brightness": 0, "contrast": 0, "saturation": 0},
    "steps": steps,
    "batch": 8,
    "learning_rate": 2e-3,
    "loss": "cross_entropy",
    "batch_norm": "trained",
    "precision": "bf16",
}
network = {"tile_size": tile, "width": 64, "correlation_stride": 8, "ale": "none"}
medium = {"contexts": [{"name": "medium", "scale": 6.0}]}
networks = {"tile alone": {"contexts": []}, "with context": medium, "without GPE": medium | {"gpe": False}}
checkpoints = {
    title: train(TrainConfig(name="far", network=network | parts, **settings), folder / title, data_folder=data)
    for title, parts in networks.items()
}

# %%
predicted = {
    title: {
        name: fctl.segment(
            data / "images" / f"{name}.png", checkpoint, out=folder / title / f"{name}.ome.zarr", progress=False
        ).read()
        for name in held_out
    }
    for title, checkpoint in checkpoints.items()
}
for title, masks in predicted.items():
    right, counted = 0, 0
    for name in held_out:
        _, mask, blind, _ = scene_of(data, name)
        right, counted = right + (masks[name] == mask)[blind].sum(), counted + blind.sum()
    print(f"{title:>16}: {right / counted:6.1%} of {counted:,} blind px of {len(held_out)} unseen scenes are right")

# %%
name = held_out[0]
image, mask, blind, locations = scene_of(data, name)
figure, axes = plt.subplots(1, 5, figsize=(12, 2.8), layout="constrained")
axes[0].imshow(image)
axes[1].imshow(in_colors(mask, blind))
for one, masks in zip(axes[2:], predicted.values(), strict=True):
    one.imshow(colors[masks[name]])
for one, title in zip(axes, ("image", "ground truth", *predicted), strict=True):
    one.set(title=title, xticks=[], yticks=[])

# %% [markdown]
# ## Where they look
# The attention of a blind px in the context. The star is the marker that decides it, the cross the px, the box its
# tile; what is black lies beyond the image. On the right the network without GPE. One px is an example and may miss;
# the table below counts many.

# %%
choice = np.argwhere(blind)
y, x = choice[len(choice) // 3]
told = [explain(data / "images" / f"{name}.png", checkpoints[title], (y, x)) for title in list(networks)[1:]]
star_y, star_x = nearest_locations(read_far_labels(data).scenes[name], mask.shape)[1][y, x]
figure = attention_figure(told[0], open_image(data / "images" / f"{name}.png"), told[1])
for one in figure.axes:
    one.plot(star_x, star_y, "*", color="white", markeredgecolor="black", markersize=12)
figure

# %% [markdown]
# Content looks for markers; the positional part of GPE begins at the px itself. That the attention points there is no
# matter of course: the cells of these networks know what lies near them. With `top_down` a cell knows of its whole
# context, which can write into any cell what the markers say, and attention may point anywhere while the px is right
# as often. How much falls around the deciding location over many blind px, beside what chance would give, stands in
# the table below, for both.

# %% [markdown]
# ## Against the distance
# What was measured on scenes that no network has seen lies with its command in [results](results/README.md). `all` is
# the tile itself, x3 and x8, fused adaptively, with GPE and without ALE. GLNet, SegFormer and U-Net start at random,
# the others from that encoder: so those three are no fair match in what they know of red and blue. That a tile says
# nothing of blind px needs no fair match. The dotted lines are what a coin would give; points of one distance stand
# side by side so that all can be seen.


# %%
def rows_of_results():
    """Read the committed rows."""
    path = Path(fctl.__file__).parents[1] / "notebooks" / "results" / "far_labels.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [row | {"distance": float(row["distance"])} for row in csv.DictReader(file)]


def values(quantity, **keys):
    """List a quantity of the rows that have these keys."""
    found = [row[quantity] for row in rows if all(row[key] == value for key, value in keys.items())]
    return [float(value) for value in found if value not in ("", "nan")]


rows = rows_of_results()
quantities = {"miou": ("mIoU", 1 / 3), "blind accuracy": ("accuracy of blind px", 1 / 2)}
figure, axes = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
for one, (quantity, (title, coin)) in zip(axes, quantities.items(), strict=True):
    for number, way in enumerate(dict.fromkeys(row["way"] for row in rows if row["kind"] == "markers")):
        distances = sorted({row["distance"] for row in rows if (row["kind"], row["way"]) == ("markers", way)})
        found = {at: values(quantity, kind="markers", way=way, distance=at) for at in distances}
        points = [(at + 0.02 * number, np.mean(v)) for at, v in found.items() if v]
        if points:
            one.plot(*np.array(points).T, "o-" if number < 10 else "s-", color=f"C{number % 10}", label=way)
    one.axhline(coin, color="0.6", linestyle=":")
    one.set(title=f"markers: {title}", xlabel="largest distance of what decides, tiles", ylim=(0.2, 1.02))
legend = axes[0].legend(fontsize="small")

# %% [markdown]
# Every row, the other kinds too. The last columns are the share of the attention of blind px that falls on the cell of
# the deciding location and its eight neighbors: all of it, that by content alone, and the share of cells that these
# are.

# %%
heads = ["kind", "tiles", "network", "runs", "mIoU", "blind px right", "context", "attention", "content", "cells"]
lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
for kind, distance, way in dict.fromkeys((row["kind"], row["distance"], row["way"]) for row in rows):
    keys = {"kind": kind, "distance": distance, "way": way}
    scores = [" ".join(f"{value:.3f}" for value in values(quantity, **keys)) for quantity in quantities]
    told = [kind, f"{distance:g}", way, str(len(values("miou", **keys))), *scores]
    shares = {
        context: [values(f"{part} {context}", **keys) for part in ("attention", "content", "chance")]
        for context in ("medium", "large")
    }
    measured = {context: found for context, found in shares.items() if all(found)} or {"": [[]] * 3}
    for context, found in measured.items():
        cells = [f"{np.mean(v):.2f}" if v else "" for v in found]
        lines.append(f"| {' | '.join([*told, context, *cells])} |")
Markdown("\n".join(lines))
