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
# # What do contexts and GPE bring?
#
# The paper's Table 3 on the Earth scene: nine networks that differ in their contexts and in the gated positional
# embeddings (GPE), each trained with the same budget, for each seed with the same tiles in the same order. Then what
# these networks look at (the paper's Figs. 9 to 11).
#
# Three seeds take about five minutes on two cores, without a GPU. The budget is small; take more steps, tiles and seeds
# before you believe an order.
#
# What was trained stays in `runs/earth`: another run takes it from there, with more seeds trains only those, and
# notebook 04 goes on with it. In a shell:
# `fctl ablate run 3 --frozen-encoders earth --steps 100 --tiles 128`.

# %%
# %matplotlib inline
import csv
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown
from ipywidgets import IntSlider
from scipy.stats import sem, t

import fctl_napari
from fctl_napari.ablation.figure import ablation_figure
from fctl_napari.ablation.first_encoder import write_first_encoder
from fctl_napari.ablation.plan import AblationRequest
from fctl_napari.ablation.report import PAPERS, difference, report, studies
from fctl_napari.ablation.results import read_results
from fctl_napari.ablation.run import checkpoint_of, run_ablation
from fctl_napari.figures.attention import attention_figure
from fctl_napari.figures.explanation import explanation_figure
from fctl_napari.figures.masks import masks_figure
from fctl_napari.figures.sliders import slide
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.sample import sample_files
from fctl_napari.model.classes import ClassTable
from fctl_napari.model.feature_ablation import Without
from fctl_napari.notebook.ablation_panel import AblationPanel
from fctl_napari.segmentation.jobs.explain import explain
from fctl_napari.training.config import load_train_config

# %% [markdown]
# ## Train every row
# Encoders are frozen, so that their features are computed once and a step costs little. They are the ones that the
# first stage of the built-in `earth` network trained, without any context, on the scene's training bands; its second
# stage kept them in its contexts. Necks, attention, fusion and decoder start at random. So the table asks what contexts
# bring to a given encoder, on one picture, within a small budget: less than the paper asks.

# %%
scene = sample_files()
image = open_image(scene.image)
ground_truth = open_ground_truth(scene.ground_truth)
location = (1050, 2070)  # (y, x): eastern Brazil, in a test band

out = Path("runs/earth")  # notebooks 03 and 04 share it
encoder = write_first_encoder("earth", out / "earth_first_encoder.safetensors")
pair = {"image": str(scene.image), "truth": str(scene.ground_truth), "train": [(1350, 1890)], "test": [(1900, 1910)]}
two_bands = {"data": {"classes": ClassTable.read(scene.classes).model_dump(), "scenes": [pair]}}
changes = {}  # short: two_bands
steps = 100  # short: 1
tiles = 128  # short: 4
seeds = 3  # short: 1

request = AblationRequest(
    tables=(3,),
    recipe=load_train_config("earth", changes),
    out=out,
    contexts="deepglobe",  # x1, x3 and the whole image, as the paper on DeepGlobe
    seeds=seeds,
    steps=steps,
    frozen_encoders=encoder,
    tiles=tiles,
)
table = run_ablation(request, lambda done, total, note: print(f"\r{done} of {total}: {note}", end="", file=sys.stderr))
results = [result for result in read_results(table) if result.table == 3]
minutes = sum(result.seconds for result in results) / 60
print(
    f"{len(results)} runs, {minutes:.0f} minutes of training steps in all, {results[0].device}, {results[0].precision}"
)

# %% [markdown]
# ## The table
# Beside the paper's figures. *Reliance* is the share of pixels that change when a tile is given the contexts of
# another one: where it is near 0, contexts are not used, and no gain can come from them. Below it is counted which
# pairs of rows stand in the paper's order.

# %%
Markdown(report(results))

# %%
ablation_figure(studies(results))

# %% [markdown]
# GPE by itself: rows with it less the same contexts without it, in points of mIoU.

