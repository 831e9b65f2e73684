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
# # The whole loop in the browser
#
# Look, segment, ask why, go through the errors, correct, let the network learn, see whether it got better, keep it or
# roll it back, and take the map away: in the page of a notebook, on a server without a display. Everything that is done
# by hand in the viewer can be done by a cell, too. So that this notebook runs by itself, cells do it here, on the
# bundled scene; about two minutes on two cores, without a GPU.

# %%
# %matplotlib inline
import tempfile
from pathlib import Path

import numpy as np
import zarr

import fctl_napari as fctl

folder = Path(tempfile.mkdtemp())
image = fctl.sample(folder)
truth = folder / "earth.ome.zarr" / "labels" / "truth"
region = (500, 1700, 1500, 2450)  # short: (900, 1890, 1156, 2146)

# %% [markdown]
# ## Segment and look
# The map lies beside the image. In the viewer **Live** computes wherever you look. The panel has layers, *Swipe* and
# *Side by side*; the wheel zooms, dragging pans. (This page shows a picture in its place.)

# %%
land = fctl.segment(image, "earth", region=region)
viewer = fctl.show(land, ground_truth=truth, view=region)
viewer

# %% [markdown]
# ## Ask why
# **Ask**, and click: probabilities, and the attention over each context where it lies; *Without* says what would be
# called otherwise without a context, the positional embeddings (GPE) or ALE. A cell takes what was clicked last from
# `viewer.clicked`.

# %%
pixel = tuple(viewer.clicked) or (1050, 2070)
fctl.explain(land, pixel, without="large")

# %% [markdown]
# ## Go through the errors
# *Review* flies from error to error (or, without a ground truth, from doubt to doubt, or to where a correction is worth
# most), and marks them as done, or the truth as wrong. The marks are those of napari's window. What you look at stands
# in `viewer.region`.

# %%
errors = fctl.errors(land, truth, region=region)
errors

# %% [markdown]
# ## Correct
# *Brush*, *Polygon*, *Erase*, *Pick* and *Accept*, with the class that is chosen in the legend; each stroke is on disk,
# beside the image, before the page says so. This cell paints in place of a hand: around each of the largest errors a
# square of what the ground truth says.

# %%
strokes = 24  # short: 6
side = 48
labels = zarr.open_array(truth / "0", mode="r")  # k + 1 = class k, as corrections are
with fctl.corrections(land) as painted:
    for one in errors[:strokes]:
        y, x = ((one.window[k] + one.window[k + 2]) // 2 - side // 2 for k in (0, 1))
        block = np.asarray(labels[y : y + side, x : x + side])
        painted.write(y, x, block, author="a notebook", mask=block > 0)
land = fctl.open(land.path)
land

# %% [markdown]
# ## Learn
# *Fine-tune* in the viewer shows loss and figures as they come, and the gate's advice: is the new network better on
# strokes that it has not seen, and nearly the same elsewhere? `viewer.candidate` is the network that waits.

# %%
steps = 75  # short: 3
candidate = fctl.finetune(land, steps=steps, seed=1)
candidate

# %% [markdown]
# What it changes: its map over the one before, with the line to swipe.

# %%
after = fctl.segment(image, candidate.checkpoint, folder / "after.ome.zarr", region=region)
both = fctl.show(land.prediction, after, view=region)
both.swipe = True
both

# %% [markdown]
# Measured on all of the region, the px that were painted among them, so a little too well:

# %%
for name, each in {"before": land.prediction, "after": after.prediction}.items():
    print(f"{name}: mIoU {fctl.evaluate(each, truth, region=region).miou:.3f}")

# %% [markdown]
# ## Keep it, or roll it back
# The gate decides here. A network that is kept lies beside the image; nothing is left of one that is rolled back, and
# its parent stays as it was.

# %%
network = candidate.keep() if candidate.better else candidate.roll_back()
print("kept:" if network else "rolled back", network or "")

# %% [markdown]
# ## Take the map away
# With the corrections in it, as polygons in longitude and latitude or px, and with its figures.

# %%
written = fctl.export(land, folder / "land.geojson", region=region, simplify=1)
print(written.name, f"{written.stat().st_size:,} bytes")
land.areas().pixels
