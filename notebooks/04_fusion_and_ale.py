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
# # How contexts are fused, and what local enhancement adds
#
# The paper's Tables 5 and 6 on the Earth scene: three ways to weigh the contexts against each other, and the
# structures of the alternating local enhancement (ALE). Then the maps: fusion weights, what ALE adds and through which
# windows, and what a mask looks like without it (Figs. 7, 12 to 14).
#
# Three seeds take about eight minutes on two cores, without a GPU, a little less after notebook 03, whose features it
# shares.
#
# It goes on in `runs/earth`: the network that stands in both tables, and is the last row of Table 3 too, is trained
# once; after notebook 03 it is there already. In a shell:
# `fctl ablate run 5 6 --frozen-encoders earth --steps 100 --tiles 128`.

# %%
# %matplotlib inline
import csv
import sys
from pathlib import Path
from statistics import mean

from IPython.display import Markdown
from ipywidgets import FloatSlider, IntSlider, SelectionSlider

import fctl_napari
from fctl_napari.ablation.figure import ablation_figure
from fctl_napari.ablation.first_encoder import write_first_encoder
from fctl_napari.ablation.plan import AblationRequest
from fctl_napari.ablation.report import report, studies
from fctl_napari.ablation.results import read_results
from fctl_napari.ablation.run import checkpoint_of, run_ablation
from fctl_napari.figures.attention import weights_figure
from fctl_napari.figures.enhancement import enhancement_figure, strongest_figure
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
# As in notebook 03, with the same frozen encoders, tiles, steps and seeds.

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
    tables=(5, 6),
    recipe=load_train_config("earth", changes),
    out=out,
    contexts="deepglobe",  # x1, x3 and the whole image, as the paper on DeepGlobe
    seeds=seeds,
    steps=steps,
    frozen_encoders=encoder,
    tiles=tiles,
)
table = run_ablation(request, lambda done, total, note: print(f"\r{done} of {total}: {note}", end="", file=sys.stderr))
results = [result for result in read_results(table) if result.table in (5, 6)]
minutes = sum({result.settings: result.seconds for result in results}.values()) / 60
print(f"{len({result.settings for result in results})} networks, {minutes:.0f} minutes of training steps in all")

# %% [markdown]
# ## The tables
# Beside the paper's figures; under each it is counted which pairs of rows stand in the paper's order. The paper's own
# rows of Table 5 lie within 0.6 points, those of Table 6 within 2.

# %%
Markdown(report(results))

# %%
ablation_figure(studies(results))

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
# On the aerial scenes; the results are committed with their commands in `notebooks/results`.

# %%
kept = sorted((Path(fctl_napari.__file__).parents[1] / "notebooks" / "results").glob("ablation_aerial*.csv"))
larger = [result for path in kept for result in read_results(path) if result.table in (5, 6)]
Markdown(report(larger) if larger else "`notebooks/results` is not here: this is no checkout.")

# %% [markdown]
# ## Where contexts decide
# On the made scenes of notebook 09 whose classes are decided three tiles away (`benchmarks/far_labels.py`; rows and
# command lie in [results](results/README.md)): fusion and ALE beside networks without contexts, all with the same
# budget. *Blind* are the px that no tile decides by itself; without contexts half of them is a guess. Single runs, of
# which seeds are means: what differs by less than the seeds of *all* says nothing.

# %%
path = Path(fctl_napari.__file__).parents[1] / "notebooks" / "results" / "far_labels.csv"
far = list(csv.DictReader(path.open(newline=""))) if path.exists() else []
lines = ["| network | mIoU | accuracy of blind px | seeds | CPU seconds |", "| --- | ---: | ---: | ---: | ---: |"]
far = [run for run in far if run["kind"] == "markers" and run["distance"] == "3.0"]
for way in dict.fromkeys(run["way"] for run in far):
    seeds_of_way = [run for run in far if run["way"] == way]
    mious, blind, cost = (
        [float(run[key]) for run in seeds_of_way] for key in ("miou", "blind accuracy", "cpu seconds")
    )
    spread = [f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else "" for values in (mious, blind)]
    cells = (f"{mean(mious):.3f}{spread[0]}", f"{mean(blind):.3f}{spread[1]}", len(mious), f"{mean(cost):.0f}")
    lines.append(f"| {way} | {' | '.join(map(str, cells))} |")
