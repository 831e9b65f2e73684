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
# # A tour
#
# From a large image to a delivered map with figures, and to the question why, in about a minute on two cores, without
# a GPU and without a display. The image is the bundled scene (the Earth at 15 px per degree, 5400 x 2700 px); yours can
# have any size: nothing here reads more than it needs. By clicking: `fctl demo`, or *Plugins > FCtL* in napari.

# %%
# %matplotlib inline
import tempfile
from pathlib import Path

import numpy as np

import fctl_napari as fctl

folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## The image
# Opening reads only what describes it. Windows are `(y0, x0, y1, x1)` in full-resolution pixels, everywhere.

# %%
image = fctl.sample(folder)
image

# %% [markdown]
# ## The network
# A checkpoint is one file: weights, settings, class table, and a card that says what it was trained on and how well
# it does.

# %%
network = fctl.load_checkpoint("earth")
network

# %% [markdown]
# ## Segment
# A worker process computes tiles and writes them into a store beside the image. Interrupt it and call it again: it
# goes on. Run another region into the same store: only what is missing is computed.

# %%
region = (700, 1890, 1400, 2160)  # short: (900, 1890, 1156, 2146)
land = fctl.segment(image, network, region=region)
land

# %% [markdown]
# ## Look
# The viewer reads the tiles in view when they are wanted. What you click stands in `viewer.clicked`, what you look at
# in `viewer.view`: another cell can use it. (This page cannot run it; a notebook can.)

# %%
viewer = fctl.show(land, ground_truth=folder / "earth.ome.zarr" / "labels" / "truth", view=region)
viewer

# %% [markdown]
# ## Right?
# Compared with the truth of that band, which the network was not trained on, and where it is wrong.

# %%
truth = folder / "earth.ome.zarr" / "labels" / "truth"
figures = fctl.evaluate(land, truth, region=region)
figures.figure()

# %%
fctl.errors(land, truth, region=region)

# %% [markdown]
# ## Why?
# What the tile around a pixel attended to; [01_explore](01_explore.ipynb) goes on from here.

# %%
explained = fctl.explain(land, (1050, 2070))
print(explained, explained.weights)
explained.figure()

# %% [markdown]
# ## Correct
# What people paint is part of the map from then on, and lies in a file that the window paints into as well. Here a
# block is called water (class 0, so 1); 255 would be "not sure", 0 erases.

# %%
with fctl.corrections(land) as painted:
    painted.write(1000, 2000, np.full((40, 60), 1, np.uint8), author="me")
land = fctl.open(land.path)
print(land.corrected, land.read((1010, 2010, 1011, 2015)), land.prediction.read((1010, 2010, 1011, 2015)))

# %% [markdown]
# ## Take it away
# The map with its corrections, for other programs: rasters, polygons, annotations, by the end of the name. As objects:
# `land.to_xarray()`, `land.to_geopandas()`, `np.asarray(land)`.

# %%
written = fctl.export(land, folder / "land.geojson", region=region, simplify=1)
print(written.name, f"{written.stat().st_size:,} bytes")
land.areas().pixels
