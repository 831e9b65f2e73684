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
# # Why this class here?
#
# A network that looks beyond its tile should be asked what it saw there. This notebook asks the built-in `earth`
# network about a pixel of the sample scene (attention, fusion weights, local enhancement), takes parts of the network
# away to see whether those maps tell the truth, looks at a whole region, and ends with the errors: figures, where
# they are, and which to look at first. About a minute and a half on two cores, without a GPU and without a
# display. The same by clicking: *Plugins > FCtL > Explore* and *Errors* in napari.

# %%
# %matplotlib inline
import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from ipywidgets import Dropdown, IntSlider
from matplotlib.figure import Figure

import fctl_napari as fctl
from fctl_napari.figures.sliders import slide

folder = Path(tempfile.mkdtemp())
image = fctl.sample(folder)
truth = folder / "earth.ome.zarr" / "labels" / "truth"

# %% [markdown]
# ## One pixel
# Eastern Brazil, which the network was not trained on. `explain` finds the tile that owns the pixel, reads the very
# windows that a segmentation would read, and returns arrays with those windows, in full-resolution pixels `(y, x)`.

# %%
location = (1050, 2070)
told = fctl.explain(image, location, "earth")
tile = told.explained
print(f"tile {tile.tile}, cell {tile.cell} of its feature grid, {tile.where}")
for maps in tile.contexts:
    y0, x0, y1, x1 = (round(v) for v in maps.window)
    print(
        f"{maps.name:>7}: sees ({y0}, {x0}) to ({y1}, {x1}); content {maps.gate:.0%}, position {1 - maps.gate:.0%}; "
        f"gamma {maps.gamma:+.2f}; mean weight {maps.weight.mean():.2f}"
    )
print(", ".join(f"{name} {p:.2f}" for name, p in told.probabilities.items()))

# %% [markdown]
# As in the paper's Fig. 10: each context with the attention of that pixel over it, the attention that each of its
# cells receives from the whole tile, and the weight that fusion gives it over the tile. Where a kernel runs, move the
# pixel, and look at the fusion weights of one of the 128 channels (-1: their mean).

# %%
slide(
    lambda y, x, channel: fctl.explain(image, (y, x), "earth", channel=None if channel < 0 else channel).figure(),
    y=IntSlider(location[0], 0, image.shape[0] - 1),
    x=IntSlider(location[1], 0, image.shape[1] - 1),
    channel=IntSlider(-1, -1, 127),
)

# %% [markdown]
# ## What if?
# Attention says where the network looked, not whether that changed its mind. So take parts away, one by one, and
# count the pixels of the tile that change. The weights stay as they were trained.

# %%
contexts = [maps.name for maps in tile.contexts]
for part in [*([name] for name in contexts), ["gpe"], ["ale"], contexts]:
    other = fctl.explain(image, location, "earth", without=part).explained.without
    changed = (other.labels != tile.labels).mean()
    new = tile.class_table.names[int(other.probabilities.argmax())]
    print(
        f"without {' + '.join(part):<22} {changed:6.1%} of the tile change; here {new} {other.probabilities.max():.2f}"
    )

# %% [markdown]
# Without the gated positional embeddings, as in the paper's Fig. 11 (or without what you choose):

# %%
slide(
    lambda without: fctl.explain(image, location, "earth", without=without).figure(),
    without=Dropdown(value="gpe", options=["gpe", "ale", *contexts]),
)

# %% [markdown]
# ## A region
# The same for every pixel of a region: `maps=True` keeps entropy, margin and the fusion weights in the segmentation,
# as lazy pyramids that a second run goes on with.

# %%
band = (700, 1890, 1400, 2160)  # short: (900, 1890, 1156, 2146)
land = fctl.segment(image, "earth", region=band, maps=True)
kept = land.source.maps
print(land, ", ".join(kept), sep="\n")