# %%
rows = {entry.row.name: entry for study in studies(results) for entry in study.entries}
for contexts in ("medium", "medium-large", "local-medium-large"):
    plain, gpe = rows[f"table3-{contexts}"], rows[f"table3-{contexts}-gpe"]
    here = difference(gpe, plain)
    spread = "one run, no spread known" if here.spread is None else f"spread over runs {here.spread:.2f}"
    paper = ", ".join(f"{PAPERS[key]} {gpe.row.paper[key] - plain.row.paper[key]:+.2f}" for key in gpe.row.paper)
    print(f"{contexts.replace('-', ', '):>20}: {here.mean:+.2f} ({spread}); in the paper {paper}")

# %% [markdown]
# ## By hand
# The same table as a panel: choose rows, contexts, seeds and steps, and run them beside the cells; the table grows as
# rows are finished, and what is trained already stands in it. Click a row to see its masks, by seed, and the attention
# and fusion weights of its network side by side. (This page cannot run it; a notebook can.)

# %%
panel = AblationPanel(request, location)
panel

# %% [markdown]
# ## A larger run
# The same table on the aerial scenes, which do not come with the package; the results are committed with their commands
# in `notebooks/results`.

# %%
kept = sorted((Path(fctl_napari.__file__).parents[1] / "notebooks" / "results").glob("ablation_aerial*.csv"))
larger = [result for path in kept for result in read_results(path) if result.table == 3]
Markdown(report(larger) if larger else "`notebooks/results` is not here: this is no checkout.")

# %%
ablation_figure(studies(larger)) if larger else None

# %% [markdown]
# ## When contexts pay
# Networks that are trained end to end, all with the same tiles, and measured on scenes (of Earth: bands) that are new
# (`benchmarks/when_contexts_pay.py`; rows and commands lie in [results](results/README.md)). Gains of contexts x1, x3
# and x9 over *the same network whose contexts are the tile itself* (equal parameters, equal FLOPs: full lines) and over
# the network without contexts (dashed), paired by scenes and seed. Bars are 95 % intervals of the mean over seeds;
# points without one are single runs. *Together* are the aerial, dune and river scenes, their classes mapped to four.


# %%
def gains(runs, against, way="contexts"):
    """List the gains of a way over another one, in points of mIoU, paired by scenes and seed."""
    keys = ("fold", "seed")
    other = {tuple(run[key] for key in keys): float(run["miou"]) for run in runs if run["way"] == against}
    found = [run for run in runs if run["way"] == way and tuple(run[key] for key in keys) in other]
    return [100 * (float(run["miou"]) - other[tuple(run[key] for key in keys)]) for run in found]


def half_interval(values):
    """Compute half of the 95 % interval of a mean, 0 for a single value."""
    return t.ppf(0.975, len(values) - 1) * sem(values) if len(values) > 1 else 0


def draw(axis, runs, by, title):
    """Draw the gains of each set against a column of the runs."""
    for number, name in enumerate(sorted({run["set"] for run in runs})):
        for against, style in {"same": "-", "none": "--"}.items():
            points = {}
            for at in sorted({float(run[by]) for run in runs if run["set"] == name}):
                points[at] = gains([run for run in runs if run["set"] == name and float(run[by]) == at], against)
            points = {at * 1.04**number: values for at, values in points.items() if values}  # side by side
            halves = [half_interval(values) for values in points.values()]
            if points:
                look = {"color": f"C{number}", "linestyle": style, "marker": "o", "capsize": 3}
                means = [np.mean(v) for v in points.values()]
                axis.errorbar(list(points), means, halves, label=f"{name}, over {against}", **look)
    axis.axhline(0, color="0.6", linewidth=1)
    axis.set(title=title, ylabel="gain of mIoU, points")
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter("{x:g}")
    axis.legend(fontsize="small")