Markdown("\n".join(lines))

# %% [markdown]
# ## Fusion
# A tile of a band that no network was trained on, by the networks of this very ablation (first seed; Fig. 12).


# %%
def told_by(row, **options):
    """Explain the place by a row's network."""
    return explain(scene.image, checkpoint_of(table, row, seed=0), location, **options)


fusions = {name: told_by(f"table5-{name}") for name in ("average", "weighted", "adaptive")}
tile, classes = fusions["adaptive"].tile, fusions["adaptive"].class_table
masks_figure(
    image.read(tile), {name: one.labels - 1 for name, one in fusions.items()}, ground_truth.read(tile), classes
)

# %% [markdown]
# *Average* gives each context a third, *weighted* one learnt number to each, *adaptive* a number to each context, place
# and channel.

# %%
for name, one in fusions.items():
    words = (f"{c.name} {c.weight.mean():.2f} ({c.weight.min():.2f} to {c.weight.max():.2f})" for c in one.contexts)
    print(f"{name:>8}: {', '.join(words)}")

# %% [markdown]
# The adaptive weights over the tile: the mean over channels (-1), or a channel of its own.


# %%
def weights(channel):
    """Draw the fusion weights of a channel, -1 for the mean."""
    return weights_figure(told_by("table5-adaptive", channel=None if channel < 0 else channel), image)


slide(weights, channel=IntSlider(-1, -1, 127))

# %% [markdown]
# ## Enhancement
# LCF alone, ALE alone and both (Fig. 14), each trained so; and last the network with both from which ALE is taken away
# without training again, which is another question: what it hangs on, not what it is worth.

# %%
ale = told_by("table6-d", without=Without(ale=True))
trained = {"LCF alone": told_by("table6-none"), "ALE alone": told_by("table6-only"), "both": ale}
masks = {name: one.labels - 1 for name, one in trained.items()} | {"both, ALE left out": ale.without.labels - 1}
masks_figure(image.read(tile), masks, ground_truth.read(tile), classes)

# %%
changed = (ale.labels != ale.without.labels).mean()
print(f"Without its ALE {changed:.1%} of the tile change. At the pixel:")
for name, before, after in zip(classes.names, ale.without.probabilities, ale.probabilities, strict=True):
    print(f"{name:>12}: without {before:.2f}, with {after:.2f}")

# %% [markdown]
# ALE convolves the contexts' features over the tile, depthwise, with windows of four sizes, a quarter of the channels
# each, and multiplies what comes out (E) into the features that it enhances; in step 1 those of the tile, the medium
# and the large context at the same time, each from the other two, in step 2 the tile's from the results (Algorithm 1).
# Left, what the windows take in around the pixel; right, how much each block adds, by window. Sums over more cells come
# out larger, so compare places within a map rather than maps with each other; towards the tile's edge they fall off,
# where a window reaches outside and sees zeros.

# %%
enhancement_figure(ale, image)

# %% [markdown]
# As the paper's Fig. 7: where a small and a large window add most to the tile in the last step. There, small windows
# pick dense small buildings and large ones large buildings; here a cell is 16 px of 1/15 degree, over 100 km, so look
# for coasts and stretches of one land cover instead.


# %%
def strongest(window, share):
    """Draw where the smallest window and another one add most."""
    return strongest_figure(ale, image, [3, window], share)


slide(
    strongest,
    window=SelectionSlider(options=[3, 5, 7, 9], value=9),
    share=FloatSlider(value=0.2, min=0.05, max=0.5, step=0.05),
)