figure = Figure(figsize=(12, 5.8), layout="constrained", dpi=100)
pictures = figure.subplots(1, 2 + len(kept))
pictures[0].imshow(image.read(band))
pictures[0].set_title("image")
for axes, (name, values) in zip(pictures[1:], kept.items(), strict=False):
    weight = name.startswith("weight_")
    drawn = axes.imshow(values.read(band) / 255, vmin=0.2 * weight, vmax=0.5 if weight else 1, cmap="magma")
    axes.set_title(name.replace("_", " "))
    if name in ("margin", "weight_large"):
        label = "weights" if weight else "entropy, margin"
        figure.colorbar(drawn, ax=list(pictures), location="bottom", label=label, shrink=0.4, aspect=40)
weights = [kept[f"weight_{name}"].read(band) / 255 for name in contexts]
pictures[-1].imshow(np.clip((np.stack(weights, axis=-1) - 0.2) / 0.3, 0, 1))
pictures[-1].set_title("red local, green\nmedium, blue large")
for axes in pictures:
    axes.set_axis_off()
figure

# %% [markdown]
# ## Look and ask
# The viewer shows these maps as layers, too: switch them on, and the errors, in which each wrong pixel has the color of
# the class that is true there. Click a pixel, and its probabilities appear, and the attention over each context where
# it lies. What you clicked stands in `viewer.clicked`.

# %%
viewer = fctl.show(land, ground_truth=truth, view=band)
viewer

# %% [markdown]
# ## The errors
# Against the truth of the same region.

# %%
figures = fctl.evaluate(land, truth, region=band)
print(figures)
figures.figure()

# %% [markdown]
# What to look at first: connected regions that were called something else, the most confident ones at the top. A
# confidently wrong region is either a lesson for the network or a mistake of the truth.

# %%
errors = fctl.errors(land, truth, region=band, by="confidence")
print(errors)
names = land.classes.names
for region in [one for one in errors if one.pixels >= 200][:8]:
    was, predicted = names[region.ground_truth], names[region.predicted]
    print(f"{region.pixels:6} px at {region.point}: was {was}, called {predicted} at {region.confidence:.2f}")
print("Without a truth:", fctl.errors(land, region=band))

# %% [markdown]
# ## In napari
# Where there is a display: image, attention over the medium context's own footprint (which is larger than the tile),
# the tile and the pixel. A map of cells that are `s` px large and begin at `a` is placed by `scale = s`,
# `translate = a + (s - 1) / 2`: napari's translate is the center of cell 0. The Explore widget places its layers so, on
# scaled and turned images too.

# %%
display = sys.platform != "linux" or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
figure = None
if display and find_spec("napari"):
    import napari

    napari_viewer = napari.Viewer(title="FCtL")
    napari_viewer.add_image(np.asarray(image), name="scene")
    medium = tile.contexts[1]
    y0, x0, y1, x1 = medium.footprint
    cell = np.array([y1 - y0, x1 - x0]) / medium.combined.shape
    napari_viewer.add_image(
        medium.combined,
        name="attention, medium context",
        colormap="inferno",
        blending="additive",
        scale=cell,
        translate=np.array([y0, x0]) + (cell - 1) / 2,
    )
    y0, x0, y1, x1 = tile.tile
    corners = [[y0, x0], [y0, x1], [y1, x1], [y1, x0]]
    napari_viewer.add_shapes([corners], edge_color="cyan", face_color="transparent", edge_width=6, name="tile")
    napari_viewer.add_points([location], size=16, face_color="cyan", name="pixel")
    napari_viewer.scene.camera.center = (0, *location)
    napari_viewer.scene.camera.zoom = 0.6
    screenshot = napari_viewer.screenshot(canvas_only=True, flash=False)
    napari_viewer.close()
    figure = Figure(figsize=(9, 9 * screenshot.shape[0] / screenshot.shape[1]), dpi=80)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(screenshot)
    axes.set_axis_off()
figure