path = Path(fctl_napari.__file__).parents[1] / "notebooks" / "results" / "when_contexts_pay.csv"
runs = list(csv.DictReader(path.open(newline=""))) if path.exists() else []
for run in runs:
    run["scenes"] = "20" if run["set"] == "together" and run["scenes"] == "0" else run["scenes"]  # 0: all of them
figure, axes = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained")
draw(axes[0], [run for run in runs if run["set"] != "together"], "tile", "against the side of the tile, px")
draw(axes[1], [run for run in runs if run["set"] == "together"], "scenes", "against the number of training scenes")

# %% [markdown]
# ### The recipe
# What else was tried where contexts pay, on dunes with tiles of 64 px: every way over no context and over the plain
# contexts x1, x3 and x9, in points of mIoU, with half of the 95 % interval of the mean over seeds.
# `benchmarks/when_contexts_pay.py` says what each way is.

# %%
tried = [run for run in runs if run["set"] == "dunes" and run["tile"] == "64"]
lines = ["| way | mIoU | over no context | over contexts | runs |", "| --- | ---: | ---: | ---: | ---: |"]
for way in dict.fromkeys(run["way"] for run in tried):
    mious = [100 * float(run["miou"]) for run in tried if run["way"] == way]
    over = [gains(tried, against, way) for against in ("none", "contexts")]
    words = [f"{np.mean(values):+.2f} ± {half_interval(values):.2f}" if values else "" for values in over]
    lines.append(f"| {way} | {np.mean(mious):.2f} | {words[0]} | {words[1]} | {len(mious)} |")
Markdown("\n".join(lines))

# %% [markdown]
# ## Segmentations side by side
# One tile, in a band that no network was trained on, by the networks of this very ablation (its first seed). As in the
# paper's Fig. 9; errors below each mask. A single tile is an example, not a measurement: the table is.

# %%
shown = list(rows)  # short: ["table3-none", "table3-local-medium-large-gpe"]
told = {row: explain(scene.image, checkpoint_of(table, row, seed=0), location) for row in shown}
full = told["table3-local-medium-large-gpe"]
masks = {rows[row].row.label: one.labels - 1 for row, one in told.items()}
masks_figure(image.read(full.tile), masks, ground_truth.read(full.tile), full.class_table)

# %% [markdown]
# ## What the attention of a pixel is made of
# Content and position of the network with all contexts and GPE, what the gate makes of the two, and beside it the
# network of the same table that was trained without GPE. The cross is the pixel, the box the tile. Positional attention
# begins close to the pixel; how far it has moved from there, and how much of it the gate lets in, was learnt. Move the
# pixel (with a kernel; here it stands still).


# %%
def attention(y, x):
    """Draw the attention of a pixel with and without GPE."""
    both = [explain(scene.image, checkpoint_of(table, row, seed=0), (y, x)) for row in pair_of_rows]
    return attention_figure(both[0], image, both[1])


pair_of_rows = ("table3-local-medium-large-gpe", "table3-local-medium-large")
height, width = image.shape
slide(attention, y=IntSlider(location[0], 0, height - 1), x=IntSlider(location[1], 0, width - 1))

# %% [markdown]
# ## With and without, in one network
# The same network with its GPE taken away, as if the gate let only content through (Figs. 10 and 11): its weights stay
# as they were trained with it. Attention that changes much while the mask does not says that the mask did not hang on
# it.

# %%
checkpoint = checkpoint_of(table, pair_of_rows[0], seed=0)
explanation_figure(explain(scene.image, checkpoint, location, without=Without(gpe=True)))

# %% [markdown]
# And the contexts taken away, one by one and all together: the share of the tile that changes.

# %%
for part in (["local"], ["medium"], ["large"], ["local", "medium", "large"]):
    other = explain(scene.image, checkpoint, location, without=Without.named(part)).without
    print(f"without {', '.join(part):<21} {(other.labels != full.labels).mean():6.1%} of the tile change")
